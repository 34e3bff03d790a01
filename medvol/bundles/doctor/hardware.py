"""Device, number format, threads and memory."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import joblib
import torch

from medvol.distributed import bfloat16_units

from .diagnosis import Diagnosis

__all__ = ["EXAMINATIONS", "memory"]

_GB = 1e9
_SHARED = 1e9  # bytes of shared memory below which worker processes run out
_MEMORY = 4e9  # bytes: the default bundles stay below
_CGROUPS = Path("/sys/fs/cgroup")
_SHM = Path("/dev/shm")


def _device() -> Iterator[Diagnosis]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            text = f"cuda:{index} is {found.name} with {found.total_memory / _GB:.0f} GB; medvol takes it by itself."
            yield Diagnosis("device", "ok", text)
        return
    cores = _cores()
    text = f"No CUDA device was found, so medvol computes on {cores} of {os.cpu_count() or '?'} CPU cores."
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        remedy = "Install the torch for your driver: see pytorch.org/get-started; 'nvidia-smi' shows the driver."
        text = f"There is an NVIDIA driver, but torch {torch.__version__}, built for {built}, finds no device."
        yield Diagnosis("device", "warning", text, remedy)
    elif torch.backends.mps.is_available():
        yield Diagnosis("device", "ok", f"{text} There is an Apple GPU (MPS), which medvol takes by --device mps only.")
    else:
        yield Diagnosis("device", "ok", text)


def _cores() -> int:
    """Cores that this process may use, by affinity and by the limits of its container."""
    return joblib.cpu_count()


def _precision() -> Iterator[Diagnosis]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    units = bfloat16_units(device)
    if units:
        text = (
            f"The {device.type.upper()} calculates in bfloat16 ({', '.join(units)}): --precision auto trains in bf16."
        )
    else:
        text = f"The {device.type.upper()} does not calculate in bfloat16: --precision auto trains in fp32."
    yield Diagnosis("bfloat16", "ok", text)


def _threads() -> Iterator[Diagnosis]:
    cores = _cores()
    wrong = False
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        value = os.environ.get(name)
        if value is None:
            continue
        first = value.split(",")[0].strip()
        if not first.isdecimal() or int(first) < 1:
            wrong = True
            yield Diagnosis("threads", "warning", f"{name} is {value!r}, which is no number.", f"Set it to {cores}.")
        elif int(first) > cores:
            wrong = True
            text = f"{name} is {value}, and this process has {cores} cores: threads will wait for each other."
            yield Diagnosis("threads", "warning", text, f"Set it to {cores}, or unset it.")
    if not wrong:
        yield Diagnosis("threads", "ok", f"torch computes with {torch.get_num_threads()} threads on {cores} cores.")


def _memory() -> Iterator[Diagnosis]:
    known = _limits()
    if not known:
        yield Diagnosis("memory", "ok", "The size of the memory cannot be read here.")
        return
    where = min(known, key=lambda name: known[name])
    text = f"There are {known[where] / _GB:.1f} GB of memory on {where}"
    if known[where] < _MEMORY:
        remedy = "Give it more, or train with --batch_size 1 and --num_workers 0."
        yield Diagnosis("memory", "warning", f"{text}; the default bundles may need 2 to 4 GB.", remedy)
    else:
        yield Diagnosis("memory", "ok", f"{text}.")


def memory() -> int | None:
    """Return the bytes of memory that this process may use, by the machine and by its container; None if unknown.

    Example:
        >>> memory() is None or memory() > 1e8
        True
    """
    return min(_limits().values(), default=None)


def _limits() -> dict[str, int]:
    limits = {"this machine": _physical(), "this container": _container_memory()}
    return {where: size for where, size in limits.items() if size}


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _container_memory() -> int | None:
    """The limit of a control group, version 2 or 1; there may be none, or "max"."""
    for file in (_CGROUPS / "memory.max", _CGROUPS / "memory" / "memory.limit_in_bytes"):
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            continue
    return None


def _shared_memory() -> Iterator[Diagnosis]:
    if not _SHM.is_dir():
        yield Diagnosis("shm", "ok", f"{platform.system()} has no {_SHM}: worker processes use temporary files.")
        return
    free = shutil.disk_usage(_SHM).free
    text = f"{free / _GB:.2g} GB of shared memory are free in {_SHM}"
    if free < _SHARED:
        remedy = "Start the container with --shm-size=4g or --ipc=host, or train with --num_workers 0."
        yield Diagnosis("shm", "warning", f"{text}, too little for worker processes.", remedy)
    else:
        yield Diagnosis("shm", "ok", f"{text}.")


EXAMINATIONS = (
    ("device", _device),
    ("bfloat16", _precision),
    ("threads", _threads),
    ("memory", _memory),
    ("shm", _shared_memory),
)
