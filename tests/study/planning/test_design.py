from __future__ import annotations

import pytest

from medvol.study.planning.design import Arm, Pretraining, Score


@pytest.mark.parametrize(
    "metric", ["hd95", "lesion_hd95", "surface_distance", "absolute_error", "loss", "assd", "asd", "brier", "mae"]
)
def test_lower_is_better_for_distances_and_errors(metric: str) -> None:
    assert Score(metric, "WT").higher_is_better is False


@pytest.mark.parametrize("metric", ["dice", "lesion_dice", "kappa", "accuracy"])
def test_higher_is_better_for_the_rest(metric: str) -> None:
    assert Score(metric, "WT").higher_is_better is True


def test_a_direction_that_is_not_known_is_not_guessed() -> None:
    assert Score("mine").higher_is_better is None
    assert Score("mine", higher_is_better=False).higher_is_better is False


def test_names_of_a_score() -> None:
    assert (Score().name, Score("hd95", "WT").curve) == ("mean dice", "val_WT_hd95")


def test_where_an_arm_starts() -> None:
    assert Arm("a", longer=3).starts_from_scratch
    assert not Arm("a", weights="w").starts_from_scratch
    assert not Arm("a", Pretraining("cpc3d")).starts_from_scratch
    assert Pretraining("cpc3d", None, {"a": 1}) == Pretraining("cpc3d", None, {"a": 1})
