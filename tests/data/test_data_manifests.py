"""The manifests in data_manifests/: made again from the data where these are, and checked as files where they are not.

To write them anew:  MEDVOL_TEST_DATA=<folder> python tests/data/test_data_manifests.py
"""

import csv
import json
import os
from pathlib import Path

import pytest

from medvol.data import Manifest, load_manifest, split_patients, write_manifest
from medvol.data.datalist import item_files

FOLDER = Path(__file__).parents[2] / "data_manifests"
DATA = os.environ.get("MEDVOL_TEST_DATA")
SEED = 0
needs_data = pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")


def checksums(folder):
    lines = (line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines())
    return {path.removeprefix("./"): value for value, path in lines}


def labelled_item(case, sums, **more):
    image, label = f"imagesTr/{case}.nii.gz", f"labelsTr/{case}.nii.gz"
    return {"image": image, "label": label, **more, "sha256": {image: sums[image], label: sums[label]}}


def make_hippocampus(folder):
    """Subjects of "val" are the test; 20 of the others, in the shares of the scanners, are the validation."""
    folder = Path(folder)
    sums, rows = checksums(folder), list(csv.DictReader((folder / "manifest.csv").read_text().splitlines()))
    pool = {row["subject"]: row["scanner_group"] for row in rows if row["split"] == "train"}
    parts = split_patients(pool, {"validation": 20, "training": -1}, SEED, strata=pool)
    parts["test"] = sorted({row["subject"] for row in rows if row["split"] == "val"})
    sections = {}
    for section, subjects in parts.items():
        chosen = [row for row in rows if row["subject"] in subjects]
        sections[section] = [
            labelled_item(row["id"], sums, patient=row["subject"], group=row["scanner_group"]) for row in chosen
        ]
    return Manifest(
        name="hippocampus",
        root=FOLDER,
        modalities=("t1",),
        label_map={"background": 0, "anterior": 1, "posterior": 2},
        synthetic=False,
        sections=sections,
        description="T1 crops around one hippocampus at 1 mm, manual labels; two images of a subject are its two sides",
        reference="Medical Segmentation Decathlon Task04; Simpson et al. 2019, arXiv:1902.09063; "
        "Antonelli et al. 2022, Nature Communications 13:4128",
        licence="CC BY-SA 4.0",
        split={"seed": SEED, "validation_patients": 20, "strata": "group", "unit": "patient"},
    )


def make_brats2013_2mm(folder):
    """Four patients, sections as in the data set's own dataset.json."""
    folder = Path(folder)
    sums, items = checksums(folder), json.loads((folder / "dataset.json").read_text())["training"]
    sections = {"training": [], "validation": []}
    for item in items:
        case = Path(item["image"]).name.removesuffix(".nii.gz")
        section = {"train": "training", "val": "validation"}[item["split"]]
        sections[section].append(labelled_item(case, sums, patient=case.removesuffix("_1")))
    return Manifest(
        name="brats2013_2mm",
        root=FOLDER,
        modalities=("flair", "t1ce"),
        label_map={"background": 0, "necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4},
        synthetic=False,
        sections=sections,
        description="four real glioma patients of BRATS 2013 at 2 mm, manual labels, one 4D file per case; for tests "
        "of format and speed, never for a claim about quality",
        reference="Menze et al. 2015, IEEE TMI 34(10):1993-2024",
        licence="CC BY-NC-SA 3.0 CH (non-commercial)",
        split={"source": "dataset.json"},
    )


def make_brats2013(folder):
    """The same four patients as their source has them, one file per channel, sections as in its manifest.csv."""
    folder = Path(folder)
    sums, rows = checksums(folder), list(csv.DictReader((folder / "manifest.csv").read_text().splitlines()))
    sections = {"training": [], "validation": []}
    for row in rows:
        case = row["case"]
        flair, t1ce, seg = (f"{case}/{case}_{kind}.nii.gz" for kind in ("flair", "t1ce", "seg"))
        sections[{"train": "training", "val": "validation"}[row["split"]]].append(
            {
                "image": [flair, t1ce],
                "label": seg,
                "patient": case.removesuffix("_1"),
                "sha256": {file: sums[file] for file in (flair, t1ce, seg)},
            }
        )
    return Manifest(
        name="brats2013",
        root=FOLDER,
        modalities=("flair", "t1ce"),
        label_map={"background": 0, "necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4},
        synthetic=False,
        sections=sections,
        description="four real glioma patients of BRATS 2013 at 1 mm, manual labels, one file per channel; for tests "
        "of format and speed, never for a claim about quality",
        reference="Menze et al. 2015, IEEE TMI 34(10):1993-2024",
        licence="CC BY-NC-SA 3.0 CH (non-commercial)",
        split={"source": "manifest.csv"},
    )


def make_volumes(folder):
    """Two whole heads without labels, to train on or to look at; not defaced, so never to render."""
    folder = Path(folder)
    sums = checksums(folder)
    files = sorted(file for file in sums if file.endswith(".nii.gz"))
    items = [{"image": file, "patient": file.split("-")[0], "sha256": {file: sums[file]}} for file in files]
    return Manifest(
        name="volumes",
        root=FOLDER,
        modalities=("t1",),
        label_map={},
        synthetic=False,
        sections={"training": items},
        description="two T1 heads of healthy volunteers at 2 mm (IXI, Hammersmith 3 T), not defaced: never render "
        "a face",
        reference="IXI data set, Imperial College London, https://brain-development.org/ixi-dataset/; at 2 mm by the "
        "authors of NiChart, github.com/CBICA/NiChart_Project",
        licence="CC BY-SA 3.0",
    )


MAKERS = {
    "hippocampus": make_hippocampus,
    "brats2013": make_brats2013,
    "brats2013_2mm": make_brats2013_2mm,
    "volumes": make_volumes,
}


@needs_data
@pytest.mark.parametrize("name", MAKERS)
def test_making_it_again_gives_the_file(name, tmp_path):
    made = MAKERS[name](Path(DATA) / name)
    assert made == load_manifest(FOLDER / f"{name}.json")
    assert made.hash == load_manifest(FOLDER / f"{name}.json").hash


@needs_data
def test_the_data_are_those_of_the_manifest():
    for name in ("brats2013_2mm", "volumes"):
        load_manifest(name, Path(DATA) / name).check(checksums=True)
    for name in ("brats2013", "hippocampus"):
        load_manifest(name, Path(DATA) / name).check()


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["brats2013", "hippocampus"])
def test_the_bytes_of_the_larger_ones_are_those_of_the_manifest(name):
    load_manifest(name, Path(DATA) / name).check(checksums=True)


@needs_data
def test_channels_of_the_four_dimensional_files_go_by_name():
    import nibabel

    manifest = load_manifest("brats2013_2mm", Path(DATA) / "brats2013_2mm")
    item = manifest.items("training", modalities="t1ce")[0]
    assert item["channels"] == [1]
    assert nibabel.load(item["image"]).shape[-1] == len(manifest.modalities)


def test_hippocampus_protocol():
    manifest = load_manifest(FOLDER / "hippocampus.json")
    patients = {section: manifest.patients(section) for section in manifest.sections}
    assert {section: len(names) for section, names in patients.items()} == {
        "training": 82,
        "validation": 20,
        "test": 25,
    }
    assert len(manifest.sections["test"]) == 38
    assert sum(map(len, manifest.sections.values())) == 194
    assert sum(map(len, patients.values())) == len(set().union(*patients.values())) == 127
    assert manifest.label_map == {"background": 0, "anterior": 1, "posterior": 2}
    groups = {item["patient"]: item["group"] for item in manifest.sections["validation"]}
    assert sorted(map(list(groups.values()).count, {"u8", "f32lo", "f32hi"})) == [3, 4, 13]


@pytest.mark.parametrize("name", ["brats2013", "brats2013_2mm"])
def test_brats_labels_are_the_convention_of_2013(name):
    manifest = load_manifest(FOLDER / f"{name}.json")
    assert manifest.modalities == ("flair", "t1ce")
    assert manifest.label_map == {"background": 0, "necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4}
    assert [len(items) for items in manifest.sections.values()] == [2, 2, 0]


def test_both_sizes_of_brats_have_one_split():
    large, small = (load_manifest(FOLDER / f"{name}.json") for name in ("brats2013", "brats2013_2mm"))
    assert {section: large.patients(section) for section in large.sections} == {
        section: small.patients(section) for section in small.sections
    }


def test_volumes_are_two_unlabelled_heads():
    manifest = load_manifest(FOLDER / "volumes.json")
    assert manifest.patients("training") == ["IXI012", "IXI015"]
    assert not any("label" in item for item in manifest.sections["training"])


@pytest.mark.parametrize("name", MAKERS)
def test_every_file_has_a_checksum_and_a_licence(name):
    manifest = load_manifest(FOLDER / f"{name}.json")
    assert manifest.licence
    assert not manifest.synthetic
    assert all(set(item["sha256"]) == set(item_files(item)) for items in manifest.sections.values() for item in items)
    assert len(manifest.hash) == 64  # needs no data, since every file has a checksum


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_the_readme_tells_how_many_patients_there_are(file):
    content = json.loads(file.read_text())
    numbers = [len({item["patient"] for item in content[section]}) for section in ("training", "validation", "test")]
    rows = [row for row in (FOLDER / "README.md").read_text().splitlines() if row.startswith(f"| `{file.stem}` |")]
    assert len(rows) == 1
    assert " / ".join(f"{number:,}" for number in numbers) in rows[0]


if __name__ == "__main__":
    for name, make in MAKERS.items():
        print(write_manifest(FOLDER / f"{name}.json", make(Path(DATA) / name)))
