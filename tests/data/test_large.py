import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data import Manifest, load_manifest, write_manifest
from medvol.data import large as large_module
from medvol.data.large import LargeManifest
from medvol.data.table import arrow_file, write_table

NAMES = st.text(min_size=1, max_size=4)
PATHS = st.text("ab_-1", min_size=1, max_size=3).map(lambda name: f"x/{name}.nii.gz")
SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3))
TARGETS = {"effusion": ["absent", "present"], "side": ["left", "right", "both"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@st.composite
def manifests(draw, root):
    modalities = draw(st.sampled_from([("t1",), ("t1", "flair")]))
    sections = {"training": [], "validation": [], "test": []}
    for place in range(draw(st.integers(0, 6))):
        section = draw(st.sampled_from(list(sections)))
        image = draw(st.one_of(PATHS, st.tuples(*[PATHS] * len(modalities)).map(list)))
        item = {"image": image, "patient": f"{section} {draw(NAMES)}", "case": f"{draw(NAMES)}{place}"}
        if draw(st.booleans()):
            item |= {"label": f"{draw(PATHS)}", "group": draw(NAMES)}
        if draw(st.booleans()):
            item["targets"] = draw(
                st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in TARGETS.items()})
            )
        if draw(st.booleans()):
            item["columns"] = draw(st.dictionaries(st.sampled_from(["a", "b"]), SCALARS))
        if draw(st.booleans()):
            files = [image] if isinstance(image, str) else image
            item["sha256"] = {
                file: draw(st.sampled_from(["0" * 64, "ab" * 32])) for file in files[: draw(st.integers(0, 2))]
            }
        sections[section].append(item)
    targets = TARGETS if draw(st.booleans()) or any("targets" in i for s in sections.values() for i in s) else {}
    return Manifest("m", root, modalities, {"x": 1}, draw(st.booleans()), sections, targets=targets, split={"seed": 1})


def ordered(manifest):
    rows = {name: sorted(items, key=lambda i: (i["patient"], i["case"])) for name, items in manifest.sections.items()}
    return replace(manifest, sections=rows)


@pytest.fixture
def pair(tmp_path):
    """The same manifest as JSON and as Parquet, with files."""
    rows = {"training": [], "validation": [], "test": []}
    for n in range(12):
        names = [f"c{n:02d}_t1.nii", f"c{n:02d}_flair.nii"]
        item = {"image": names, "patient": f"P{n // 2}", "group": "AB"[n // 2 % 2], "columns": {"age": 40 + n % 3}}
        if n % 3:
            item["label"] = f"c{n:02d}_seg.nii"
        if n % 4 == 0:
            item["sha256"] = {names[0]: "0f" * 32}
        if n % 5:
            item["targets"] = {"effusion": "present"}
        for file in [*names, *filter(None, [item.get("label")])]:
            (tmp_path / file).write_bytes(bytes(n + 1))
        rows["test" if n >= 10 else "training"].insert(0, item)
    plain = Manifest("pair", tmp_path, ("t1", "flair"), {"x": 1}, True, rows, targets=TARGETS)
    write_manifest(tmp_path / "m.parquet", plain)
    return plain, load_manifest(tmp_path / "m.parquet")


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_json_to_parquet_and_back_is_the_identity_up_to_the_order(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("m")
    manifest = data.draw(manifests(folder))
    large = load_manifest(write_manifest(folder / "m.parquet", manifest))
    assert isinstance(large, LargeManifest)
    back = load_manifest(write_manifest(folder / "m.json", large))
    assert back == ordered(manifest)
    texts = [json.dumps(item, sort_keys=True) for items in back.sections.values() for item in items]  # 1 is not 1.0
    assert texts == [json.dumps(i, sort_keys=True) for items in ordered(manifest).sections.values() for i in items]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modalities": "flair"},
        {"modalities": ["flair", "t1"]},
        {"labelled": True},
        {"labelled": False},
        {"num_patients": 2},
        {"num_patients": 3, "subset_seed": 5, "balanced": True},
        {"num_patients": "all"},
        {"where": "age < 42 and group == 'A'"},
        {"where": "labelled and age == 41", "num_patients": 1},
        {"where": "effusion is not None"},
    ],
)
def test_items_are_those_of_the_json_form(pair, options):
    plain, large = pair
    assert list(large.items("training", **options)) == plain.items("training", **options)
    assert list(large.items("test", labelled=True)) == plain.items("test", labelled=True)
    assert list(large.items("validation")) == []


def test_patients_hash_head_and_slices_are_those_of_the_json_form(pair, monkeypatch):
    plain, large = pair
    monkeypatch.setattr(large_module, "_SORTED", 3)
    assert large.hash == plain.hash == replace(large, sections=plain.sections).hash
    assert not list(arrow_file(large.sections["training"].table.path).parent.glob("*.hash"))  # sizes may change
    for section in ("training", "validation", "test"):
        assert large.patients(section) == plain.patients(section)
    items = large.items("training")
    assert list(items[2:5]) == list(items)[2:5]
    assert items[-1] == list(items)[-1]
    rows = large.sections["training"]
    assert list(rows[1:4]) == list(rows)[1:4] == rows[3:0:-1][::-1]
    with pytest.raises(IndexError):
        items[len(items)]


def test_the_hash_is_kept_where_all_files_have_checksums(tmp_path):
    rows = [("training", {"image": f"{n}.nii", "patient": "P", "sha256": {f"{n}.nii": "0f" * 32}}) for n in range(5)]
    large = load_manifest(write_table(tmp_path / "m.parquet", {"name": "m", "modalities": ["t1"]}, rows))
    plain = Manifest("m", tmp_path, ("t1",), {}, False, {"training": [item for _, item in rows]})
    assert large.hash == plain.hash
    arrow = arrow_file(tmp_path / "m.parquet")
    (kept,) = arrow.parent.glob(f"{arrow.stem}.*.hash")
    assert kept.read_text() == plain.hash
    kept.write_text("1" * 64)
    assert load_manifest(tmp_path / "m.parquet").hash == "1" * 64
    other = replace(large, modalities=("flair",))
    assert other.hash == replace(plain, modalities=("flair",)).hash, "another head is not named by what is kept"


def test_a_copy_in_another_process_reads_the_same_and_a_changed_file_is_refused(pair, tmp_path):
    _, large = pair
    items = large.items("training")
    data = pickle.dumps(items)
    assert len(data) < 5000
    assert list(pickle.loads(data)) == list(items)
    write_manifest(tmp_path / "m.parquet", replace(large, name="other"))
    with pytest.raises(ValueError, match="stay as it was while a run reads it; found another"):
        pickle.loads(data)
    assert load_manifest(tmp_path / "m.parquet").name == "other"


def test_missing_files_are_named(pair, tmp_path, monkeypatch):
    _, large = pair
    items = large.items("training")
    (tmp_path / "c03_t1.nii").unlink()
    for action in (lambda: large.items("training"), lambda: large.check("training"), lambda: list(items)):
        with pytest.raises(FileNotFoundError, match=r"manifest 'pair' lists .* missing: c03_t1.nii; get the data"):
            action()
    monkeypatch.setattr(large_module, "SAMPLE", 1)
    assert len(large.items("training")) == 10  # the one row of the sample has its files
    with pytest.raises(FileNotFoundError, match=r"1 of them are missing: c03_t1.nii"):
        large.check("training", checksums=True)


def test_another_dataset_dir_is_the_root(pair, tmp_path):
    large = load_manifest(tmp_path / "m.parquet", tmp_path.parent)
    assert large.root == tmp_path.parent
    with pytest.raises(FileNotFoundError, match="--dataset_dir must be"):
        load_manifest(tmp_path / "m.parquet", tmp_path / "no")
    with pytest.raises(FileNotFoundError, match="a name or a Parquet file"):
        load_manifest(tmp_path / "no.parquet")


def test_where_has_the_same_errors(pair):
    plain, large = pair
    for expression in ("agee < 3", "age < 3", "age +", "effusion == 'present'"):
        with pytest.raises(ValueError, match=r"an expression|the expression|column 'effusion'") as one:
            plain.items("training", where=expression)
        with pytest.raises(ValueError, match=r"an expression|the expression|column 'effusion'") as other:
            large.items("training", where=expression)
        assert str(one.value) == str(other.value)
