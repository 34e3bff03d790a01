import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.data import load_decathlon_datalist

from medvol.data import Manifest, load_manifest, write_manifest

LABELS = {"background": 0, "tumor": 4}


def make_files(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def item(patient, case=None, modalities=("flair", "t1"), **more):
    case = case or patient
    images = [f"{case}/{case}_{modality}.nii.gz" for modality in modalities]
    return {"image": images, "label": f"{case}/{case}_seg.nii.gz", "patient": patient, **more}


def manifest_in(root, training="abcd", validation="e", test="f", **more):
    sections = {"training": training, "validation": validation, "test": test}
    sections = {name: [item(p) if isinstance(p, str) else p for p in rows] for name, rows in sections.items()}
    names = [f for rows in sections.values() for row in rows for f in [*row["image"], row.get("label")] if f]
    make_files(root, names)
    return Manifest("demo", root, ("flair", "t1"), LABELS, False, sections, **more)


# --- file and back ---

names = st.text("abcxyz_", min_size=1, max_size=5)


@st.composite
def manifests(draw):
    patients = draw(st.lists(names, unique=True, min_size=1, max_size=6))
    modalities = draw(st.lists(names, unique=True, min_size=1, max_size=3))
    sections = {"training": [], "validation": [], "test": []}
    for number, patient in enumerate(patients):
        row = {"patient": patient, "case": f"case{number}"}
        paths = [f"{number}/{m}.nii.gz" for m in modalities]
        row["image"] = draw(st.sampled_from([paths, f"./{number}.nii.gz"]))
        row |= draw(st.sampled_from([{}, {"label": f"{number}/seg.nii.gz"}]))
        if "label" in row and draw(st.booleans()):
            row["sha256"] = {row["label"]: hashlib.sha256(patient.encode()).hexdigest()}
        row |= draw(st.sampled_from([{}, {"group": "scanner 1"}]))
        sections[draw(st.sampled_from(sorted(sections)))].append(row)
    root = Path("/") / draw(names) / draw(names)
    texts = {key: draw(st.text(max_size=8)) for key in ("description", "reference", "licence")}
    return Manifest(draw(names), root, modalities, LABELS, draw(st.booleans()), sections, split={"seed": 3}, **texts)


@given(manifests())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_write_then_read_is_the_identity(tmp_path, manifest):
    file = write_manifest(tmp_path / "m.json", manifest)
    assert load_manifest(file) == manifest
    text = file.read_text()
    assert write_manifest(file, load_manifest(file)).read_text() == text


def test_monai_reads_the_file_as_a_decathlon_list(tmp_path):
    file = write_manifest(tmp_path / "m.json", manifest_in(tmp_path))
    rows = load_decathlon_datalist(file, data_list_key="validation")
    assert rows[0]["image"] == [str(tmp_path / "e/e_flair.nii.gz"), str(tmp_path / "e/e_t1.nii.gz")]
    assert rows[0]["label"] == str(tmp_path / "e/e_seg.nii.gz")


def test_the_smallest_manifest(tmp_path):
    (tmp_path / "m.json").write_text('{"name": "m", "modalities": ["t1"]}')
    manifest = load_manifest(tmp_path / "m.json")
    assert (manifest.root, manifest.synthetic, manifest.label_map) == (tmp_path, False, {})
    assert manifest.items("training") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "a JSON object; found 'list'"),
        ('{"name": "m"}', "the key 'modalities'"),
        ('{"modalities": ["t1"]}', "the key 'name'"),
        ('{"name": "m", "modalities": ["t1"], "lable_map": {}}', "unknown key 'lable_map'; did you mean 'label_map'"),
        (
            '{"name": "m", "modalities": ["t1"], "synthetic": "no"}',
            "synthetic must be true or false; found 'no'.*m.json",
        ),
        ('{"name": "", "modalities": ["t1"]}', "name must be text"),
        ('{"name": "m", "modalities": ["t1"], "licence": 4}', "licence must be text; found 4"),
        ('{"name": "m", "modalities": "t1"}', "modalities must be a list"),
        ('{"name": "m", "modalities": ["t1"], "label_map": {"background": 1}}', "background to 0"),
        ('{"name": "m", "modalities": ["t1"], "training": ["a.nii.gz"]}', "an item with 'image' and 'patient'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_manifest(tmp_path / "m.json")


# --- names and folders ---


def test_a_name_is_looked_up_beside_the_user_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_manifest("hippocampus").name == "hippocampus"  # the one that comes with medvol
    (tmp_path / "data_manifests").mkdir()
    write_manifest(tmp_path / "data_manifests/hippocampus.json", manifest_in(tmp_path))
    assert load_manifest("hippocampus").name == "demo"
    with pytest.raises(FileNotFoundError, match=r"none is called 'hippocampu'; did you mean 'hippocampus'.*phantom"):
        load_manifest("hippocampu")
    with pytest.raises(FileNotFoundError, match=r"no file .*x\.json"):
        load_manifest("x.json")


def test_the_phantom_is_made_on_first_use(tmp_path, monkeypatch):
    file, calls = write_manifest(tmp_path / "m.json", manifest_in(tmp_path)), []
    monkeypatch.setattr("medvol.data.phantom.phantom_manifest", lambda: calls.append(1) or file)
    assert load_manifest("phantom").root == tmp_path
    assert calls == [1]


def test_dataset_dir_replaces_the_root(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    file = write_manifest(tmp_path / "m.json", manifest_in(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="--dataset_dir"):
        load_manifest(file).items("training")
    assert load_manifest(file, tmp_path / "new").items("test")[0]["image"][0] == str(tmp_path / "new/f/f_flair.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert load_manifest(file, "new").root == tmp_path / "new"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere; correct"):
        load_manifest(file, "nowhere")


def test_missing_files_are_reported_all_at_once(tmp_path):
    manifest = manifest_in(tmp_path)
    manifest.check()
    for name in "abcd":
        (tmp_path / f"{name}/{name}_t1.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"lists 12 files under .*4 of them") as error:
        manifest.check("training")
    assert "a/a_t1.nii.gz, b/b_t1.nii.gz, c/c_t1.nii.gz, ..." in str(error.value)
    assert "--dataset_dir" in str(error.value)
    manifest.check("test")
    manifest.items("validation")
    with pytest.raises(FileNotFoundError):
        manifest.check()
    with pytest.raises(FileNotFoundError):
        manifest.items("training")
    with pytest.raises(ValueError, match="no section 'valid'; did you mean 'validation'"):
        manifest.check("valid")


# --- hash and checksums ---


def test_the_hash_follows_the_content_and_nothing_else(tmp_path):
    (tmp_path / "one").mkdir()
    manifest = manifest_in(tmp_path / "one")
    first = manifest.hash
    assert len(first) == 64
    assert int(first, 16)
    reordered = replace(manifest, sections={s: rows[::-1] for s, rows in manifest.sections.items()})
    assert reordered.hash == first
    (tmp_path / "one").rename(tmp_path / "two")
    moved = replace(manifest, root=tmp_path / "two")
    assert moved.hash == first
    training, test = manifest.sections["training"], manifest.sections["test"]
    renamed = [{**training[0], "patient": "z"}, *training[1:]]
    others = [
        replace(moved, name="other"),
        replace(moved, licence="other"),
        replace(moved, label_map={"background": 0, "tumor": 3}),
        replace(moved, modalities=("t1", "flair")),
        replace(moved, synthetic=True),
        replace(moved, split={"seed": 1}),
        replace(moved, sections={**manifest.sections, "training": renamed}),
        replace(moved, sections={**manifest.sections, "training": training[:-1]}),
        replace(moved, sections={**manifest.sections, "validation": test, "test": manifest.sections["validation"]}),
    ]
    (tmp_path / "two/a/a_t1.nii.gz").write_bytes(b"another size")
    others.append(replace(moved))
    assert len({first, *(other.hash for other in others)}) == len(others) + 1


def test_the_hash_needs_no_data_where_checksums_stand(tmp_path):
    row = {"image": "a.nii.gz", "patient": "a", "sha256": {"a.nii.gz": "0" * 64}}
    manifest = Manifest("demo", tmp_path, ("t1",), {}, False, {"training": [row]})
    other = {"training": [{**row, "sha256": {"a.nii.gz": "1" * 64}}]}
    assert manifest.hash != replace(manifest, sections=other).hash
    bare = {"training": [{"image": "a.nii.gz", "patient": "a"}]}
    with pytest.raises(FileNotFoundError, match=r"a\.nii\.gz"):
        _ = replace(manifest, sections=bare).hash


def test_a_changed_byte_fails_the_checksum(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"abc")
    row = {"image": "a.nii.gz", "patient": "a", "sha256": {"a.nii.gz": hashlib.sha256(b"abc").hexdigest()}}
    manifest = Manifest("demo", tmp_path, ("t1",), {}, False, {"training": [row]})
    manifest.check(checksums=True)
    (tmp_path / "a.nii.gz").write_bytes(b"abd")
    manifest.check()
    with pytest.raises(ValueError, match=r"SHA-256 .* for a\.nii\.gz; found"):
        manifest.check(checksums=True)


def test_the_identity_follows_the_file(tmp_path):
    manifest = manifest_in(tmp_path)
    before = manifest.items("test")[0]["identity"]
    assert manifest.items("test")[0]["identity"] == before
    assert manifest.items("test", labelled=False)[0]["identity"] != before
    assert manifest.items("test", ("t1", "flair"))[0]["identity"] != before
    os.utime(tmp_path / "f/f_t1.nii.gz", ns=(1, 1))
    assert manifest.items("test")[0]["identity"] != before
    known = hashlib.sha256((tmp_path / "f/f_t1.nii.gz").read_bytes()).hexdigest()
    sums = {"f/f_t1.nii.gz": known}
    summed = replace(manifest, sections={"test": [{**item("f"), "sha256": sums}]})
    one = summed.items("test", "t1", labelled=False)[0]["identity"]
    assert known in one
    assert str(tmp_path) not in one
    os.utime(tmp_path / "f/f_t1.nii.gz", ns=(2, 2))
    assert summed.items("test", "t1", labelled=False)[0]["identity"] == one


# --- items ---


def test_modalities_go_by_name(tmp_path):
    manifest = manifest_in(tmp_path)
    (row,) = manifest.items("validation", ["t1", "flair"])
    assert row["image"] == [str(tmp_path / "e/e_t1.nii.gz"), str(tmp_path / "e/e_flair.nii.gz")]
    assert row["label"] == str(tmp_path / "e/e_seg.nii.gz")
    assert "channels" not in row
    assert manifest.items("validation", "t1")[0]["image"] == [str(tmp_path / "e/e_t1.nii.gz")]
    assert manifest.items("validation") == manifest.items("validation", ("flair", "t1"))
    with pytest.raises(ValueError, match=r"no 't1ce'; did you mean 't1'.*flair, t1"):
        manifest.items("validation", ["t1ce"])
    with pytest.raises(ValueError, match="at least one of flair, t1"):
        manifest.items("validation", [])


def test_channels_of_one_file(tmp_path):
    make_files(tmp_path, ["a.nii.gz"])
    rows = {"training": [{"image": "a.nii.gz", "patient": "a"}]}
    manifest = Manifest("demo", tmp_path, ("flair", "t1", "t2"), {}, False, rows)
    assert manifest.items("training", ["t2", "flair"])[0]["channels"] == [2, 0]
    assert manifest.items("training")[0]["channels"] == [0, 1, 2]
    assert manifest.items("training", "t1")[0]["image"] == str(tmp_path / "a.nii.gz")
    single = Manifest("demo", tmp_path, ("t1",), {}, False, rows).items("training")[0]
    assert single["image"] == [str(tmp_path / "a.nii.gz")]
    assert "channels" not in single


def test_patients_are_integers_that_ignore_the_order_of_rows(tmp_path):
    manifest = manifest_in(tmp_path, training=["c", "a", "b", item("a", "a2")])
    rows = manifest.items("training")
    assert [(row["case"], row["patient"]) for row in rows] == [("a", 0), ("a2", 0), ("b", 1), ("c", 2)]
    assert [row["patient"] for s in ("validation", "test") for row in manifest.items(s)] == [3, 4]
    reordered = replace(manifest, sections={s: r[::-1] for s, r in manifest.sections.items()})
    assert reordered.items("training") == rows
    assert manifest.patients("training") == ["a", "b", "c"]


def test_subsets_are_of_patients_and_nested(tmp_path):
    manifest = manifest_in(tmp_path, training=[item(p, f"{p}{i}") for p in "ghijk" for i in (1, 2)])
    previous = []
    for count in range(1, 6):
        rows = manifest.items("training", num_patients=count, subset_seed=1)
        assert len(rows) == 2 * count
        assert len({row["patient"] for row in rows}) == count
        assert all(row in rows for row in previous)
        previous = rows
    assert manifest.items("training", num_patients="all") == previous
    drawn = {tuple(r["patient"] for r in manifest.items("training", num_patients=2, subset_seed=s)) for s in range(20)}
    assert len(drawn) > 5
    with pytest.raises(ValueError, match=r"from 1 to 5.*found 6"):
        manifest.items("training", num_patients=6)


def test_labelled(tmp_path):
    bare = {key: value for key, value in item("x").items() if key != "label"}
    manifest = manifest_in(tmp_path, training=["a", bare], test=[{**bare, "patient": "y", "case": "y"}])
    assert ["label" in row for row in manifest.items("training")] == [True, False]
    assert [row["case"] for row in manifest.items("training", labelled=True)] == ["a"]
    assert [row["case"] for row in manifest.items("training", labelled=False)] == ["a", "x"]
    assert not any("label" in row for row in manifest.items("training", labelled=False))
    with pytest.raises(ValueError, match="found 2"):  # the subset is drawn among patients with a label
        manifest.items("training", num_patients=2, labelled=True)
    with pytest.raises(ValueError, match="items with a label"):
        manifest.items("test", labelled=True)


def test_balanced_subsets_hold_the_groups_in_their_shares(tmp_path):
    rows = [item(f"p{i}", group="rare" if i % 4 == 0 else "common") for i in range(8)]
    manifest = manifest_in(tmp_path, training=rows)
    for seed in range(5):
        chosen = manifest.items("training", num_patients=4, subset_seed=seed, balanced=True)
        assert sum(row["case"] in ("p0", "p4") for row in chosen) == 1


def test_items_can_be_written_as_json(tmp_path):
    rows = manifest_in(tmp_path).items("training")
    assert json.loads(json.dumps(rows)) == rows


def test_targets_columns_and_provenance_survive_and_provenance_is_no_part_of_the_hash(tmp_path):
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"x")
    items = [
        {"image": "a.nii", "patient": "A", "targets": {"grade": "high"}, "columns": {"age": 61, "site": "north"}},
        {"image": "b.nii", "patient": "B"},
    ]
    head = {"name": "m", "root": tmp_path, "modalities": ("t1",), "label_map": {}, "synthetic": True}
    plain = Manifest(**head, sections={"training": items}, targets={"grade": ["low", "high"]})
    steps = [{"step": "import", "layout": "csv", "options": {}}]
    told = Manifest(**head, sections={"training": items}, targets={"grade": ["low", "high"]}, provenance=steps)
    assert load_manifest(write_manifest(tmp_path / "m.json", told)) == told
    assert told.hash == plain.hash
    assert [item.get("targets") for item in told.items("training")] == [{"grade": "high"}, None]
    assert [item["case"] for item in told.items("training", where="age is not None and age > 60")] == ["a"]
    other = Manifest(**head, sections={"training": items}, targets={"grade": ["high", "low"]})
    assert other.hash != plain.hash, "the order of the classes is their number"
    with pytest.raises(ValueError, match="provenance must be"):
        Manifest(**head, sections={"training": items}, targets={"grade": ["low", "high"]}, provenance=["import"])


def test_a_folder_of_slices_is_one_image(tmp_path):
    (tmp_path / "series").mkdir()
    for k in range(3):
        (tmp_path / "series" / f"{k}.dcm").write_bytes(bytes([k]))
    items = [{"image": "series", "patient": "A"}]
    manifest = Manifest("m", tmp_path, ("ct",), {}, True, {"training": items})
    manifest.check("training")
    before, identity = manifest.hash, manifest.items("training")[0]["identity"]
    (tmp_path / "series" / "3.dcm").write_bytes(b"33")
    again = Manifest("m", tmp_path, ("ct",), {}, True, {"training": items})
    assert again.hash != before
    assert again.items("training")[0]["identity"] != identity
    for file in (tmp_path / "series").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match="1 of them are missing: series"):
        again.check("training")


def test_a_patient_of_two_groups_is_one_stratum_in_any_order_of_rows(tmp_path):
    rows = [
        {"image": f"{p}{g}.nii", "patient": f"P{p:02}", "group": g}
        for p in range(20)
        for g in (("A", "B") if p % 2 else ("A",))
    ]
    for row in rows:
        (tmp_path / row["image"]).write_bytes(b"x")
    chosen = set()
    for order in (rows, rows[::-1], rows[::2] + rows[1::2]):
        manifest = Manifest("m", tmp_path, ("t1",), {}, True, {"training": order})
        items = manifest.items("training", num_patients=6, subset_seed=3, balanced=True)
        chosen.add(tuple(sorted({item["patient"] for item in items})))
        large = load_manifest(write_manifest(tmp_path / "m.parquet", manifest))
        items = large.items("training", num_patients=6, subset_seed=3, balanced=True)
        chosen.add(tuple(sorted({item["patient"] for item in items})))
    assert len(chosen) == 1


# --- targets of whole images ------------------------------------------------------------------------------------------


def graded(tmp_path):
    """Three items: one with both targets, one with the second only, one with none."""
    known = [{"grade": "mild", "edema": "absent"}, {"edema": "present"}, None]
    items = []
    for k, targets in enumerate(known):
        (tmp_path / f"{k}.png").write_bytes(b"x")
        items.append({"image": f"{k}.png", "patient": f"P{k}", **({"targets": targets} if targets else {})})
    classes = {"grade": ["none", "mild"], "edema": ["absent", "present"], "scar": ["no", "yes"]}
    return Manifest("graded", tmp_path, ("gray",), {}, True, {"training": items}, targets=classes)


@pytest.mark.parametrize(
    ("labelled", "cases"),
    [(["grade"], 1), ("grade", 1), ({"edema": ["absent", "present"]}, 2), (["grade", "edema"], 2), (None, 3)],
)
def test_items_of_which_a_target_is_known(tmp_path, labelled, cases):
    found = graded(tmp_path).items("training", labelled=labelled)
    assert [item["case"] for item in found] == [str(k) for k in range(cases)]


def test_targets_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has no 'grades'; did you mean 'grade'"):
        graded(tmp_path).items("training", labelled=["grades"])
    with pytest.raises(
        ValueError, match="'training' of manifest 'graded' must be items with a known scar; found 'none'"
    ):
        graded(tmp_path).items("training", labelled=["scar"])
    assert graded(tmp_path).items("test", labelled=["scar"]) == []


def test_a_large_manifest_chooses_the_same_items(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))
    plain = graded(tmp_path)
    large = load_manifest(write_manifest(tmp_path / "graded.parquet", plain))
    for labelled in (["grade"], ["edema"], ["grade", "edema"]):
        assert list(large.items("training", labelled=labelled)) == plain.items("training", labelled=labelled)
    with pytest.raises(ValueError, match="must be items with a known scar"):
        large.items("training", labelled=["scar"])
