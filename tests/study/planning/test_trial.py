from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import tiny_plan, write_tiny_study

from medvol.bundles.checks.estimate import Estimate
from medvol.study.planning import trial
from medvol.study.planning.arms import bundle_folder
from medvol.study.planning.opened import evaluation_overrides, open_run, run_overrides
from medvol.study.planning.plan import Plan
from medvol.study.planning.standin import write_stand_in
from medvol.study.planning.trial import Trial, as_in_a_run, try_bundle

# 20 steps of 0.5 s, four validations of 2 s, 3 s for the cache, and 1 s that does not grow.
ESTIMATE = Estimate(5, 0.5, 20, 3.0, 4, 2.0, 4, 22.0, 10**9, None, 1000, 500)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Plan:
    return tiny_plan(write_tiny_study(tmp_path_factory.mktemp("trial"), write_tiny_dataset))


def test_the_seconds_of_another_length() -> None:
    found = Trial(ESTIMATE, 0.25, 0)
    assert found.fixed_seconds == pytest.approx(1.25)
    assert found.seconds(20, 40, 10) == pytest.approx(1.25 + 10 + 4 * 2)
    assert found.seconds(60, 120, 10) == pytest.approx(1.25 + 30 + 12 * 2)
    assert found.seconds(20, 40, None) == pytest.approx(1.25 + 10 + 2), "one validation at the end"
    assert found.scoring_seconds == pytest.approx(1.25 + 10)


def test_threads_and_algorithms_are_set_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with as_in_a_run(1):
        torch.use_deterministic_algorithms(not before[1])
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_training_is_run_once_as_short_as_it_can_be(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    seconds = iter([10.0, 14.0])
    monkeypatch.setattr(trial, "estimate", lambda opened, steps: ESTIMATE)
    monkeypatch.setattr(trial, "perf_counter", lambda: next(seconds))
    monkeypatch.setattr(trial, "run", lambda bundle, config, **given: asked.append(given))
    run = next(run for run in plan.runs if run.kind == "finetune")
    found = try_bundle(bundle_folder(run.bundle, "x"), "train.json", run_overrides(plan, run))
    (given,) = asked
    assert (given["steps"], given["eval_every_examples"], given["warmup_steps"]) == (2, None, 0)
    assert given["validate::dataset::data"].endswith("[:3]")
    assert given["validate::postprocessing::transforms"][-1]["names"] == ["pred"], "references are scored"
    # Known of the 4 s: 1 s that does not grow, two steps, and one validation of the one case there is.
    assert found.extra_seconds == pytest.approx(4.0 - 1.0 - 2 * 0.5 - 2.0)
    assert not Path(given["output_dir"]).exists()


def test_a_run_that_is_refused_says_why(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SystemExit("no room")

    monkeypatch.setattr(trial, "estimate", lambda opened, steps: ESTIMATE)
    monkeypatch.setattr(trial, "run", refuse)
    run = next(run for run in plan.runs if run.kind == "pretrain")
    with pytest.raises(ValueError, match="no room"):
        try_bundle(bundle_folder(run.bundle, "x"), "train.json", run_overrides(plan, run))


@pytest.mark.slow
def test_an_evaluation_is_tried_for_what_it_is(plan: Plan, tmp_path: Path) -> None:
    run = next(run for run in plan.runs if run.kind == "finetune")
    training = open_run(plan, run)
    weights = str(write_stand_in(training, tmp_path, like_trained=True))
    given = evaluation_overrides(plan, run, run_overrides(plan, run), weights=weights)
    found = try_bundle(training.folder, "evaluate.json", given)
    assert (found.estimate.steps, found.estimate.validations) == (1, 0)
    assert found.extra_seconds > 0, "one picture, a table, the checks of the guard"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "passport.json"]
    worse = try_bundle(training.folder, "evaluate.json", {**given, "corruption": "noise", "severity": 3}, like=found)
    assert worse.extra_seconds == found.extra_seconds
