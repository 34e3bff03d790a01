from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medvol.__main__ import build_parser, main


def test_a_value_without_a_key_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["show", "cpc3d", "loose"]) == 2
    assert "--key value" in capsys.readouterr().err


def test_commands_without_overrides_refuse_unknown_options(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["list", "--steps", "3"])
    assert stopped.value.code == 2
    assert "--steps" in capsys.readouterr().err


def test_options_of_a_bundle_are_never_taken_for_a_shortened_one_of_ours(tmp_path: Path) -> None:
    chosen, rest = build_parser().parse_known_args(["check", "cpc3d", "--estimate", "3"])
    assert (chosen.estimate_steps, rest) == (
        build_parser().parse_args(["check", "x"]).estimate_steps,
        ["--estimate", "3"],
    )


@pytest.mark.parametrize("words", ["check cpc3d --no_estimat", "check cpc3d --no-est", "show cpc3d --key steps"])
def test_a_slip_in_an_option_of_the_command_is_named(words: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    assert "did you mean --" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["list --json", "check cpc3d --json", "doctor --json", "card cpc3d --out"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for place in (tmp_path / "none" / "a.json", tmp_path):
        with pytest.raises(SystemExit) as stopped:
            main([*words.split(), str(place)])
        assert stopped.value.code == 2
        assert "a file in a folder that exists is expected" in capsys.readouterr().err


def test_reading_the_words_does_not_load_torch() -> None:
    build_parser()
    place = sys.modules["medvol.bundles.commands"].__dict__
    assert not {"torch", "monai"} & set(place)
