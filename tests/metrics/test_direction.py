from __future__ import annotations

import pytest

from medvol.metrics.direction import DISTANCES, HIGHER, LOWER, higher_is_better, is_distance, metric_title
from medvol.metrics.segmentation import METRICS


@pytest.mark.parametrize("metric", ["dice", "lesion_dice", "kappa", "accuracy", "auroc"])
def test_more_is_better(metric: str) -> None:
    assert higher_is_better(metric) is True


@pytest.mark.parametrize(
    "metric", "hd95 lesion_hd95 assd asd absolute_error brier mae loss surface_distance hausdorff".split()
)
def test_less_is_better(metric: str) -> None:
    assert higher_is_better(metric) is False


def test_what_is_not_known_is_not_guessed() -> None:
    assert higher_is_better("mine") is higher_is_better("dise") is higher_is_better("") is None


def test_every_metric_that_medvol_writes_is_known() -> None:
    assert all(higher_is_better(metric) is not None for metric in METRICS)
    assert not set(HIGHER) & set(LOWER)
    assert set(DISTANCES) < set(LOWER)


def test_distances_behind_a_region() -> None:
    assert [is_distance(name) for name in ("hd95", "val_whole_assd", "whole_dice", "grade_absolute_error")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_titles() -> None:
    assert [metric_title(name) for name in ("dice", "assd", "lesion_dice")] == ["Dice", "ASSD", "lesion dice"]
