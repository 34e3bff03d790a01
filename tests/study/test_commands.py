from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_study import write_tiny_study

from medvol.__main__ import main
from medvol.study.commands import study_folder
from medvol.study.planning.costs import GroupCost, PlanCost
from medvol.study.planning.plan import Plan
from medvol.study.running.run import Outcome


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> str:
    return str(write_tiny_study(tmp_path_factory.mktemp("commands"), write_tiny_dataset))


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvol.study.planning.preflight.check_plan", lambda plan: None)


def test_list(capsys: pytest.CaptureFixture) -> None:
    assert main(["study", "list"]) == 0
    assert "smoke" in capsys.readouterr().out


def test_plan_prints_and_writes_nothing_but_what_is_asked_for(
    study_file: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "plan.json"
    assert main(["study", "plan", study_file, "--no_estimate", "--json", str(file), "--steps", "6"]) == 0
    shown = capsys.readouterr().out
    assert "runs      10" in shown
    assert "note      2 seeds: arms will not be judged" in shown
    content = json.loads(file.read_text(encoding="utf-8"))
    assert {run["steps"] for run in content["runs"] if run["kind"] == "finetune"} == {6}
    assert (content["cost"], content["study"]["downstream"]["overrides"]["steps"]) == (None, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_plan_tells_the_cost(study_file: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def estimated(plan: Plan, steps: int, jobs: int) -> PlanCost:
        group = GroupCost("finetune", "b", ("a",), ("",), 3, 10.0 * steps, 5.0, 0.0, 10**9, None, 2 * 10**6, 0)
        return PlanCost((group,), jobs)

    monkeypatch.setattr("medvol.study.planning.costs.estimate_plan", estimated)
    assert main(["study", "plan", study_file, "--estimate-steps", "6", "--jobs", "2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "time about 30 s: 1 min 0 s of fine-tuning (a, 3 runs, 5 s of it scoring); by 2 processes" in shown
    assert "memory 2000 MB disk 2 MB in the study's folder" in shown


def test_run_goes_into_the_studys_folder(
    study_file: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[tuple[Any, ...]] = []
    outcome = Outcome(7, {}, 3)

    def run_study(plan: Plan, folder: Path, jobs: int, accept_other_code: bool, report: Callable) -> Outcome:
        asked.append((plan.dataset_dir, folder.as_posix(), jobs, accept_other_code))
        report("[1/10] a run")
        return outcome

    monkeypatch.setattr("medvol.study.running.run.run_study", run_study)
    assert main(["study", "run", study_file]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("note: 2 seeds: arms will not be judged")
    assert shown.partition("\n")[2].startswith("[1/10] a run\n7 runs carried out, 3 done before, 0 failed\n")
    assert "study report studies/tiny" in shown
    outcome = Outcome(0, {"a": "no"}, 0)
    data = Path(study_file).parent / "data"
    words = ["--out", "there", "--jobs", "2", "--accept_other_code", "--dataset_dir", str(data)]
    assert main(["study", "run", study_file, *words]) == 1, "scripts learn that a run failed"
    Path("there", "plan.json").write_text(json.dumps({"dataset_dir": str(data)}), encoding="utf-8")
    main(["study", "run", study_file, "--out", "there"])
    assert asked == [
        (None, "studies/tiny", 1, False), (str(data), "there", 2, True), (str(data), "there", 1, False),
    ], "the folder of the images is remembered"  # fmt: skip


def test_a_folder_that_cannot_be_made(
    study_file: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "there")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert main(["study", "run", study_file, "--out", str(tmp_path / "there")]) == 2
    assert "--out must be a folder that can be made; found 'Permission denied' at " in capsys.readouterr().err


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[tuple[Any, ...]] = []

    def write_report(folder: Path, out: str | None = None, images: bool = True) -> Path:
        asked.append((folder.as_posix(), out, images))
        return folder / "report" / "report.html"

    monkeypatch.setattr("medvol.study.reporting.report.write_report", write_report)
    assert main(["study", "report", "smoke"]) == 2
    assert "plan.json; found none in studies/smoke; give the folder of 'study run' by --out" in capsys.readouterr().err
    for folder, name in (("studies/smoke", "smoke"), ("other", "smoke"), ("others", "mine")):
        Path(folder).mkdir(parents=True)
        Path(folder, "plan.json").write_text("{}", encoding="utf-8")
        Path(folder, "study.json").write_text(json.dumps({"name": name}), encoding="utf-8")
    assert main(["study", "report", "smoke"]) == 0
    assert capsys.readouterr().out == f"written: {Path('studies/smoke/report/report.html')}\n"
    assert main(["study", "report", "smoke", "--out", "other", "--report", "x", "--no_images"]) == 0
    assert asked == [("studies/smoke", None, True), ("other", "x", False)]
    for words in (["smoke", "--out", "others"], ["nonsuch", "--out", "other"]):
        assert main(["study", "report", *words]) == 2
    said = capsys.readouterr().err
    assert "others must hold the study 'smoke'; found the study 'mine'" in said
    assert "found neither for 'nonsuch'" in said
    assert len(asked) == 2, "no report of another study is given away as the one that was asked for"


def test_which_folder(tmp_path: Path) -> None:
    assert study_folder("mine.json", None, "mine") == Path("studies/mine")
    assert study_folder("mine.json", "x", "mine") == Path("x")
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    (tmp_path / "study.json").write_text('{"name": "mine"}', encoding="utf-8")
    assert study_folder(str(tmp_path), None, "mine") == tmp_path, "a study folder is its own"
    assert study_folder(str(tmp_path / "study.json"), None, "mine") == tmp_path


def test_a_study_of_ones_own_does_not_go_where_a_shipped_one_goes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a name of its own; found 'smoke', which comes with medvol"):
        study_folder("my_smoke.json", None, "smoke")
    assert study_folder("my_smoke.json", "x", "smoke") == Path("x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "smoke", "--jobs", "0"], "argument --jobs: a whole number of at least 1 is expected; found '0'"),
        (["run", "smoke", "--jobs", "-1"], "a whole number of at least 1 is expected"),
        (["plan", "smoke", "--estimate_steps", "0"], "a whole number of at least 1 is expected"),
        (["run", "smoke", "--out", __file__], "a folder, there or new, is expected; found the file"),
        (["report", "smoke", "--report", f"{__file__}/x"], "a folder, there or new, is expected; found the file"),
        (["plan", "smok"], "did you mean 'smoke'?"),
        (["plan", "smoke", "--no_estimat"], "did you mean --no_estimate?"),
        (["plan", "smoke", "--seed", "3"], "found 'seed'; state it by seeds"),
        (["plan", "smoke", "--dataset_dir", "nowhere-at-all"], "found no folder nowhere-at-all"),
        (["report", "smoke", "--steps", "3"], "unrecognized arguments"),
    ],
)
def test_slips_are_named(words: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    try:
        code = main(["study", *words])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert said in capsys.readouterr().err
