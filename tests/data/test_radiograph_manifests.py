"""The radiograph manifests in data_manifests/: made again from the data where these are, checked as files otherwise.

To write them anew:  MEDVOL_TEST_DATA=<folder> python tests/data/test_radiograph_manifests.py
"""

import os
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts import import_manifest

FOLDER = Path(__file__).parents[2] / "data_manifests"
DATA = os.environ.get("MEDVOL_TEST_DATA")
NAMES = ("kermany", "nih", "hannover", "covid")
needs_data = pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")


@cache
def committed(name):
    return load_manifest(FOLDER / f"{name}.json")


def make(name):
    """Import a subset; the step's version of medvol is left out, so that a release does not change the file."""
    manifest = import_manifest("radiographs", Path(DATA) / "cxr", subset=name)
    steps = [{key: value for key, value in step.items() if key != "medvol"} for step in manifest.provenance]
    return replace(manifest, root=FOLDER, provenance=steps)


@needs_data
@pytest.mark.parametrize("name", NAMES)
def test_making_it_again_gives_the_file(name):
    made = make(name)
    assert made == committed(name)
    assert made.hash == committed(name).hash


@needs_data
@pytest.mark.parametrize("name", NAMES)
def test_the_data_are_there(name):
    load_manifest(FOLDER / f"{name}.json", Path(DATA) / "cxr").check()


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_data_are_those_of_the_manifest(name):
    load_manifest(FOLDER / f"{name}.json", Path(DATA) / "cxr").check(checksums=True)


@pytest.mark.parametrize(
    ("name", "images", "patients"),
    [
        ("kermany", [2109, 186, 186], [2109, 186, 186]),
        ("nih", [551, 231, 0], [179, 32, 0]),
        ("hannover", [173, 20, 0], [48, 8, 0]),
        ("covid", [65, 11, 0], [33, 6, 0]),
    ],
)
def test_sections_are_apart_by_patient(name, images, patients):
    manifest = committed(name)
    found = {section: manifest.patients(section) for section in manifest.sections}
    assert [len(items) for items in manifest.sections.values()] == images
    assert [len(names) for names in found.values()] == patients
    assert sum(patients) == len(set().union(*found.values()))


def test_kermany_has_three_classes_in_equal_shares():
    manifest = committed("kermany")
    assert manifest.targets == {"pneumonia": ["normal", "bacterial", "viral"]}
    shares = {
        section: Counter(item["targets"]["pneumonia"] for item in items) for section, items in manifest.sections.items()
    }
    assert shares["training"] == {"normal": 980, "bacterial": 692, "viral": 437}
    assert all(abs(shares["validation"][one] - shares["test"][one]) <= 1 for one in shares["training"])
    assert manifest.split["seed"] == 0


def test_nih_has_the_one_binary_task():
    manifest = committed("nih")
    assert manifest.targets == {"No Finding": ["absent", "present"]}
    found = Counter(item["targets"]["No Finding"] for items in manifest.sections.values() for item in items)
    assert found == {"present": 410, "absent": 372}


def test_covid_states_the_licence_of_each_image():
    items = [item for items in committed("covid").sections.values() for item in items]
    licences = Counter(item["columns"]["licence"] for item in items)
    assert licences["CC BY-NC-SA 4.0"] == 65
    assert sum(licences.values()) == 76
    assert "non-commercial" in committed("covid").licence
    assert all(item["columns"]["source_url"] and item["columns"]["text_kind"] == "clinical note" for item in items)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_a_checksum_and_the_set_a_licence(name):
    manifest = committed(name)
    assert manifest.name == name
    assert manifest.licence
    assert manifest.reference
    assert not manifest.synthetic
    assert all(len(item["sha256"]) == 1 for items in manifest.sections.values() for item in items)
    assert len(manifest.hash) == 64  # needs no data, since every file has a checksum
    assert all(item["image"].startswith(f"{name}/") for items in manifest.sections.values() for item in items)


if __name__ == "__main__":
    for name in NAMES:
        print(write_manifest(FOLDER / f"{name}.json", make(name)))
