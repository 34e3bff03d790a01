from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.bundles.args_files import with_args_file
from medvol.bundles.checks.check import check_bundle


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "args_short.json"
    path.write_text(json.dumps({"steps": 7, "shards": None, "network": {"grid": [3, 3, 3], "hidden": 8}}), "utf-8")
    return path


def test_what_is_given_by_hand_wins_and_objects_are_merged(file: Path) -> None:
    given = {"network": {"hidden": 16}, "seed": 1}
    found = with_args_file([file], given)
    assert found == {"steps": 7, "shards": None, "network": {"grid": [3, 3, 3], "hidden": 16}, "seed": 1}
    assert with_args_file(str(file), {"steps": 9, "shards": "s"}) == {
        **with_args_file(file, {}),
        "steps": 9,
        "shards": "s",
    }
    assert with_args_file(None, given) == with_args_file([], given) == given


def test_it_reads_as_the_runner_reads(file: Path) -> None:
    from monai.bundle.scripts import update_kwargs

    given = {"network": {"hidden": 16}, "seed": 1, "train::trainer::clip_norm": 2.0}
    assert with_args_file(file, given) == update_kwargs(str(file), True, **given)


@pytest.mark.parametrize(
    ("name", "bundle", "words"),
    [
        ("args_shrt.json", None, r"did you mean '.*args_short\.json'\?; correct the path"),
        ("none/args_brats208.json", "mae3d", r"none at .*did you mean '.*mae3d/args_brats2018\.json'"),
        ("none/args_vit", "mae3d", r"did you mean '.*mae3d/args_vit\.json'"),
        ("none/qqqq.json", "no such bundle", r"none at .*qqqq\.json; correct the path"),
    ],
)
def test_a_missing_file_names_the_nearest(file: Path, name: str, bundle: str | None, words: str) -> None:
    with pytest.raises(FileNotFoundError, match=words):
        with_args_file(file.parent / name, {}, bundle)


def test_one_object_in_one_file(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one --args_file is expected.*write their keys into one"):
        with_args_file([file, file], {})
    other = tmp_path / "list.json"
    other.write_text("[1]", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold a JSON object; found list"):
        with_args_file(other, {})


def test_show_takes_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "shown.json"
    words = ["show", "cpc3d", "--args_file", str(file), "--seed", "5", "--keys", "steps", "seed", "--json", str(out)]
    assert main(words) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == {"steps": 7, "seed": 5}
    assert main(["show", "cpc3d", "--args-file", str(file.with_name("none.json"))]) == 2
    assert "--args_file must be" in capsys.readouterr().err


def test_check_prints_a_command_that_takes_it_too(file: Path) -> None:
    file.write_text(json.dumps({"steps": 7, "stepz": 1}), encoding="utf-8")
    report = check_bundle("cpc3d", overrides={"seed": 5}, estimate_steps=0, args_file=file)
    assert [problem.found for problem in report.problems if "stepz" in problem.found]
    assert report.facts["budget"].startswith("7 steps")
    assert report.command.endswith(f"--args_file {file} --seed 5")
