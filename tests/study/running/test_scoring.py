"""The identity of scores."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from medvol.study.running.scoring import Scoring, drop_scores, is_current, read_scoring, score, scoring_of

GIVEN = {"section": "test", "device": "cpu", "manifest": "hippocampus"}
WANTED = Scoring("recipe", "weights", {"code": "now"})


def write(place: Path, scoring: Scoring | None) -> Path:
    place.mkdir()
    (place / "metrics.csv").write_text("case\n", encoding="utf-8")
    if scoring is not None:
        (place / "scoring.json").write_text(json.dumps(asdict(scoring)), encoding="utf-8")
    return place


def test_what_can_change_the_scores_changes_the_identity(tmp_path: Path) -> None:
    one = scoring_of("unet_hippocampus", tmp_path, GIVEN, "w")
    assert one == scoring_of(
        "unet_hippocampus", tmp_path / "b", {**GIVEN, "device": "cuda", "save_predictions": False}, "w"
    )
    others = [
        {"section": "validation"},
        {"corruption": "noise"},
        {"corruption": "noise", "severity": 3},
        {"overlap": 0.1},
    ]
    found = [scoring_of("unet_hippocampus", tmp_path, {**GIVEN, **other}, "w").recipe for other in others]
    assert len({one.recipe, *found}) == 5
    assert one.versions["code"]


def test_an_evaluation_takes_on_what_the_passport_says(tmp_path: Path) -> None:
    before = scoring_of("unet_hippocampus", tmp_path, GIVEN, "w")
    (tmp_path / "model.pt").write_bytes(b"")
    (tmp_path / "passport.json").write_text('{"recipe": {"spacing": [2.0, 2.0, 2.0]}}', encoding="utf-8")
    assert scoring_of("unet_hippocampus", tmp_path, GIVEN, "w").recipe != before.recipe


@pytest.mark.parametrize(
    ("found", "current", "accepted"),
    [
        (WANTED, True, True), (replace(WANTED, versions={}), False, True), (None, False, True),
        (replace(WANTED, recipe="r"), False, False), (replace(WANTED, weights="w"), False, False),
    ],
)  # fmt: skip
def test_which_scores_are_kept(found: Scoring | None, current: bool, accepted: bool, tmp_path: Path) -> None:
    place = write(tmp_path / "test", found)
    assert read_scoring(place) == found
    assert (is_current(place, WANTED), is_current(place, WANTED, True)) == (current, accepted)
    (place / "metrics.csv").unlink()
    assert not is_current(place, WANTED, True)


@pytest.mark.parametrize("note", ["", "[]", '{"recipe": "a"}', '{"recipe": "a", "weights": "b", "versions": 3}'])
def test_a_damaged_note_says_nothing(note: str, tmp_path: Path) -> None:
    place = write(tmp_path / "test", WANTED)
    (place / "scoring.json").write_text(note, encoding="utf-8")
    assert read_scoring(place) is None


def test_scores_appear_with_their_note_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(bundle: str, config: str, results_dir: str, **given: object) -> None:
        write(Path(results_dir), None)
        if given["section"] == "broken":
            raise OSError("disk full")

    monkeypatch.setattr("medvol.bundles.run", run)
    with pytest.raises(OSError, match="disk full"):
        score("unet", tmp_path, "test", {"section": "broken"}, WANTED)
    assert not (tmp_path / "test").exists()
    score("unet", tmp_path, "test", {"section": "test"}, WANTED)
    assert is_current(tmp_path / "test", WANTED)
    drop_scores(tmp_path)
    assert list(tmp_path.iterdir()) == []
