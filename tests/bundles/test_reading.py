from __future__ import annotations

from pathlib import Path

import pytest

from medvol.bundles.reading import read_json


@pytest.mark.parametrize(("text", "found"), [("", "line 1"), ("[]", "found list"), ("{\n'a': 1}", "line 2")])
def test_what_is_no_object_of_json(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=found):
        read_json(tmp_path / "a.json")


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"arms": {"a": {"steps": 1, "b": 2, "steps": 3}}, "steps": 1}')
    with pytest.raises(ValueError, match=r"a\.json must have every key once .*found 'steps' 2 times, beside 'b'; "):
        read_json(tmp_path / "a.json")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found none at .*correct the path"):
        read_json(tmp_path / "a.json")
