from __future__ import annotations

import pytest

from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.study.planning.design import Robustness, Score
from medvol.study.planning.written import corruption_problems, score_problems, written_scores


@pytest.fixture(scope="module")
def evaluation() -> OpenBundle:
    return open_bundle("unet_hippocampus", "evaluate.json")


def test_what_a_bundle_writes(evaluation: OpenBundle) -> None:
    metrics, regions = written_scores(evaluation)
    assert metrics == ["dice", "hd95", "lesion_dice", "lesion_hd95"], "the defaults of the scores' class"
    assert regions == ["anterior", "posterior", "whole"]
    less = open_bundle("unet_hippocampus", overrides={"scores::metrics": ["dice"]})
    assert written_scores(less, "scores") == (["dice"], ["anterior", "posterior", "whole"])
    assert written_scores(open_bundle("cpc3d"), "scores") == (None, None)
    metrics, regions = written_scores(open_bundle("classify2d", "evaluate.json", {"targets": {"grade": ["0", "1"]}}))
    assert metrics is None, "they depend on the mode"
    assert regions == ["grade"]


def test_scores_are_compared_as_far_as_they_are_known() -> None:
    assert list(score_problems(Score("dice", "mean"), 0, ["dice"], ["whole"])) == []
    assert list(score_problems(Score("kappa", "grade"), 0, None, None)) == []
    problems = list(score_problems(Score("hd59", "hole"), 1, ["dice", "hd95"], ["whole"]))
    assert [problem.found for problem in problems] == [
        "'hd59'; did you mean 'hd95'?", "'hole'; did you mean 'whole'?",
    ]  # fmt: skip
    assert "scores::1::metric" in problems[0].expected
    assert problems[1].remedy == "give one of mean, whole"


def test_corruptions_are_asked_of_the_component(evaluation: OpenBundle) -> None:
    assert list(corruption_problems(evaluation, Robustness(("noise", "rotation"), (1, 5), ("all",)))) == []
    (problem,) = corruption_problems(evaluation, Robustness(("noise", "rotations"), (1, 5), ("all",)))
    assert "('rotations', 1)" in problem.expected
    assert "did you mean 'rotation'" in problem.found


def test_an_evaluation_that_cannot_corrupt() -> None:
    (problem,) = corruption_problems(open_bundle("cpc3d"), Robustness(("noise",), (1,), ("all",)))
    assert problem.expected == "an evaluation with the keys 'corruption' and 'severity'"
