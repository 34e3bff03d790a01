from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medvol.bundles.checks import estimate as estimating
from medvol.bundles.checks.estimate import Estimate, TrialError, duration, estimate, num_validations
from medvol.bundles.opening import open_bundle


def draws() -> tuple:
    """The next number of every generator that a training draws from, without drawing it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    numbers = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    return numbers


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_training_is_tried_without_a_trace(
    overrides: Callable[..., dict], trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = overrides("cpc3d", steps=200, steps_per_epoch=100, eval_every_examples=150)
    run = trained["cpc3d"]  # before anything is compared, for it is trained when it is first asked for
    capsys.readouterr()
    opened = open_bundle("cpc3d", overrides=given)
    before, bundle = draws(), files(opened.folder)
    cost = estimate(opened, 3)
    assert draws() == before
    assert files(opened.folder) == bundle
    assert not Path(given["output_dir"]).exists()
    assert capsys.readouterr().out == ""
    assert multiprocessing.active_children() == []
    assert opened.parser.ref_resolver.items == {}, "nothing was built by the bundle's own parser"

    assert (cost.steps_tried, cost.steps, cost.validations) == (5, 200, 3), "fewer would leave less than three gaps"
    assert cost.seconds >= 200 * cost.seconds_per_step + 3 * cost.seconds_per_validation > 0
    assert cost.memory_bytes > 50e6
    assert cost.gpu_memory_bytes is None
    written = sum((run / name).stat().st_size for name in ("model.pt", "last.pt"))
    assert cost.run_bytes == pytest.approx(written, rel=0.1)
    assert json.loads(json.dumps(cost.as_dict()))["steps"] == 200
    assert (cost.uncached, cost.seconds_preparing, cost.cache_bytes) == (0, 0.0, 0), "five steps show all three cases"
    assert len(list(Path(given["cache_dir"]).glob("*.pt"))) == 4


def test_a_training_with_an_evaluator(overrides: Callable[..., dict]) -> None:
    opened = open_bundle("unet_brats", overrides=overrides("unet_brats"))
    cost = estimate(opened, 5)
    assert (cost.steps_tried, cost.steps, cost.validations) == (2, 2, 1), "the budget ends before the trial"
    assert cost.seconds_per_validation > 0
    assert not Path(opened.config["output_dir"]).exists()


@pytest.mark.parametrize("config", [pytest.param("evaluate", marks=pytest.mark.slow), "inference"])
def test_an_evaluation_is_counted_in_cases(config: str, trained: dict[str, Path], dataset: Path) -> None:
    weights = trained["unet_brats"] / "model.pt"
    before = files(weights.parent)
    given = {
        "manifest": str(dataset),
        "weights": str(weights),
        "device": "cpu",
        "filters": [8, 8, 8],
        "spacing": [1.0] * 3,
    }
    cost = estimate(open_bundle("unet_brats", config, given | {"roi_size": [16, 16, 16], "section": "training"}))
    assert (cost.steps_tried, cost.steps, cost.validations) == (3, 3, 0)
    assert cost.run_bytes > 0
    assert files(weights.parent) == before


def test_what_fails_is_a_problem_with_its_innermost_cause(
    overrides: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    def problem(**changes: object) -> str:
        with pytest.raises(TrialError) as error:
            estimate(open_bundle("cpc3d", overrides=overrides("cpc3d", **changes)), 1)
        assert error.value.__cause__ is None, "no chain of MONAI's tracebacks"
        return error.value.problem.text()

    assert "settings that the training can be built from" in (text := problem(precision="fp17"))
    assert "fp17" in text
    assert "samples that can be prepared" in (text := problem(crop_size=[90, 90, 90]))
    assert "crop" in text
    assert "Traceback" not in text

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90 GiB.\nand much more")

    monkeypatch.setattr(estimating, "step_seconds", full)
    assert "smaller --batch_size" in (text := problem())
    assert "much more" not in text


def test_a_trial_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least one step; found 0"):
        estimate(open_bundle("cpc3d"), 0)


@pytest.mark.parametrize(
    ("examples", "every", "times"), [(600, 200, 3), (601, 200, 4), (600, None, 1), (4, 100, 1), (10, 1, 10)]
)
def test_validations_are_counted_as_the_suite_counts(examples: int, every: int | None, times: int) -> None:
    assert num_validations(examples, every) == times


@pytest.mark.parametrize(
    ("workers", "seconds"),
    # 10 of 20 cases are cold at 2 s; two examples a step make 5 cold steps of 4 s, and a step takes 1 s
    [(0, 20.0), (1, 15.0), (2, 5.0), (8, 0.0)],
)
def test_workers_fill_the_cache_while_the_network_trains(workers: int, seconds: float) -> None:
    data = estimating.Preparation(items=20, uncached=10, seconds=2.0)
    assert estimating._preparing(data, 100, 2, 1.0, workers) == pytest.approx(seconds)
    assert estimating._preparing(data, 5, 2, 1.0, 0) == pytest.approx(10.0), "half of the cases are seen"


@pytest.mark.parametrize(("seconds", "text"), [(59.6, "60 s"), (60, "1 min 0 s"), (3599.7, "1 h 0 min"), (0, "0 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_estimate_is_plain() -> None:
    assert set(Estimate.__dataclass_fields__) == set(Estimate(*range(12)).as_dict())


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (FileNotFoundError("no file /data/memory_study/case1.nii.gz"), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (MemoryError(), True),
    ],
)
def test_memory_in_a_name_is_no_lack_of_it(error: Exception, is_memory: bool) -> None:
    with pytest.raises(TrialError) as told, estimating._failing("a step"):
        raise RuntimeError("failed to instantiate") from error
    assert ("within the memory" in told.value.problem.expected) == is_memory
