"""The identity of what lies in a run's place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from medvol.study.running.sameness import (
    Identity,
    OtherCodeError,
    OtherRecipeError,
    identity_of,
    read_begun,
    read_finished,
    require_same,
)

WANTED = Identity("a" * 64, {"steps": 3, "train": {"clip": 1.0}, "manifest": "b" * 64}, {"code": "c" * 64})
FOUND = {"hash": WANTED.hash, "recipe": dict(WANTED.recipe), "versions": dict(WANTED.versions)}
HERE = Path("runs/unet/scratch-2-seed0")


def test_the_same_run_passes() -> None:
    require_same(FOUND, WANTED, HERE)


def test_other_code_passes_only_if_accepted() -> None:
    other = {**FOUND, "hash": "d" * 64, "versions": {"code": "e" * 64}}
    with pytest.raises(OtherCodeError, match=r"'scratch-2-seed0' .*made by code eeeeeeee and not cccccccc; keep it wi"):
        require_same(other, WANTED, HERE)
    require_same(other, WANTED, HERE, accept_other_code=True)


@pytest.mark.parametrize("accept", [False, True])
def test_another_recipe_never_passes_and_what_differs_is_named(accept: bool) -> None:
    recipe = {"steps": 4, "train": {"clip": 2.0}, "manifest": "f" * 64, "arm": "x" * 99, "unknown": None}
    with pytest.raises(OtherRecipeError) as caught:
        require_same({**FOUND, "recipe": recipe}, WANTED, HERE, accept)
    message = str(caught.value)
    assert "manifest ffffffff and not bbbbbbbb, steps 4 and not 3 and 1 more" in message
    assert f'arm "{"x" * 56}... and not null' in message
    assert "choose another --out, or remove" in message
    with pytest.raises(OtherRecipeError):
        require_same({"hash": WANTED.hash}, WANTED, HERE, accept)


def test_a_finished_run_has_both_files_and_the_weights_of_its_passport(tmp_path: Path) -> None:
    assert read_finished(tmp_path / "none") is None
    (tmp_path / "model.pt").write_bytes(b"weights")
    assert read_finished(tmp_path) is None
    record = {"hash": "a", "weights": hashlib.sha256(b"weights").hexdigest()}
    (tmp_path / "passport.json").write_text(json.dumps(record), encoding="utf-8")
    assert read_finished(tmp_path) == record
    (tmp_path / "model.pt").write_bytes(b"weigh")
    with pytest.raises(ValueError, match=r"model\.pt must hold the weights .*found other bytes; remove the folder"):
        read_finished(tmp_path)
    (tmp_path / "model.pt").unlink()
    assert read_finished(tmp_path) is None


def test_the_note_of_a_run_that_began(tmp_path: Path) -> None:
    assert read_begun(tmp_path) is None
    note = tmp_path / "run.json"
    note.write_text(json.dumps({**FOUND, "bundle": "unet"}), encoding="utf-8")
    assert read_begun(tmp_path) == FOUND
    for text in ("", "[]", '{"hash": "a"}'):
        note.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"run\.json must say which run was begun there; found .*; remove"):
            read_begun(tmp_path)


def test_identity_covers_settings_and_not_places() -> None:
    given = {"steps": 3, "mlflow": False, "pretrained": None, "manifest": None}
    one = identity_of("unet_hippocampus", given)
    two = identity_of("unet_hippocampus", {**given, "output_dir": "elsewhere", "run_name": "x", "pretrained": "none"})
    assert one == two
    assert identity_of("unet_hippocampus", {**given, "steps": 4}).hash != one.hash
