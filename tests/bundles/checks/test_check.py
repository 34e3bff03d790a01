from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.bundles.checks.check import CheckReport, check_bundle, cost_sentences
from medvol.bundles.checks.estimate import Estimate
from medvol.bundles.refusal import Problem

COST = Estimate(5, 0.42, 300, 14.0, 16, 2.0, 3, 150.0, 2**31, None, 30 * 2**20, 50 * 2**20)


def test_a_page_of_a_bundle_that_is_ready(
    overrides: Callable[..., dict], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = [word for key, value in overrides("cpc3d").items() for word in (f"--{key}", str(value))]
    assert main(["check", "cpc3d", "--estimate_steps", "2", "--json", str(tmp_path / "report.json"), *words]) == 0
    page = capsys.readouterr().out
    for topic in ("task", "data", "network", "weights", "budget", "cost"):
        assert f"\n{topic} " in page
    assert "peak memory" in page
    last = page.splitlines()[-1]
    assert last.startswith("verdict: ready; run it with: python -m monai.bundle run --config_file ")
    assert "--steps 2 " in last
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["ok"] is True
    assert report["estimate"]["steps_tried"] == 2
    assert report["problems"] == []
    assert not Path(overrides("cpc3d")["output_dir"]).exists()


def test_evaluation_and_inference_take_the_settings_of_the_weights(trained: dict[str, Path], dataset: Path) -> None:
    given = {"weights": str(trained["unet_brats"] / "model.pt"), "manifest": str(dataset), "device": "cpu"}
    for config in ("evaluate", "inference.json"):
        report = check_bundle("unet_brats", config, given, estimate_steps=0)
        assert report.ok, report.text()
        assert report.config.endswith(f"{config.split('.')[0]}.json")
        assert "0.0" in report.facts["network"], "the small widths of the training, not the bundle's own"


def test_a_config_file_itself_can_be_checked(overrides: Callable[..., dict]) -> None:
    file = Path(__file__).parents[3] / "bundles" / "cpc3d" / "configs" / "train.json"
    report = check_bundle(file, overrides=overrides("cpc3d"), estimate_steps=0)
    assert report.ok
    assert report.bundle == "cpc3d"


def test_a_trial_that_fails_is_a_problem(overrides: Callable[..., dict]) -> None:
    report = check_bundle("cpc3d", overrides=overrides("cpc3d", precision="fp17"), estimate_steps=1)
    assert [problem.state for problem in report.problems] == ["error"]
    assert "fp17" in report.problems[0].found
    assert "the trial failed" in report.text()
    assert "Traceback" not in report.text()


def test_a_disk_that_is_too_small_for_the_run(overrides: Callable[..., dict], monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Estimate(*list(COST.as_dict().values())[:10], 2**62, 0)
    monkeypatch.setattr("medvol.bundles.checks.check.estimate", lambda opened, steps: cost)
    (problem,) = check_bundle("cpc3d", overrides=overrides("cpc3d")).problems
    assert "MB free" in problem.expected
    assert problem.remedy.endswith("--output_dir")


def test_the_cost_in_sentences() -> None:
    time, memory, disk = cost_sentences(COST)
    assert time == (
        "about 2 min 30 s in all: 300 x 0.42 s per step, 3 x 2 s per validation, 14 s more to prepare 16 cases that "
        "are not cached yet (5 tried)"
    )
    assert memory == "peak memory 2147 MB"
    assert disk == "disk 31 MB for the run, 52 MB more in the cache"


def test_warnings_do_not_stop_and_errors_do() -> None:
    warning, error = (Problem("a", "b", "c", state) for state in ("warning", "error"))
    assert CheckReport("x", "x/train.json", {}, (warning,), None).ok
    report = CheckReport("x", "x/train.json", {}, (error, warning, warning), None, "why not")
    assert not report.ok
    assert report.text().splitlines()[-1] == "verdict: not ready, 1 error, 2 warnings"
    assert report.as_dict()["command"] is None
    assert "cost      why not" in report.text()


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="estimate_steps must be 0 or more; found -1"):
        check_bundle("cpc3d", estimate_steps=-1)


def test_texts_with_blanks_are_quoted_in_the_command() -> None:
    report = CheckReport("x", "x/train.json", {}, (), None, overrides={"where": "age > 3"})
    assert report.command.endswith("--where 'age > 3'")
