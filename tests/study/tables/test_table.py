"""The tables of a study folder: whole, unfinished, empty, damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from studies import write_study_folder

from medvol.passport import read_passport, write_passport
from medvol.study.tables.table import Collected, collect

RUN_COLUMNS = (
    "key kind arm variant count replicate state run_dir hash code data steps examples budget "
    "learning_rate seconds error"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study_folder(
        tmp_path_factory.mktemp("study"), arms=("scratch", "scratch-x3", "cpc3d"), patients=3, cases_per_patient=2,
        scores=(("dice", "mean"), ("hd95", "whole")), tune=True, variants={"small": {"filters": [8, 8]}, "wide": {}},
        seeds=(0, {"pretraining": 1, "subset": 12, "finetuning": 22}),
        robustness={"corruptions": ["noise", "blur"], "severities": [1, 3], "counts": ["all"]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def collected(study) -> Collected:
    return collect(study)


def test_there_is_a_row_per_planned_run(collected):
    runs = collected.runs
    assert list(runs.columns) == RUN_COLUMNS.split()
    assert len(runs) == len(collected.plan.runs) == 2 + 6 + 24
    assert runs["key"].tolist() == [run.key for run in collected.plan.runs]
    assert set(runs["state"]) == {"done"}
    assert set(runs.loc[runs["kind"] == "pretrain", "count"]) == {""}
    assert set(runs.loc[runs["kind"] == "finetune", "count"]) == {"4", "all"}
    assert runs.loc[runs["arm"] == "scratch-x3", "budget"].unique().tolist() == ["1800 steps"]
    assert runs["learning_rate"].dtype == runs["seconds"].dtype == "float64"
    assert collected.problems == []


def test_scores_are_those_of_the_files_and_their_means_over_regions(study, collected):
    scores = collected.scores
    assert list(scores.columns) == "variant arm count replicate patient case region metric value".split()
    assert len(scores) == 24 * 3 * 2 * 2 * (3 + 1)
    cell = {"variant": "wide", "arm": "cpc3d", "count": "all", "replicate": 1, "case": "case_2_1", "metric": "dice"}
    mine = scores
    for name, value in cell.items():
        mine = mine[mine[name] == value]
    values = mine.set_index("region")["value"]
    path = study / "runs/unet_hippocampus/wide-cpc3d-all-seed22-lr0.002/test/metrics.csv"
    file = pd.read_csv(path).query("case == 'case_2_1' and metric == 'dice'").set_index("region")["value"]
    assert values.drop("mean").to_dict() == file.to_dict()
    assert values["mean"] == pytest.approx(file.mean())
    assert set(mine["patient"]) == {"2"}


def test_curves_and_corrupted_scores_are_complete(collected):
    curves = collected.curves
    assert list(curves.columns) == "variant arm count replicate step examples name value".split()
    assert set(curves["name"]) >= {"val_mean_dice", "val_whole_hd95"}
    assert not curves["name"].str.startswith("loss").any()
    assert curves["examples"].max() == 3600
    corrupted = collected.corrupted
    assert list(corrupted.columns)[-2:] == ["corruption", "severity"]
    assert set(zip(corrupted["corruption"], corrupted["severity"], strict=True)) == {
        (name, severity) for name in ("noise", "blur") for severity in (1, 3)
    }
    assert set(corrupted["count"]) == {"all"}


def test_every_learning_rate_has_its_last_validation_score(collected):
    tuning = collected.tuning
    assert tuning["arm"].tolist() == ["scratch"] * 3 + ["cpc3d"] * 3
    assert tuning.loc[tuning["chosen"], "learning_rate"].tolist() == [0.002, 0.002]
    assert (
        tuning.loc[tuning["chosen"], "value"].to_numpy() > tuning.loc[~tuning["chosen"], "value"].to_numpy()[:2]
    ).all()


def test_equal_folders_give_equal_tables(study, collected, tmp_path):
    again = collect(shutil.copytree(study, tmp_path / "copy"))
    for name in ("runs", "scores", "curves", "corrupted", "tuning"):
        pd.testing.assert_frame_equal(getattr(collected, name), getattr(again, name))
    assert again.problems == collected.problems


def test_a_study_that_has_just_begun_has_empty_tables_of_the_right_types(tmp_path):
    folder = write_study_folder(tmp_path, counts=(4,), seeds=(0,), patients=2)
    shutil.rmtree(folder / "state")
    shutil.rmtree(folder / "runs")
    found = collect(folder)
    assert found.problems == [
        "3 of 3 runs have not finished: pretrain-cpc3d-seed0, finetune-scratch-4-seed0, finetune-cpc3d-4-seed0"
    ]
    whole = collect(write_study_folder(tmp_path / "whole", counts=(4,), seeds=(0,), patients=2))
    for name in ("scores", "curves", "corrupted", "tuning"):
        empty = getattr(found, name)
        assert len(empty) == 0
        assert dict(empty.dtypes) == dict(getattr(whole, name).dtypes)


def _trained_on(folder, patients):
    for place in (folder / "runs").glob("*/*-all-*"):
        passport = read_passport(place)
        passport["data"]["sections"] = {"training": patients[int(place.name.partition("-seed")[2][0])]}
        write_passport(place, passport)
    return collect(folder).labelled


@pytest.mark.parametrize(
    ("sections", "number"),
    [([{"patients": 16}] * 2, 16), ([{"patients": 16}, {"patients": 15}], None), ([{}, None], None), (["a"] * 2, None)],
)
def test_all_has_a_number_where_its_runs_agree(tmp_path, sections, number):
    folder = write_study_folder(tmp_path, counts=(4, "all"), seeds=(0, 1), patients=2)
    assert collect(folder).labelled is None
    assert _trained_on(folder, sections) == number


@pytest.mark.parametrize("name", ["study.json", "plan.json"])
def test_a_folder_without_a_study_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"found no study.json in .*nowhere; give the folder of a study"):
        collect(tmp_path / "nowhere")
    write_study_folder(tmp_path, counts=(4,), seeds=(0,), patients=2)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"found no {name}"):
        collect(tmp_path)
    (tmp_path / name).write_text('{"ru', encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        collect(tmp_path)


def test_a_score_that_no_run_wrote_is_refused_with_the_nearest_name(tmp_path):
    folder = write_study_folder(tmp_path, counts=(4,), seeds=(0,), patients=2)
    raw = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    raw["scores"] = [{"metric": "hd95", "region": "mean"}]
    (folder / "study.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ValueError, match="a score's metric must be one of 'dice'; found 'hd95'"):
        collect(folder)


def test_one_patient_and_equal_scores_are_read(tmp_path):
    spread = {"seed_sd": 0, "patient_sd": 0, "interaction_sd": 0, "noise_sd": 0}
    found = collect(write_study_folder(tmp_path, patients=["Ünal 1"], **spread))
    assert set(found.scores["patient"]) == {"Ünal 1"}
    means = found.scores[found.scores["region"] == "mean"].groupby("count")["value"]
    np.testing.assert_allclose(means.std(), 0, atol=1e-12)
