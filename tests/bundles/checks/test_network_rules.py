from __future__ import annotations

from collections.abc import Callable

import pytest

from medvol.bundles.checks.check import check_bundle
from medvol.bundles.checks.network_rules import network_rule, preprocessing_rule
from medvol.bundles.checks.rules import IN_CHECK, problems_of
from medvol.bundles.opening import open_bundle


def test_a_network_that_can_be_built_is_no_problem(overrides: Callable[..., dict]) -> None:
    for bundle in ("cpc3d", "unet_brats"):
        opened = open_bundle(bundle, overrides=overrides(bundle))
        assert list(network_rule(opened)) == []
        assert opened.parser.ref_resolver.items == {}, "the network was built by another parser"


def test_a_network_that_cannot_be_built_is_not_ready(overrides: Callable[..., dict]) -> None:
    report = check_bundle("cpc3d", overrides=overrides("cpc3d", filters=[8]), estimate_steps=0)
    (problem,) = report.problems
    assert problem.expected == "settings that 'network_def' can be built from"
    assert problem.found == "list index out of range"
    assert report.facts["network"] == "cannot be told, see the problems below"
    assert not report.ok


def test_what_is_around_it_counts_too(overrides: Callable[..., dict]) -> None:
    given = overrides("cpc3d", **{"network::grid": ["many"]})
    problems = list(network_rule(open_bundle("cpc3d", overrides=given)))
    assert [problem.expected for problem in problems] == ["settings that 'network' can be built from"]


@pytest.mark.parametrize(
    ("bundle", "given", "words"),
    [
        ("rpl3d", {"grid": [3, 2, 3]}, "axis 1: expected an odd number of patches"),
        (
            "rpl2d",
            {"crop_size": [24, 12, 1]},
            "axis 1: expected a cell of at least 8 voxels (patch 6 and gap 2), found 4",
        ),
        (
            "jigsaw2d",
            {"grid": [2, 2, 1], "num_permutations": 25},
            "at most 24 permutations of 4 patches, found size 25",
        ),
        ("rotation3d", {"crop_size": [24, 24, 20], "rotations": 10}, "axis 2: expected a cube for 10 rotations"),
    ],
)
def test_sizes_that_do_not_fit_are_told_by_axis(
    overrides: Callable[..., dict], bundle: str, given: dict, words: str
) -> None:
    opened = open_bundle(bundle, overrides=overrides(bundle, **given))
    problems = [*preprocessing_rule(opened), *network_rule(opened)]
    assert any(words in problem.found for problem in problems), problems
    assert list(preprocessing_rule(open_bundle(bundle, overrides=overrides(bundle)))) == []


def test_a_loss_that_cannot_be_built(overrides: Callable[..., dict]) -> None:
    (problem,) = preprocessing_rule(open_bundle("exemplar3d", overrides=overrides("exemplar3d", temperature=0)))
    assert problem.expected == "settings that 'loss' can be built from"
    assert "temperature must be positive" in problem.found


def test_one_cause_is_told_once(overrides: Callable[..., dict], trained: dict) -> None:
    weights = str(trained["cpc3d"] / "model.pt")
    opened = open_bundle("unet_brats", overrides=overrides("unet_brats", filters=[8], pretrained=weights))
    assert len([p for p in problems_of(IN_CHECK, opened) if "can be built" in p.expected]) == 1
    opened = open_bundle("cpc3d", overrides=overrides("cpc3d", **{"network_def::filtres": 3}))
    assert ["arguments" in problem.expected for problem in problems_of(IN_CHECK, opened)] == [True]
