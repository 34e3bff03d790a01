from __future__ import annotations

from pathlib import Path

import pytest

import medvol
from medvol.__main__ import build_parser, main


def test_every_leaf_runs_something() -> None:
    for words in ("cache show", "manifest verify x.json", "manifest split x.json --out y.json"):
        assert callable(build_parser().parse_args(words.split()).run)


def test_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert medvol.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["nonsense"], ["manifest"], ["manifest", "split", "x.json"]])
def test_a_wrong_command_is_refused(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_an_error_is_one_sentence_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["manifest", "describe", str(tmp_path / "none.json")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("medvol: a manifest is a name or a JSON file; there is no file")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("spelling", ["--label_counts", "--label-counts"])
def test_options_take_both_spellings(spelling: str) -> None:
    chosen = build_parser().parse_args(["manifest", "split", "x.json", "--out", "y.json", spelling, "4", "16"])
    assert chosen.label_counts == [4, 16]
