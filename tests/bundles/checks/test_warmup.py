from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, RandFlipd, ScaleIntensityd

from medvol.bundles.checks import warmup
from medvol.bundles.checks.warmup import (
    Preparation,
    case_seconds,
    peak_memory,
    prepare,
    step_seconds,
    tensor_bytes,
    validation_seconds,
)
from medvol.data import StreamDataset, stream_loader


class Slow(ScaleIntensityd):
    """Takes so long that preparing a case is slower than reading it on a busy machine, too."""

    def __call__(self, data: dict) -> dict:
        time.sleep(0.05)
        return super().__call__(data)


def loader(folder: Path, count: int, batch: int = 2) -> object:
    chain = Compose([Slow("image"), RandFlipd("image")])
    items = [{"image": torch.rand(1, 48, 48, 48), "case": f"c{i}"} for i in range(count)]
    return stream_loader(StreamDataset(items, chain, 0, folder), batch, 0)


def test_cold_cases_are_counted_and_timed(tmp_path: Path) -> None:
    data = loader(tmp_path, 8)
    found = prepare(data, 2)
    assert (found.items, found.uncached) == (8, 4)
    assert found.seconds > 0
    assert found.bytes == next(tmp_path.glob("*.pt")).stat().st_size
    assert prepare(data, 4).uncached == 0
    assert prepare(data, 4) == Preparation(8, 0, 0.0, found.bytes)


def test_the_cost_of_a_cold_case_is_known_even_if_the_first_batches_are_warm(tmp_path: Path) -> None:
    data = loader(tmp_path, 8)
    prepare(data, 1)
    again = prepare(data, 1)
    assert again.uncached == 5, "one more was prepared to time it"
    assert again.seconds > 0


def test_a_loader_without_a_cache_has_nothing_to_prepare() -> None:
    assert prepare(torch.utils.data.DataLoader([1, 2, 3]), 2) == Preparation(3)


class Clock:
    """Seconds that pass as told."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = iter(seconds)

    def __call__(self) -> float:
        return next(self.seconds)


@pytest.mark.parametrize(
    ("workers", "ends", "typical"),
    [(0, (9, 10, 12, 14, 17), 2.0), (4, (9, 10, 12, 14, 17), 7 / 3), (0, (9, 10), 1.0), (0, (9,), 9.0)],
)
def test_the_first_two_steps_are_not_counted(
    workers: int, ends: tuple, typical: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(lambda engine, batch: None)
    engine.state.stepped = True
    engine.data_loader = type("Loader", (), {"num_workers": workers})
    seen = []
    engine.run, run = lambda: run(range(100), max_epochs=1), engine.run
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(1))
    monkeypatch.setattr("medvol.bundles.checks.warmup.perf_counter", Clock(0, *ends))
    assert step_seconds(engine, len(ends)) == (9, pytest.approx(typical))
    assert len(seen) == len(ends)


def test_the_first_of_three_cases_is_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(lambda engine, batch: None)
    engine.state.epoch_length = 7
    engine.run, run = lambda: run(range(7), max_epochs=1), engine.run
    monkeypatch.setattr("medvol.bundles.checks.warmup.perf_counter", Clock(0, 9, 10, 13))
    assert case_seconds(engine) == (9, 2.0, 7)


def test_a_single_case_is_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(lambda engine, batch: None)
    engine.state.epoch_length = 1
    engine.run, run = lambda: run(range(1), max_epochs=1), engine.run
    monkeypatch.setattr("medvol.bundles.checks.warmup.perf_counter", Clock(0, 9))
    assert case_seconds(engine) == (9, 9, 1)


def test_the_first_batch_of_a_validation_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Validator:
        num_batches = 8

        def run(self, trainer: object) -> None:
            seen.append(self.num_batches)

    seen: list[int] = []
    monkeypatch.setattr("medvol.bundles.checks.warmup.perf_counter", Clock(0, 3))
    assert validation_seconds(Validator(), None) == 12.0
    assert seen == [1, 2]


def test_shared_tensors_count_once() -> None:
    tensor = torch.zeros(10)
    assert tensor_bytes({"a": tensor, "b": [tensor, {"c": torch.zeros(1, dtype=torch.int64)}], "d": 3}) == 48


def test_a_storage_is_saved_whole_and_once() -> None:
    tensor = torch.zeros(10)
    assert tensor_bytes([tensor, tensor[:4]]) == 40
    assert tensor_bytes([tensor[:4], tensor[5:]]) == 40


def test_memory_is_known_here() -> None:
    assert peak_memory() > 50e6


def test_a_worker_that_has_ended_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = type("Child", (), {"pid": 2**22 + 1})  # above the largest id that Linux gives
    here = type("Child", (), {"pid": os.getpid()})
    monkeypatch.setattr("multiprocessing.active_children", lambda: [gone, here])
    assert peak_memory() >= 1.9 * warmup._peak_of("self"), "the others still count"
