from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data import Manifest, subset_patients
from medvol.data.manifest_splits import fold_manifests, split_manifest

SECTIONS = ("training", "validation", "test")


def demo(patients: int = 20, images: int = 2, test: int = 0, **item) -> Manifest:
    rows = [
        {"image": f"{p}_{i}.nii.gz", "label": f"{p}_{i}_seg.nii.gz", "patient": f"P{p:03}", **item}
        for p in range(patients)
        for i in range(images)
    ]
    cut = len(rows) - test * images
    return Manifest("demo", Path("/data"), ("t1",), {"tumor": 1}, True, {"training": rows[:cut], "test": rows[cut:]})


def shuffled(manifest: Manifest, seed: int) -> Manifest:
    sections = {name: random.Random(seed).sample(rows, len(rows)) for name, rows in manifest.sections.items()}
    return Manifest("demo", Path("/data"), ("t1",), {"tumor": 1}, True, sections)


def in_sections(manifest: Manifest) -> dict[str, set[str]]:
    return {section: set(manifest.patients(section)) for section in SECTIONS}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(3, 30),
    st.integers(1, 3),
    st.integers(0, 9),
    st.sampled_from([0, 1, "10%", "33.3%"]),
    st.integers(0, 99),
)
def test_every_item_once_and_no_patient_crosses(patients, images, seed, validation, order) -> None:
    manifest = demo(patients, images)
    split = split_manifest(manifest, validation=validation, test="20%", seed=seed)
    found = in_sections(split)
    assert not found["training"] & found["validation"]
    assert not found["training"] & found["test"]
    assert not found["validation"] & found["test"]
    rows = [item for items in split.sections.values() for item in items]
    before = [item for items in manifest.sections.values() for item in items]
    assert sorted(map(str, rows)) == sorted(map(str, before))
    again = split_manifest(shuffled(manifest, order), validation=validation, test="20%", seed=seed)
    assert again == split, "the order of the rows must not matter"


def test_another_seed_is_another_split() -> None:
    splits = {frozenset(split_manifest(demo(), "30%", seed=seed).patients("validation")) for seed in range(5)}
    assert len(splits) == 5


def test_sizes_are_numbers_or_shares_of_patients() -> None:
    split = split_manifest(demo(20), validation=3, test="25%")
    assert {s: len(p) for s, p in in_sections(split).items()} == {"training": 12, "validation": 3, "test": 5}
    assert len(split_manifest(demo(20), validation="1%").patients("validation")) == 1, "never rounded to nobody"


def test_the_sources_own_test_section_stays() -> None:
    manifest = demo(20, test=5)
    split = split_manifest(manifest, validation="20%")
    assert split.patients("test") == manifest.patients("test")
    assert split.split["test"] == "the source's own"
    with pytest.raises(ValueError, match="5 test patients of its own"):
        split_manifest(manifest, test="20%")
    again = split_manifest(manifest, test="50%", redeal_test=True)
    assert len(again.patients("test")) == 10
    assert again.patients("test") != manifest.patients("test")


@pytest.mark.parametrize("place", ["group", "targets", "columns"])
def test_strata_keep_their_shares(place: str) -> None:
    value = {"group": lambda k: k, "targets": lambda k: {"grade": k}, "columns": lambda k: {"site": k}}[place]
    key = {"group": "group", "targets": "grade", "columns": "site"}[place]
    rows = [
        {"image": f"{p}.nii.gz", "patient": f"P{p:03}", place: value("rare" if p % 5 == 0 else "common")}
        for p in range(100)
    ]
    targets = {"grade": ["rare", "common"]} if place == "targets" else {}
    manifest = Manifest("demo", Path("/data"), ("t1",), {}, True, {"training": rows}, targets=targets)
    rare = {item["patient"] for item in rows if item[place] == value("rare")}
    for seed in range(5):
        split = split_manifest(manifest, validation=20, test=30, seed=seed, stratify=key)
        shares = {section: len(patients & rare) for section, patients in in_sections(split).items()}
        assert shares == {"validation": 4, "test": 6, "training": 10}, shares
        for fold in fold_manifests(manifest, 5, seed, key):
            assert len(set(fold.patients("validation")) & rare) == 4
    assert split.split["strata"] == key


def test_label_counts_are_nested_and_those_that_a_run_draws() -> None:
    split = split_manifest(demo(20), validation=4, label_counts=[8, 2, 4], subset_seed=3)
    counts = split.split["label_counts"]
    assert set(counts["2"]) < set(counts["4"]) < set(counts["8"]) <= set(split.patients("training"))
    drawn = subset_patients(split.patients("training"), 4, 3)
    assert counts["4"] == sorted(drawn)


def test_folds_validate_every_patient_once() -> None:
    manifest = demo(22, test=2)
    folds = fold_manifests(manifest, 4, seed=1)
    seen = [patient for fold in folds for patient in fold.patients("validation")]
    assert sorted(seen) == manifest.patients("training")
    for fold in folds:
        assert fold.patients("test") == manifest.patients("test")
        assert not set(fold.patients("training")) & set(fold.patients("validation"))
    assert folds == fold_manifests(shuffled(manifest, 4), 4, seed=1)


def test_the_split_is_written_down() -> None:
    split = split_manifest(demo(), "20%", seed=7)
    assert split.split == {"seed": 7, "unit": "patient", "validation_patients": 4, "test_patients": 0}
    assert split.provenance[-1]["step"] == "split"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 20}, "leave at least one of the 20 patients"),
        ({"validation": "120%"}, "a share such as 20%; found '120%'"),
        ({"validation": -1}, "from 0 to 20"),
        ({"test": "many"}, "found 'many'"),
        ({"validation": 2, "stratify": "grop"}, "did you mean 'group'"),
        ({"validation": 2, "stratify": "uid"}, "at most 50 different values"),
        ({"validation": 2, "label_counts": [99]}, "from 1 to 18"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    rows = [
        {"image": f"{p}_{i}.nii.gz", "label": f"{p}_{i}_s.nii.gz", "patient": f"P{p}", "columns": {"uid": f"{p}-{i}"}}
        for p in range(20)
        for i in range(3)
    ]
    if "uid" in options.values():
        rows = [{**row, "patient": f"P{i}"} for i, row in enumerate(rows)]
    manifest = Manifest("demo", Path("/data"), ("t1",), {"tumor": 1}, True, {"training": rows})
    with pytest.raises(ValueError, match=message):
        split_manifest(manifest, **options)


@pytest.mark.parametrize("folds", [1, 21, True, 2.5])
def test_folds_refuse(folds) -> None:
    with pytest.raises(ValueError, match="from 2 to 20"):
        fold_manifests(demo(20), folds)
