from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import tiny_plan, write_tiny_study

from medvol.bundles.checks.estimate import Estimate
from medvol.study.planning import costs
from medvol.study.planning.costs import estimate_plan, threads_of
from medvol.study.planning.plan import Plan
from medvol.study.planning.trial import Trial

ROBUST = {"corruptions": ["noise", "blur"], "severities": [1, 3], "counts": ["all"]}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Callable[..., Plan]:
    def plan(**more: Any) -> Plan:
        return tiny_plan(write_tiny_study(tmp_path_factory.mktemp("costs"), write_tiny_dataset, **more))

    return plan


def estimate_of(per_step: float, steps: int, fixed: float, validations: int = 0, per_validation: float = 0) -> Estimate:
    seconds = fixed + steps * per_step + validations * per_validation + 7.0
    return Estimate(5, per_step, steps, 7.0, 3, per_validation, validations, seconds, 10**9, None, 1000, 500)


class Tried:
    """Stands in for ``try_bundle``: 1 s per step of a training, 2 s per validation, 3 s per case."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []

    def __call__(
        self, bundle: Path, config: str, overrides: Mapping[str, Any], steps: int, like: Trial | None = None
    ) -> Trial:
        self.asked.append((bundle.name, config, overrides))
        if config == "evaluate.json":
            assert (like is None) == ("corruption" not in overrides)
            estimate = estimate_of(3.0, 4, 0.25)
            return Trial(estimate, 0.5, 100)
        return Trial(estimate_of(1.0, 2, 0.25, 1, 2.0), 0.75, 2000)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Tried:
    found = Tried()
    monkeypatch.setattr(costs, "try_bundle", found)
    return found


def test_each_kind_is_tried_once_and_all_runs_are_counted(build: Callable[..., Plan], tried: Tried) -> None:
    cost = estimate_plan(build())
    assert [(bundle, config) for bundle, config, _ in tried.asked] == [
        ("cpc3d", "train.json"), ("unet_hippocampus", "train.json"), ("unet_hippocampus", "evaluate.json"),
    ]  # fmt: skip
    pretraining, finetuning = cost.groups
    # Two steps of two examples, one validation per four: 0.25 + 0.75 + 2 x 1 + 1 x 2 each, the cache once.
    assert pretraining.seconds == pytest.approx(2 * 5.0 + 7.0)
    # Two arms x (two tunings + two seeds), where one fine-tuning of each arm goes on from its tuning.
    assert finetuning.runs == 8
    assert finetuning.scoring_seconds == pytest.approx(4 * (0.25 + 0.5 + 4 * 3.0))
    assert finetuning.seconds == pytest.approx(6 * 5.0 + 4 * 12.75 + 7.0)
    assert (pretraining.disk_bytes, finetuning.disk_bytes) == (2 * 2000, 6 * 2000 + 4 * 100)
    assert cost.cache_bytes == 1000
    assert cost.seconds == pytest.approx(17.0 + 88.0)
    assert json.loads(json.dumps(cost.as_dict()))["seconds"] == pytest.approx(105.0)


def test_another_number_of_steps_is_worked_out_and_not_tried(build: Callable[..., Plan], tried: Tried) -> None:
    arms = {"scratch": {}, "long": {"longer": 3, "learning_rate": "scratch"}}
    (group,) = estimate_plan(build(arms=arms, tune=None, seeds=[0])).groups
    assert len(tried.asked) == 2
    # Six steps are twelve examples: three validations.
    assert group.seconds == pytest.approx((1.0 + 2 + 2) + (1.0 + 6 + 3 * 2) + 2 * 12.75 + 7.0)


def test_corruptions_count_for_their_label_counts(build: Callable[..., Plan], tried: Tried) -> None:
    more = {"arms": {"scratch": {}}, "tune": None, "seeds": [0], "counts": [2, "all"], "robustness": ROBUST}
    (group,) = estimate_plan(build(**more)).groups
    given = [overrides for _, config, overrides in tried.asked if config == "evaluate.json"]
    assert [(o.get("corruption"), o.get("severity")) for o in given] == [(None, None), ("noise", 3), ("blur", 3)]
    assert group.scoring_seconds == pytest.approx((2 + 4) * 12.75)


@pytest.mark.slow
def test_a_frozen_arm_is_tried_frozen_and_variants_apart(build: Callable[..., Plan], tried: Tried) -> None:
    arms = {"scratch": {}, "frozen": {"weights": "unet_hippocampus", "frozen": True}}
    cost = estimate_plan(build(arms=arms, tune=None, seeds=[0], variants={"a": {}, "b": {"filters": [8, 8, 16]}}))
    assert [(group.arms, group.variants) for group in cost.groups] == [
        (("scratch",), ("a",)), (("frozen",), ("a",)), (("scratch",), ("b",)), (("frozen",), ("b",)),
    ]  # fmt: skip
    started = [o.get("pretrained") is not None for _, config, o in tried.asked if config == "train.json"]
    assert started == [False, True, False, True]
    assert "variant b, frozen, 1 run" in cost.sentences()["time"]


def test_jobs_share_the_cores(build: Callable[..., Plan], tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(costs, "_group_cost", lambda *given: used.append(torch.get_num_threads()) or group)
    group = costs.GroupCost("finetune", "b", ("a",), ("",), 2, 60.0, 0.0, 0.0, 10, 20, 30, 40)
    before = torch.get_num_threads()
    cost = estimate_plan(build(tune=None, arms={"scratch": {}}), jobs=10**6)
    assert (used, torch.get_num_threads()) == ([1], before)
    assert (cost.memory_bytes, cost.gpu_memory_bytes, cost.disk_bytes) == (10**7, 2 * 10**7, 30)
    assert cost.seconds == pytest.approx(60 / 10**6)
    assert "1 thread each" in cost.sentences()["time"]
    assert threads_of(1) == before
    monkeypatch.setattr(costs, "cores", lambda: 6)
    assert threads_of(2) == 3, "of the cores that this process may use, as the workers do"


@pytest.mark.parametrize("given", [{"steps": 0}, {"jobs": 0}, {"jobs": True}, {"steps": 1.5}])
def test_what_is_refused(build: Callable[..., Plan], given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        estimate_plan(Plan(None, ()), **given)


@pytest.mark.slow
def test_a_whole_estimate_leaves_nothing_behind(build: Callable[..., Plan]) -> None:
    arms = {"scratch": {}, "frozen": {"weights": "unet_hippocampus", "frozen": True}}
    plan = build(arms=arms, seeds=[0], robustness={**ROBUST, "counts": [2]})
    folder = Path(plan.study.overrides["cache_dir"]).parent
    before = {file for file in folder.rglob("*") if "cache" not in file.parts}
    deterministic = torch.are_deterministic_algorithms_enabled()
    cost = estimate_plan(plan)
    assert {file for file in folder.rglob("*") if "cache" not in file.parts} == before
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert len(cost.groups) == 2
    for group in cost.groups:
        assert 0.1 < group.seconds < 600
        assert 0 < group.scoring_seconds < group.seconds
        assert group.memory_bytes > 10**8
        assert group.disk_bytes > 10**5
