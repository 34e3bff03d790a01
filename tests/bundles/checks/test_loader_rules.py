from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medvol.bundles.checks.loader_rules import apart_rule
from medvol.bundles.opening import open_bundle


def test_batches_of_several_patients_are_no_problem(overrides: Callable[..., dict]) -> None:
    for bundle in ("exemplar3d", "cpc3d"):
        assert list(apart_rule(open_bundle(bundle, overrides=overrides(bundle)))) == []


@pytest.mark.parametrize(("bundle", "words"), [("exemplar3d", "batch_size"), ("exemplar2d", "batch_size")])
def test_a_batch_of_one_image_is_refused(overrides: Callable[..., dict], bundle: str, words: str) -> None:
    problems = list(apart_rule(open_bundle(bundle, overrides=overrides(bundle, batch_size=1))))
    assert len(problems) == 2
    assert all(words in problem.found for problem in problems)


def test_a_single_patient_for_validation_is_refused(overrides: Callable[..., dict], dataset: Path) -> None:
    opened = open_bundle("exemplar3d", overrides=overrides("exemplar3d", manifest=str(dataset)))
    (problem,) = apart_rule(opened)
    assert "'validate::dataloader'" in problem.expected
    assert "patient" in problem.found


def test_a_partner_must_be_another_patient(overrides: Callable[..., dict], dataset: Path) -> None:
    assert list(apart_rule(open_bundle("volumefusion3d", overrides=overrides("volumefusion3d")))) == []
    few = {"manifest": str(dataset), "num_patients": 1}  # and a single patient for validation
    training, validation = apart_rule(open_bundle("volumefusion3d", overrides=overrides("volumefusion3d", **few)))
    assert "'train::dataset'" in training.expected
    assert training.remedy == "give more patients by --num_patients or in the manifest"
    assert "'validate::dataset'" in validation.expected
    assert "manifest split" in validation.remedy
    assert all("there must be at least 2 of them" in problem.found for problem in (training, validation))
