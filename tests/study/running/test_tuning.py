"""The choice of the learning rate."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from medvol.study.planning.plan import PlannedRun
from medvol.study.running.tuning import choose, tuned_rate

RUN = PlannedRun("tune", "tune", "a", "", 2, 0, "unet", "run", {}, None, None, (), 0.01, 2, 4, "")


def write(folder: Path, rates: dict[float, list[str] | None], finished: bool = True) -> list[PlannedRun]:
    """Tuning runs whose logs hold these values of the curve; None for a run without a log."""
    runs = []
    for rate, values in rates.items():
        run = replace(RUN, key=f"tune-{rate:g}", run_name=f"a-{rate:g}", learning_rate=rate)
        place = folder / "runs" / "unet" / run.run_name
        place.mkdir(parents=True)
        if values is not None:
            rows = [f"{i},{i},val_mean_dice,{v}\n{i},{i},loss,9\n" for i, v in enumerate(values)]
            (place / "log.csv").write_text("step,examples,name,value\n" + "".join(rows), encoding="utf-8")
        if finished:
            (place / "passport.json").write_text("{}", encoding="utf-8")
        runs.append(run)
    return runs


def test_the_last_value_counts_and_the_best_stands_first(tmp_path: Path) -> None:
    runs = write(tmp_path, {0.1: ["0.9", "0.2"], 0.01: ["0.1", "0.8"], 0.001: ["0.5"]})
    values = tuned_rate(tmp_path, runs, "val_mean_dice", True)
    assert list(values.items()) == [(0.01, 0.8), (0.001, 0.5), (0.1, 0.2)]
    assert choose(values) == 0.01
    assert list(tuned_rate(tmp_path, runs, "val_mean_dice", False)) == [0.1, 0.001, 0.01]
    assert choose(values, higher_is_better=False) == 0.1


@pytest.mark.parametrize("higher", [True, False])
def test_of_equal_scores_the_smaller_rate_wins(higher: bool, tmp_path: Path) -> None:
    runs = write(tmp_path, {0.1: ["0.5"], 0.01: ["0.5"], 0.05: ["0.5"]})
    values = tuned_rate(tmp_path, runs, "val_mean_dice", higher)
    assert list(values) == [0.01, 0.05, 0.1]
    assert choose(dict(reversed(values.items())), higher) == 0.01


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("higher", [True, False])
def test_what_diverged_or_is_missing_never_wins(value: str, higher: bool, tmp_path: Path) -> None:
    runs = write(tmp_path, {0.1: ["0.9", value], 0.2: None, 0.3: [], 0.01: ["0.1"]})
    runs += write(tmp_path, {0.4: ["0.99"], 0.5: ["0.0001"]}, finished=False)
    values = tuned_rate(tmp_path, runs, "val_mean_dice", higher)
    assert next(iter(values)) == choose(values, higher) == 0.01
    assert all(math.isnan(values[rate]) for rate in (0.1, 0.2, 0.3, 0.4, 0.5))


def test_without_any_score_there_is_no_choice(tmp_path: Path) -> None:
    runs = write(tmp_path, {0.1: ["nan"], 0.2: None})
    with pytest.raises(ValueError, match=r"at least one learning rate .*none among those tried \(0\.1, 0\.2\); try"):
        choose(tuned_rate(tmp_path, runs, "val_mean_dice", True))
    with pytest.raises(ValueError, match=r"\(none\)"):
        choose({})


def test_another_curve_is_no_score(tmp_path: Path) -> None:
    assert math.isnan(tuned_rate(tmp_path, write(tmp_path, {0.1: ["0.5"]}), "val_mean_hd95", True)[0.1])


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.csv must hold numbers under 'value'; found 'much'"):
        tuned_rate(tmp_path, write(tmp_path, {0.1: ["much"]}), "val_mean_dice", True)
    with pytest.raises(ValueError, match="state its learning rate; found none in 'tune'"):
        tuned_rate(tmp_path, [replace(RUN, learning_rate=None)], "val_mean_dice", True)


def test_a_log_that_is_cut_between_two_lines_chooses_nothing(tmp_path: Path) -> None:
    (run,) = write(tmp_path, {0.1: ["0.5", "0.9"]})
    passport = tmp_path / "runs" / "unet" / run.run_name / "passport.json"
    for end, good in ((0.9, True), (0.95, False)):
        passport.write_text(f'{{"metrics": {{"val_mean_dice": {end}, "loss": 3}}}}', encoding="utf-8")
        if good:
            assert tuned_rate(tmp_path, [run], "val_mean_dice", True) == {0.1: 0.9}
        else:
            with pytest.raises(ValueError, match=r"as its passport says, with val_mean_dice 0\.95; found 0\.9"):
                tuned_rate(tmp_path, [run], "val_mean_dice", True)
