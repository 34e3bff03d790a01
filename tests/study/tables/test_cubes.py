"""Cubes of scores by replicate and patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from studies import write_study_folder

from medvol.study.planning.design import Score
from medvol.study.tables.cubes import Cells, check_score, corrupted_cube, cube
from medvol.study.tables.table import collect


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    robustness = {"corruptions": ["noise"], "severities": [1], "counts": ["all"]}
    return collect(
        write_study_folder(
            tmp_path_factory.mktemp("study"), patients=12, cases_per_patient=2, robustness=robustness, noise_sd=0,
            unfinished=["finetune-cpc3d-4-seed1"], scores=(("dice", "mean"), ("hd95", "mean")),
        )
    )  # fmt: skip


def table(rows):
    columns = "variant arm count replicate patient case region metric value".split()
    return pd.DataFrame([("", "a", "4", *row[:3], "mean", "dice", row[3]) for row in rows], columns=columns)


def test_the_mean_over_the_cases_of_a_patient_comes_first():
    rows = [(0, "p10", "x", 1.0), (0, "p9", "y", 0.0), (0, "p9", "z", 0.5), (2, "p9", "y", 0.25), (2, "p10", "x", 0.5),
            (2, "p9", "z", 0.75)]  # fmt: skip
    found = Cells.of(table(rows)).cube(("", "a", "4", "mean", "dice"))
    assert (found.replicates, found.patients) == ((0, 2), ("p9", "p10"))
    np.testing.assert_array_equal(found.values, [[0.25, 1.0], [0.5, 0.5]])


def test_a_patient_without_a_score_is_a_gap_and_not_a_number():
    rows = [(0, "p1", "x", 1.0), (0, "p2", "y", 0.0), (1, "p1", "x", 0.5)]
    found = Cells.of(table(rows)).cube(("", "a", "4", "mean", "dice"))
    np.testing.assert_array_equal(found.values, [[1.0, 0.0], [0.5, np.nan]])


def test_a_cube_equals_the_means_of_the_table(collected):
    found = cube(collected, Score(), "cpc3d", "all")
    assert found.patients == tuple(str(n) for n in range(1, 13))  # 2 stands before 10
    assert found.replicates == (0, 1, 2)
    scores = collected.scores.query("arm == 'cpc3d' and count == 'all' and region == 'mean' and metric == 'dice'")
    expected = scores.pivot_table(index="replicate", columns="patient", values="value")
    np.testing.assert_allclose(found.values, expected[list(found.patients)].to_numpy())


def test_unfinished_replicates_are_not_there_and_a_cell_without_runs_is_empty(collected):
    assert cube(collected, Score(), "cpc3d", 4).replicates == (0, 2)
    from dataclasses import replace

    empty = replace(collected, scores=collected.scores.iloc[:0])
    assert cube(empty, Score(), "cpc3d", 4).values.shape == (0, 0)


def test_corrupted_scores_have_cubes_of_their_own(collected):
    loss = (
        cube(collected, Score(), "scratch", "all").values
        - corrupted_cube(collected, Score(), "scratch", "all", "noise", 1).values
    )
    np.testing.assert_allclose(loss, 0.04)
    assert corrupted_cube(collected, Score(), "scratch", 4, "noise", 1).replicates == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((Score(), "cpc3", 4), "an arm must be one of 'scratch', 'cpc3d'; found 'cpc3'; did you mean 'cpc3d'"),
        ((Score(), "cpc3d", 5), "a label count must be one of '4', 'all'; found '5'"),
        ((Score(), "cpc3d", 4, "small"), "a variant must be one of ''; found 'small'"),
        ((Score("dise"), "cpc3d", 4), "a score's metric must be one of .*; found 'dise'; did you mean 'dice'"),
        ((Score("dice", "posterio"), "cpc3d", 4), "a score's region must be one of .*; did you mean 'posterior'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_one(collected, arguments, words):
    with pytest.raises(ValueError, match=words):
        cube(collected, *arguments)


def test_a_region_of_another_metric_is_refused():
    scores = pd.DataFrame({"metric": ["dice", "hd95"], "region": ["whole", "front"]})
    check_score(scores, Score("dice", "whole"))
    with pytest.raises(ValueError, match="a region of dice must be one of 'whole'; found 'front'"):
        check_score(scores, Score("dice", "front"))
