from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from studies import write_study_folder

from medvol.metrics import bootstrap_interval, crossed_components, crossed_interval, permutation_p, smallest_difference
from medvol.study.judging.verdict import Verdict, judge
from medvol.study.tables.table import collect, cube


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    """A finished study with a longer scratch, an arm that helps, one that harms, one that does nothing."""
    folder = write_study_folder(
        tmp_path_factory.mktemp("whole"),
        arms=("scratch", "scratch-x3", "good", "bad", "idle"),
        patients=12,
        effect={"good": 0.1, "bad": -0.1},
        scores=(("dice", "mean"), ("hd95", "whole")),
        seed_sd=0.003,
    )
    return collect(folder)


@pytest.fixture(scope="module")
def verdicts(whole) -> list[Verdict]:
    return judge(whole)


def one(verdicts: list[Verdict], **wanted: object) -> Verdict:
    found = [v for v in verdicts if all(getattr(v, name) == value for name, value in wanted.items())]
    assert len(found) == 1, [(v.arm, v.against, v.count, v.metric) for v in found]
    return found[0]


def test_the_words(verdicts: list[Verdict]) -> None:
    for count in (4, "all"):
        for metric in ("dice", "hd95"):
            words = {
                v.arm: v.word
                for v in verdicts
                if (v.count, v.metric, v.family) == (count, metric, "reference")
            }  # fmt: skip
            assert words == {"good": "helps", "bad": "harms", "idle": "no evidence"}


def test_the_order_is_main_score_first_then_family_then_count(verdicts: list[Verdict]) -> None:
    keys = [(v.role, v.family, v.count) for v in verdicts]
    assert list(dict.fromkeys(keys)) == [
        (role, family, count)
        for role in ("main", "secondary")
        for family in ("reference", "longer scratch")
        for count in (4, "all")
    ]
    assert [v.arm for v in verdicts[:3]] == ["good", "bad", "idle"]


def test_every_number_is_that_of_the_differences(whole, verdicts: list[Verdict]) -> None:
    score = whole.study.scores[0]
    v = one(verdicts, arm="good", count="all", against="scratch", metric="dice")
    arm, against = (cube(whole, score, name, "all").values for name in ("good", "scratch"))
    d, interval, parts = arm - against, crossed_interval(arm - against), crossed_components(arm - against)
    assert (v.gain, v.gain_low, v.gain_high, v.p, v.df) == pytest.approx(
        (interval.mean, interval.low, interval.high, interval.p, interval.df)
    )
    assert (v.difference, v.low, v.high) == (pytest.approx(v.gain), v.gain_low, v.gain_high)
    assert (v.arm_mean, v.against_mean) == pytest.approx((arm.mean(), against.mean()))
    assert (v.arm_sd, v.against_sd) == pytest.approx((arm.mean(1).std(ddof=1), against.mean(1).std(ddof=1)))
    assert (v.sd_seed, v.sd_patient, v.sd_residual) == pytest.approx(tuple(max(0, x) ** 0.5 for x in parts.variances))
    assert (v.given_low, v.given_high) == bootstrap_interval(d.mean(0))
    assert v.given_p == permutation_p(d.mean(0))
    assert v.smallest_difference == pytest.approx(smallest_difference(parts))
    assert (v.seeds, v.seeds_planned, v.patients, v.comparisons, v.budget) == (3, 3, 12, 3, "")


def test_holm_runs_over_the_arms_of_one_family(verdicts: list[Verdict]) -> None:
    family = [v for v in verdicts if (v.metric, v.count, v.against) == ("dice", 4, "scratch")]
    smallest = min(family, key=lambda v: v.p)
    assert smallest.holm == pytest.approx(min(1, 3 * smallest.p))
    assert all(v.holm >= v.p for v in verdicts)


def test_a_distance_is_turned_around_but_shown_as_it_is(whole, verdicts: list[Verdict]) -> None:
    v = one(verdicts, arm="good", count=4, against="scratch", metric="hd95")
    arm, against = (cube(whole, whole.study.scores[1], name, 4).values for name in ("good", "scratch"))
    assert v.difference == pytest.approx((arm - against).mean())
    assert v.difference < 0 < v.gain
    assert (v.low, v.high) == (-v.gain_high, -v.gain_low)
    assert v.given_high < 0
    assert (v.margin, v.non_inferior, v.equivalent) == (None, None, None)
    assert one(verdicts, arm="bad", count=4, against="scratch", metric="hd95").difference > 0


def test_other_budgets_meet_the_longer_scratch_alone(verdicts: list[Verdict]) -> None:
    assert not [v for v in verdicts if v.arm == "scratch-x3"]
    longer = [v for v in verdicts if (v.family, v.count, v.role) == ("longer scratch", 4, "main")]
    assert [(v.arm, v.against, v.comparisons) for v in longer] == [
        (arm, "scratch-x3", 4) for arm in ("scratch", "good", "bad", "idle")
    ]


def test_every_verdict_is_plain_and_has_its_sentence(verdicts: list[Verdict]) -> None:
    text = json.dumps([v.as_dict() for v in verdicts], allow_nan=False)
    assert '"below_margin": false' in text
    assert all(v.sentence.startswith(v.arm) for v in verdicts)


def judged(folder: Path, **design: object) -> list[Verdict]:
    return judge(collect(write_study_folder(folder, **({"counts": ("all",), "patients": 6} | design))))


def test_an_arm_against_itself(tmp_path: Path) -> None:
    folder = write_study_folder(tmp_path, counts=("all",))
    for seed in (0, 1, 2):
        runs = folder / "runs" / "unet_hippocampus"
        for name in ("test/metrics.csv",):
            same = (runs / f"scratch-all-seed{seed}-lr0.002" / name).read_text(encoding="utf-8")
            (runs / f"cpc3d-all-seed{seed}-lr0.002" / name).write_text(
                same.replace("scratch", "cpc3d"), encoding="utf-8"
            )
    v = judge(collect(folder))[0]
    assert (v.word, v.difference, v.low, v.high, v.p, v.holm, v.given_p) == ("no evidence", 0, 0, 0, 1, 1, 1)
    assert (v.sd_seed, v.sd_patient, v.sd_residual, v.smallest_difference) == (0, 0, 0, 0)
    assert (v.non_inferior, v.equivalent, v.seeds_needed, v.patients_needed) == (True, True, None, None)
    assert "The scores are the same, number for number." in v.sentence


def test_two_seeds_are_not_judged_but_described(tmp_path: Path) -> None:
    v = judged(tmp_path, seeds=(0, 1), effect=0.2)[0]
    assert (v.word, v.seeds, v.p, v.gain, v.non_inferior) == ("not judged", 2, None, None, None)
    assert "2 paired seeds, and at least 3 are needed" in v.sentence
    assert v.difference == pytest.approx(v.arm_mean - v.against_mean)


def test_one_seed_has_no_spread_over_seeds(tmp_path: Path) -> None:
    v = judged(tmp_path, seeds=(0,))[0]
    assert (v.word, v.seeds, v.arm_sd) == ("not judged", 1, None)


def test_one_patient_is_not_judged(tmp_path: Path) -> None:
    v = judged(tmp_path, patients=1)[0]
    assert (v.word, v.patients) == ("not judged", 1)
    assert "1 patient, and at least 2 are needed" in v.sentence


def test_an_arm_with_a_failed_run_is_said_and_costs_the_others_the_same(tmp_path: Path) -> None:
    arms = {"arms": ("scratch", "cpc3d", "rpl3d"), "effect": {"cpc3d": 0.03}}
    before = one(judged(tmp_path / "a", **arms), arm="cpc3d")
    after = judged(tmp_path / "b", **arms, failed=("finetune-rpl3d-all-seed1",))
    lost = one(after, arm="rpl3d")
    assert (lost.word, lost.seeds) == ("not judged", 2)
    assert one(after, arm="cpc3d").comparisons == before.comparisons == 2
    assert one(after, arm="cpc3d").holm >= before.holm


def test_a_study_that_has_hardly_begun(tmp_path: Path) -> None:
    keys = [f"finetune-cpc3d-all-seed{seed}" for seed in (0, 1, 2)]
    v = judged(tmp_path, unfinished=keys)[0]
    assert (v.word, v.seeds, v.patients, v.difference) == ("not judged", 0, 0, None)
    assert "no replicate is finished in both arms" in v.sentence


def test_replicates_are_paired(tmp_path: Path) -> None:
    v = judged(tmp_path, seeds=(0, 1, 2, 3), failed=("finetune-scratch-all-seed3",))[0]
    assert (v.seeds, v.seeds_planned) == (3, 4)
    assert "3 of 4 seeds" in v.sentence


def test_clear_but_smaller_than_what_matters(tmp_path: Path) -> None:
    v = judged(
        tmp_path, effect=0.02, margin=0.1, patients=20, seed_sd=0.0005, interaction_sd=0.001, noise_sd=0.001
    )[0]  # fmt: skip
    assert (v.word, v.below_margin, v.equivalent) == ("helps", True, True)
    assert "smaller than 0.100, the smallest that matters" in v.sentence


def test_all_scores_equal(tmp_path: Path) -> None:
    flat = {"seed_sd": 0.0, "patient_sd": 0.0, "interaction_sd": 0.0, "noise_sd": 0.0}
    assert judged(tmp_path / "a", **flat)[0].word == "no evidence"
    v = judged(tmp_path / "b", **flat, effect=0.1)[0]
    assert v.word == "not judged"
    assert "the very same difference" in v.sentence


def test_variants_are_judged_on_their_own(tmp_path: Path) -> None:
    found = judged(tmp_path, variants={"small": {"filters": [4]}, "large": {"filters": [8]}})
    assert [(v.variant, v.comparisons) for v in found] == [("small", 1), ("large", 1)]


def test_other_patients_are_not_compared(tmp_path: Path) -> None:
    folder = write_study_folder(tmp_path, counts=("all",))
    for seed in (0, 1, 2):
        file = folder / "runs" / "unet_hippocampus" / f"cpc3d-all-seed{seed}-lr0.002" / "test" / "metrics.csv"
        file.write_text(
            file.read_text(encoding="utf-8").replace(",6,", ",66,").replace("case_6_", "case_66_"), encoding="utf-8"
        )
    v = judge(collect(folder))[0]
    assert v.word == "not judged"
    assert v.reason


def test_numbers_are_finite_or_missing(verdicts: list[Verdict]) -> None:
    for v in verdicts:
        assert all(np.isfinite(x) for x in v.as_dict().values() if isinstance(x, float) and not math.isinf(x))
