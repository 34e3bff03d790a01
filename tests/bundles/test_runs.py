from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.opening import open_bundle
from medvol.bundles.refusal import GuardError
from medvol.bundles.runs import _licence, _passport, identify, passport
from medvol.data import load_manifest, write_manifest
from medvol.passport import passport_problems, read_passport


def parser(folder: Path, **more: object) -> ConfigParser:
    fixed = {
        "bundle_root": "bundles/cpc3d",
        "output_dir": str(folder),
        "run_name": None,
        "run_dir": None,
        "restart": False,
    }
    return ConfigParser({**fixed, "seed": 0, "arm": None, **more})


def test_a_run_is_named_by_its_hash_and_noted(tmp_path: Path) -> None:
    config = parser(tmp_path)
    run = identify(config)
    assert run.name == run.hash[:8] == config.config["run_name"]
    assert config.config["run_dir"] == str(tmp_path / run.name)
    assert passport(config.config["run_dir"])["hash"] == run.hash
    assert passport(config.config["run_dir"])["arm"] == config.config["arm"] == "scratch"
    assert not run.finished


def test_finished_is_weights_and_passport(tmp_path: Path) -> None:
    folder = identify(parser(tmp_path)).folder
    (folder / "model.pt").touch()
    assert not identify(parser(tmp_path)).finished
    (folder / "passport.json").write_text("{}")
    assert identify(parser(tmp_path)).finished


def test_a_taken_name_is_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    note = identify(parser(tmp_path, run_name="mine")).folder / "run.json"
    before = note.read_bytes()
    with pytest.raises(GuardError, match="another run under that name"):
        identify(parser(tmp_path, run_name="mine", seed=1))
    assert note.read_bytes() == before
    identify(parser(tmp_path, run_name="mine", seed=1, restart=True))
    assert json.loads(note.read_text())["seed"] == 1


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not identify(parser(tmp_path)).folder.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GuardError, match="--output_dir"):
        identify(parser(tmp_path / "file"))


def test_without_the_guard_there_is_no_passport(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="guard"):
        passport(str(tmp_path))


def test_the_passport_is_plain_complete_and_names_no_place(trained: dict[str, Path], dataset: Path) -> None:
    record = read_passport(trained["cpc3d"])
    assert passport_problems(record) == []
    unet = record["architecture"]["network"]
    assert (unet["filters"], unet["strides"], unet["in_channels"]) == ([8, 8, 8], [1, 2, 2], 4)
    names = [node["_target_"].rpartition(".")[2] for node in record["preprocessing"]]
    assert names == [
        "LoadImaged", "SelectChannelsd", "Orientationd", "Spacingd", "ForegroundMaskd", "NormalizeIntensityd",
        "EnsureTyped",
    ]  # fmt: skip
    assert record["preprocessing"][3]["pixdim"] == [1.0, 1.0, 1.0]
    assert record["intended_use"] == "Research only. Not a medical device."
    text = (trained["cpc3d"] / "passport.json").read_text(encoding="utf-8")
    assert str(trained["cpc3d"].parents[1]) not in text
    assert str(dataset.parent) not in text
    assert '"@' not in json.dumps([record["architecture"], record["preprocessing"]])


def test_the_data_are_counted_as_the_config_asks_for_them(
    dataset: Path, tmp_path: Path, overrides: Callable[..., dict]
) -> None:
    def data(bundle: str, **more: object) -> dict:
        opened = open_bundle(bundle, overrides=overrides(bundle, **more))
        return _passport(opened.config, bundle, "run", "00")["data"]

    assert data("unet_brats") == {
        "name": "tiny", "hash": load_manifest(dataset).hash, "synthetic": True, "licence": "", "reference": "",
        "description": "",
        "modalities": ["flair", "t1", "t1ce", "t2"],
        "label_map": {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4},
        "sections": {"training": {"cases": 3, "patients": 3}, "validation": {"cases": 1, "patients": 1}},
        "subset": "all patients",
    }  # fmt: skip
    part = data("cpc3d", num_patients=2, subset_seed=5)
    assert part["sections"]["training"] == {"cases": 2, "patients": 2}
    assert part["subset"] == "2 of 3 patients, drawn with subset seed 5"
    large = write_manifest(tmp_path / "tiny.parquet", load_manifest(dataset))
    assert data("cpc3d", manifest=str(large), num_patients=2, subset_seed=5) == {**part, "hash": ANY}


def test_cases_of_one_patient_are_counted_once(dataset: Path, tmp_path: Path, overrides: Callable[..., dict]) -> None:
    content = {**json.loads(dataset.read_text(encoding="utf-8")), "root": str(dataset.parent)}
    for section, ages in (("training", (40, 40, 50)), ("validation", (40,))):
        for item, age in zip(content[section], ages, strict=True):
            item["columns"] = {"age": age}
    for item in content["training"][:2]:
        item["patient"] = "same"
    manifest = tmp_path / "twins.json"
    manifest.write_text(json.dumps(content))
    for where, cases, patients in ((None, 3, 2), ("age == 40", 2, 1)):
        opened = open_bundle("cpc3d", overrides=overrides("cpc3d", manifest=str(manifest), where=where))
        data = _passport(opened.config, "cpc3d", "run", "00")["data"]
        assert data["sections"]["training"] == {"cases": cases, "patients": patients}
        assert data["subset"] == "all patients" + (f", of the rows where {where}" if where else "")


def test_the_licence_names_code_data_and_start(trained: dict[str, Path], dataset: Path) -> None:
    stated = replace(load_manifest(dataset), licence="CC BY 4.0")
    assert _licence(stated, False, {}) == "Apache-2.0 (code); trained on tiny: CC BY 4.0"
    assert read_passport(trained["unet_brats"])["licence"] == (
        "Apache-2.0 (code); trained on tiny: licence not stated; started from cpc3d: "
        "Apache-2.0 (code); trained on tiny: licence not stated"
    )
    assert _licence(None, True, {}) == "Apache-2.0 (code); started from other weights: licence not stated"


def test_items_that_cannot_be_had_are_refused_in_one_sentence(overrides: Callable[..., dict]) -> None:
    opened = open_bundle("cpc3d", overrides=overrides("cpc3d", num_patients=100))
    with pytest.raises(GuardError, match=r"'train::dataset::data' asks for them(?s:.*)correct the keys"):
        _passport(opened.config, "cpc3d", "run", "00")


def test_asking_builds_nothing_in_the_config_that_runs(overrides: Callable[..., dict]) -> None:
    parser = open_bundle("cpc3d", overrides=overrides("cpc3d")).parser
    before = json.dumps(parser.config, default=str)
    _passport(parser.config, "cpc3d", "run", "00")
    assert json.dumps(parser.config, default=str) == before
    assert not parser.ref_resolver.resolved_content
