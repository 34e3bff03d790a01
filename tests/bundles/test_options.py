from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medvol.bundles import options
from medvol.bundles.options import file_to_write, folder_to_write, overrides_of, positive, write_json


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("--steps 3", {"steps": 3}),
        ("--learning_rate 1e-3", {"learning_rate": 1e-3}),
        ("--train#trainer#clip_norm 2.0", {"train::trainer::clip_norm": 2.0}),
        ("--modalities ['t1','t2']", {"modalities": ["t1", "t2"]}),
        ("--mlflow false", {"mlflow": "false"}),
        ("--restart --steps=2", {"restart": True, "steps": 2}),
        ("--offset -3", {"offset": -3}),
    ],
)
def test_overrides_are_read_as_monai_reads_them(words: str, value: dict) -> None:
    assert overrides_of(words.split()) == value


@pytest.mark.parametrize(
    ("words", "instead"),
    [("--shards None", "write --shards null"), ("--validate::validator::pictures=None", r"pictures '\$None'")],
)
def test_none_is_refused_for_a_run_would_leave_it_out(words: str, instead: str) -> None:
    with pytest.raises(ValueError, match=f"a run leaves None out.*{instead}"):
        overrides_of(words.split())


@pytest.mark.parametrize("word", ["0", "-1", "1.5", "two", "", "²"])
def test_what_is_no_positive_number(word: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1 is expected; found"):
        positive(word)


@pytest.mark.parametrize("take", [file_to_write, folder_to_write])
def test_a_place_below_a_file_or_without_rights(
    take: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(argparse.ArgumentTypeError, match=r"is expected; found .*file"):
        take(str(tmp_path / "file" / "x"))
    monkeypatch.setattr(options.os, "access", lambda place, mode: False)
    with pytest.raises(argparse.ArgumentTypeError, match="which takes no files"):
        take(str(tmp_path / "x"))


def test_a_folder_is_there_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (".", "new", "new/below", str(tmp_path)):
        assert folder_to_write(place) == str(Path(place))
    assert list(tmp_path.iterdir()) == []
    Path("file").touch()
    with pytest.raises(argparse.ArgumentTypeError, match="found the file file; correct the path"):
        folder_to_write("file")


def test_json_that_cannot_be_written_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json({"a": "ä"}, str(tmp_path / "a.json"))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "ä"}
    write_json({}, None)
    with pytest.raises(OSError, match=r"the JSON must .*; found 'No such file.*' at .*a\.json; choose") as no:
        write_json({}, str(tmp_path / "none" / "a.json"))
    assert ".part" not in str(no.value)
