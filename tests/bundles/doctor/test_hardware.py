from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from medvol.bundles.doctor import hardware as doctor_hardware
from medvol.bundles.doctor.diagnosis import Diagnosis

LOOK = dict(doctor_hardware.EXAMINATIONS)
Usage = namedtuple("Usage", "total used free")


def look(part: str) -> list[Diagnosis]:
    return list(LOOK[part]())


def test_the_cpu_with_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor_hardware.joblib, "cpu_count", lambda: 3)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    (found,) = look("device")
    assert found.state == "ok"
    assert "3 of ? CPU cores" in found.text


def test_a_driver_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    (found,) = look("device")
    assert found.state == "warning"
    assert "built for the CPU alone" in found.text


def test_an_apple_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "--device mps" in look("device")[0].text


def test_every_cuda_device_has_a_name_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device = SimpleNamespace(name="Model X", total_memory=80e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    first, second = look("device")
    assert "cuda:0 is Model X with 80 GB" in first.text
    assert "cuda:1" in second.text
    assert "CUDA calculates in bfloat16" in look("bfloat16")[0].text


@pytest.mark.parametrize(("amx", "said"), [(True, "(AMX): --precision auto trains in bf16"), (False, "trains in fp32")])
def test_what_auto_precision_means_here(amx: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert said in look("bfloat16")[0].text


@pytest.mark.parametrize(
    ("value", "states"),
    [(None, ["ok"]), ("2", ["ok"]), ("2,1", ["ok"]), ("9", ["warning"]), ("0", ["warning"]), ("many", ["warning"])],
)
def test_more_threads_than_cores(value: str | None, states: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_hardware.joblib, "cpu_count", lambda: 2)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert [line.state for line in look("threads")] == states


@pytest.mark.parametrize(
    ("file", "content", "state", "said"),
    [
        ("memory.max", "max\n", "ok", "on this machine"),
        ("memory.max", "2000000000", "warning", "2.0 GB of memory on this container"),
        ("memory/memory.limit_in_bytes", "3000000000", "warning", "3.0 GB of memory on this container"),
        ("memory/memory.limit_in_bytes", "9223372036854771712", "ok", "on this machine"),
    ],
)
def test_the_memory_of_a_container(
    file: str, content: str, state: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    monkeypatch.setattr(doctor_hardware, "_CGROUPS", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4_000_000}[name])
    (found,) = look("memory")
    assert found.state == state
    assert said in found.text


def test_memory_is_what_the_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_hardware, "_CGROUPS", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4_000_000}[name])
    assert doctor_hardware.memory() == 4096 * 4_000_000
    (tmp_path / "memory.max").write_text("2000000000")
    assert doctor_hardware.memory() == 2_000_000_000
    monkeypatch.delattr("os.sysconf")
    (tmp_path / "memory.max").unlink()
    assert doctor_hardware.memory() is None


def test_no_proc_no_cgroups_no_sysconf_no_shm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_hardware, "_CGROUPS", tmp_path / "none")
    monkeypatch.setattr(doctor_hardware, "_SHM", tmp_path / "none")
    monkeypatch.delattr("os.sysconf")
    assert "cannot be read" in look("memory")[0].text
    assert look("shm")[0].state == "ok"


@pytest.mark.parametrize(("free", "state"), [(64e6, "warning"), (8e9, "ok")])
def test_little_shared_memory(free: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_hardware, "_SHM", tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage(1, 1, free))
    (found,) = look("shm")
    assert found.state == state
    assert ("--shm-size" in found.remedy) == (state == "warning")
