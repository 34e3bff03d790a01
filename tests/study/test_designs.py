"""The studies that come with medvol: readable, planned in full, on manifests that the documented commands make."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.data import load_manifest
from medvol.study.planning import arms, reading
from medvol.study.planning.design import Published, Study
from medvol.study.planning.grid import planned_runs
from medvol.study.planning.plan import Plan, make_plan
from medvol.study.planning.reading import load_study, parse_study, shipped_studies

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "data_manifests" / "README.md"
STUDIES = sorted(shipped_studies())
ON_REAL_SETS = {"brats2018": "MICCAI_BraTS_2018_Data_Training", "pancreas": "Task07_Pancreas"}


def write_brats(folder: Path) -> None:
    """285 patients as the challenge's folders hold them; the files are empty."""
    for number in range(285):
        case = f"Brats18_X_{number:03d}_1"
        place = folder / ("HGG" if number < 210 else "LGG") / case
        place.mkdir(parents=True)
        for kind in ("flair", "t1", "t1ce", "t2", "seg"):
            (place / f"{case}_{kind}.nii.gz").touch()


def write_pancreas(folder: Path) -> None:
    """281 scans with and 139 without labels as the decathlon's folder holds them; the files are empty."""
    head = {"name": "Pancreas", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "pancreas", "2": "cancer"}}
    head |= {"licence": "CC-BY-SA 4.0", "numTraining": 281, "numTest": 139, "training": [], "test": []}
    for place in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / place).mkdir(parents=True)
    for number in range(420):
        name = f"pancreas_{number + 1:03d}.nii.gz"
        is_labelled = number * 281 // 420 != (number + 1) * 281 // 420
        for place in ("imagesTr", "labelsTr") if is_labelled else ("imagesTs",):
            (folder / place / name).touch()
        if is_labelled:
            head["training"].append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        else:
            head["test"].append(f"./imagesTs/{name}")
    (folder / "dataset.json").write_text(json.dumps(head), encoding="utf-8")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``desk("pancreas")``: a folder with the set as it is unpacked, and the manifests that the page makes of it."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write = {"brats2018": write_brats, "pancreas": write_pancreas}[name]
        write(folder / ON_REAL_SETS[name])
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(folder)
            for command in commands(PAGE.read_text(encoding="utf-8")):
                if load_study(name).overrides["manifest"] in command:
                    assert main(shlex.split(command)) == 0, command
        return folder

    return made


def commands(page: str) -> list[str]:
    """The commands of the page's block for the studies."""
    (block,) = (block for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if "# study pancreas" in block)
    return re.findall(r"^python -m medvol (.*)$", block, re.MULTILINE)


def cells(table: Published) -> dict[str, list[float]]:
    """Row's name to its numbers."""
    return {row[0]: [float(cell) for cell in row[1:]] for row in table.rows}


# --- all of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_named_like_its_file_and_says_what_it_needs(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.question.count("?") == 1
    assert study.reference == "scratch"
    assert study.arms["scratch"].starts_from_scratch
    longer = {arm.name: arm.longer for arm in study.arms.values() if arm.longer != 1}
    assert longer == ({"scratch-x2": 2} if name == "smoke" else {"scratch-x3": 3}), "scratch gets its time, too"
    assert len(study.replicates) >= 3, "fewer are not judged"
    assert study.margin > 0


@pytest.mark.parametrize("name", STUDIES)
def test_the_grid_is_whole(name: str) -> None:
    study = load_study(name)
    runs = planned_runs(study)
    kinds = Counter(run.kind for run in runs)
    assert kinds["finetune"] == len(study.arms) * len(study.counts) * len(study.replicates) * len(study.variants)
    tuned = [arm for arm in study.arms.values() if arm.learning_rate is None]
    assert kinds["tune"] == (len(tuned) * len(study.tuning.values) if study.tuning else 0)
    starts = {repr(arm.pretraining) for arm in study.arms.values() if arm.pretraining is not None}  # arms may share one
    assert kinds["pretrain"] == len(starts) * len(study.replicates)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.budget for run in runs if run.arm == "scratch"} == {""}
    assert {run.arm for run in runs if run.budget} == {arm.name for arm in study.arms.values() if arm.longer != 1}


@pytest.mark.parametrize("name", STUDIES)
def test_an_encoder_is_pre_trained_in_the_width_and_the_spacing_in_which_it_is_used(name: str) -> None:
    study = load_study(name)
    runs = planned_runs(study)
    used = next(run for run in runs if run.kind == "finetune").overrides
    for run in runs:
        if run.kind == "pretrain" and "filters" in used:
            assert run.overrides["filters"] == used["filters"], run.key
        if run.kind == "pretrain" and name in ON_REAL_SETS:
            assert run.overrides["spacing"] == used["spacing"], run.key


def test_the_short_form_of_hippocampus_has_its_arms_and_leaves_their_training_as_it_is_but_for_the_steps() -> None:
    short, whole = load_study("hippocampus_short"), load_study("hippocampus")
    assert set(short.arms) == set(whole.arms)
    shortened = {"steps", "warmup_steps", "eval_every_examples", "roi_size"}
    recipes = [{run.key: run.overrides for run in planned_runs(s) if run.kind == "pretrain"} for s in (short, whole)]
    assert recipes[0].keys() == recipes[1].keys()
    for key, overrides in recipes[0].items():
        differing = {k for k in {*overrides, *recipes[1][key]} if overrides.get(k) != recipes[1][key].get(k)}
        assert differing <= shortened, key
    for name, arm in short.arms.items():
        assert (arm.overrides, arm.against, arm.longer) == (
            whole.arms[name].overrides, whole.arms[name].against, whole.arms[name].longer
        )  # fmt: skip


@pytest.mark.parametrize("name", sorted(ON_REAL_SETS))
def test_the_given_folder_serves_the_pre_training_on_the_same_set(name: str, tmp_path: Path) -> None:
    study = load_study(name)
    plan = Plan(study, planned_runs(study), str(tmp_path))
    places = {run.arm: plan.dataset_dir_of(run) for run in plan.runs if run.kind == "pretrain"}
    assert places.pop("supervised", None) is None, "the simulated cases are not in that folder"
    assert set(places.values()) == {str(tmp_path)}


# --- the page that says how to write one --------------------------------------------------------------------------


def test_the_page_has_every_key_and_a_file_that_can_be_read() -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    study = parse_study(json.loads(example))
    assert study.name == "mine"
    assert len(planned_runs(study)) == 36, "as the page's reader will be told"
    tables = [re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) for part in page.split("| key ")[1:]]
    assert [set(table) for table in tables] == [set(reading._KEYS), {*arms._KEYS, *arms._EACH}]
    needed = re.findall(r"^\| `(\w+)` \|.*\| needed \|$", page, re.MULTILINE)
    assert set(needed) == set(reading._REQUIRED)


# --- the two on public sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shares", "held"),
    [
        pytest.param("brats2018", (0.1, 0.25, 0.5), (200, 28, 57), marks=pytest.mark.slow),  # 1,425 files
        ("pancreas", (0.05, 0.1, 0.25, 0.5), (194, 30, 57)),
    ],
)
def test_the_documented_commands_make_its_manifest(
    name: str, shares: tuple[float, ...], held: tuple[int, ...], desk: Callable[[str], Path]
) -> None:
    study = load_study(name)
    manifest = load_manifest(desk(name) / study.overrides["manifest"])
    labelled = {
        section: {item["patient"] for item in rows if "label" in item} for section, rows in manifest.sections.items()
    }
    assert tuple(map(len, labelled.values())) == held
    assert len(set().union(*labelled.values())) == sum(held)
    *counts, last = study.counts
    assert last == "all"
    for count, share in zip(counts, shares, strict=True):
        assert count / held[0] == pytest.approx(share, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ON_REAL_SETS))
def test_the_plan_passes_every_check(name: str, desk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without reading an image: the files are empty."""
    monkeypatch.chdir(desk(name))
    assert make_plan(load_study(name), ON_REAL_SETS[name]).runs


@pytest.mark.slow
def test_too_many_labels_are_told_before_anything_runs(
    desk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk("pancreas"))
    content = {**load_study("pancreas").raw, "counts": [10, 280, "all"], "tune": None}
    content["arms"] = {"scratch": {}}
    Path("more.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"at most 194, the labelled training patients of 'msd_task07\.json'"):
        make_plan(load_study("more.json"))


# --- what others published ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brats() -> Study:
    return load_study("brats2018")


@pytest.fixture(scope="module")
def pancreas() -> Study:
    return load_study("pancreas")


@pytest.mark.parametrize("name", sorted(ON_REAL_SETS))
def test_every_table_says_where_it_is_from_and_what_is_doubtful(name: str) -> None:
    for table in load_study(name).published:
        assert re.search(r"arXiv:|github\.com", table.citation)
        assert len(table.note) > 100
        assert len({row[0] for row in table.rows}) == len(table.rows)


def test_table_1_of_taleb_says_what_its_paper_says_of_it(brats: Study) -> None:
    table = brats.published[0]
    assert table.columns == ("model", "ET", "WT", "TC")
    found = cells(table)
    assert len(found) == 16
    scratch, best = found["3D from scratch"], found["3D-RPL"]
    assert [round(b - s, 2) for b, s in zip(best, scratch, strict=True)] == [4.90, 2.89, 3.01]
    assert [max(found, key=lambda row, i=i: found[row][i]) for i in (0, 2)] == ["3D-RPL", "3D-RPL"]
    assert found["3D-Exemplar"][1] == max(values[1] for values in found.values()) == 90.80
    assert found["3D-Jigsaw"][2] == 82.52 < scratch[2] == 83.11
    assert found["2D-Jigsaw"][2] == 83.26
    assert found["3D-CPC"] == [80.83, 89.88, 85.11]
    assert found["3D supervised pre-training (FSL-FAST tissue labels)"] == [78.88, 90.11, 84.92]


def test_the_shares_of_brats_contradict_table_1_where_the_note_says_so(brats: Study) -> None:
    found, table = cells(brats.published[1]), cells(brats.published[0])
    assert brats.published[1].columns[1:] == ("10 %", "25 %", "50 %", "100 %")
    assert found["scratch"] == [0.42, 0.58, 0.72, 0.88]
    assert found["3D CPC"] == [0.76, 0.78, 0.82, 0.91]
    assert found["2D RPL"] == [0.65, 0.69, 0.74, 0.86]
    assert all(values == sorted(values) for values in found.values())
    found["3D from scratch"] = found.pop("scratch")
    off = set()
    for row, (*_, whole) in found.items():
        given = table.get(row, table.get(row.replace(" ", "-")))[1]
        if abs(100 * whole - given) > 0.5:  # more than rounding
            off.add(f"{row} {f'{whole:.2f}'[1:]} against {given:.2f}")
    assert len(off) == 6
    assert [said for said in off if said not in brats.published[1].note] == []


def test_the_shares_of_the_pancreas(pancreas: Study) -> None:
    table = pancreas.published[0]
    found = cells(Published("", "", "", table.columns, tuple(row for row in table.rows if "about" not in row[1])))
    assert table.columns[1:] == ("5 %", "10 %", "25 %", "50 %", "100 %")
    assert found["3D scratch"] == [0.36, 0.393, 0.481, 0.494, 0.609]
    assert found["3D CPC"] == [0.415, 0.471, 0.607, 0.617, 0.634]
    assert max(found, key=lambda row: found[row][0]) == "3D Rotation"
    assert max(found, key=lambda row: found[row][-1]) == "3D CPC"
    assert len(table.rows) == 12
    # The note's means of pancreas and tumor, if a background of .99 is in the average.
    for value, mean in ((0.36, 0.04), (0.609, 0.418), (0.634, 0.456)):
        assert (3 * value - 0.99) / 2 == pytest.approx(mean, abs=0.006)
        assert f"{mean:g}"[1:] in table.note


def test_only_relative_location_is_above_scratch_at_every_share_in_the_reproduction(pancreas: Study) -> None:
    found = cells(pancreas.published[1])
    scratch = found.pop("scratch")
    assert scratch == [0.300, 0.379, 0.424, 0.434, 0.528]
    above = [row for row, values in found.items() if all(v > s for v, s in zip(values, scratch, strict=True))]
    assert above == ["RPL"]
