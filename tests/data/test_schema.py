"""The schema of manifests and the code that reads them: what is committed passes both, what is bad neither."""

import copy
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from medvol.data import load_manifest, write_manifest

FOLDER = Path(__file__).parents[2] / "data_manifests"
SCHEMA = json.loads((FOLDER / "schema/manifest.schema.json").read_text())
COMMITTED = sorted(FOLDER.glob("*.json"))
VALIDATOR = Draft202012Validator(SCHEMA)
GOOD = {
    "name": "good",
    "licence": "free",
    "modalities": ["flair", "t1"],
    "label_map": {"background": 0, "tumor": 1},
    "targets": {"effusion": ["absent", "present"]},
    "synthetic": True,
    "split": {"seed": 0},
    "provenance": [{"step": "import", "layout": "brats"}],
    "root": ".",
    "training": [
        {
            "image": ["a_flair.nii.gz", "a_t1.nii.gz"],
            "label": "a_seg.nii.gz",
            "patient": "A",
            "case": "a",
            "group": "scanner",
            "targets": {"effusion": "present"},
            "columns": {"age": 60.5, "sex": "F", "contrast": True, "visits": 2},
            "sha256": {"a_flair.nii.gz": "0" * 64},
        }
    ],
    "validation": [],
    "test": [{"image": "series/b", "patient": "B"}],
}


def refused(change, folder):
    """Return whether the schema and whether the code refuse the good manifest after a change."""
    content = copy.deepcopy(GOOD)
    change(content)
    file = folder / "changed.json"
    file.write_text(json.dumps(content))
    try:
        load_manifest(file)
    except ValueError:
        by_code = True
    else:
        by_code = False
    return not VALIDATOR.is_valid(json.loads(file.read_text())), by_code


def head(key, value):
    return lambda content: content.update({key: value})


def item(key, value, section="training"):
    return lambda content: content[section][0].update({key: value})


def without(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


BAD_BOTH = {
    "root a number": head("root", 3),
    "split a list": head("split", [1]),
    "modalities an object": head("modalities", {"flair": 0, "t1": 1}),
    "sha256 a number": item("sha256", {"a_flair.nii.gz": int("1" * 64)}),
    "no name": without("name"),
    "no modalities": without("modalities"),
    "empty name": head("name", ""),
    "name a number": head("name", 3),
    "licence a list": head("licence", ["a"]),
    "description null": head("description", None),
    "unknown key": head("labels", {}),
    "modalities a text": head("modalities", "t1"),
    "modalities empty": head("modalities", []),
    "modality twice": head("modalities", ["t1", "t1"]),
    "modality a number": head("modalities", [1, 2]),
    "label_map a list": head("label_map", [1]),
    "label below zero": head("label_map", {"tumor": -1}),
    "label a text": head("label_map", {"tumor": "1"}),
    "label true": head("label_map", {"tumor": True}),
    "label a fraction": head("label_map", {"tumor": 1.5}),
    "background not zero": head("label_map", {"background": 1, "tumor": 2}),
    "label without label_map": without("label_map"),
    "label with an empty label_map": head("label_map", {}),
    "target with one class": head("targets", {"effusion": ["present"]}),
    "target with a class twice": head("targets", {"effusion": ["present", "present"]}),
    "target with a number": head("targets", {"effusion": [0, 1]}),
    "targets a list": head("targets", ["effusion"]),
    "synthetic a text": head("synthetic", "false"),
    "provenance an object": head("provenance", {"step": "import"}),
    "provenance of texts": head("provenance", ["import"]),
    "section null": head("training", None),
    "section an object": head("training", {}),
    "item a text": head("training", ["a.nii.gz"]),
    "no image": without("training", 0, "image"),
    "no patient": without("training", 0, "patient"),
    "image empty": item("image", ""),
    "image an empty list": item("image", []),
    "image a number": item("image", 7),
    "path with ..": item("image", "../b.nii.gz", "test"),
    "path with .. inside": item("image", "b/../../c.nii.gz", "test"),
    "path that ends in ..": item("label", "a/.."),
    "path with a backslash": item("image", "b\\c.nii.gz", "test"),
    "absolute path": item("image", "/b.nii.gz", "test"),
    "path with a drive": item("image", "C:b.nii.gz", "test"),
    "path null": item("label", None),
    "patient a number": item("patient", 7),
    "patient empty": item("patient", ""),
    "case a number": item("case", 1),
    "group empty": item("group", ""),
    "unknown item key": item("pateint", "A"),
    "targets of an item a list": item("targets", ["present"]),
    "class a number": item("targets", {"effusion": 1}),
    "columns a list": item("columns", [1]),
    "column with a space": item("columns", {"the age": 1}),
    "column that starts with a digit": item("columns", {"1st": 1}),
    "column a list": item("columns", {"age": [1]}),
    "column null": item("columns", {"age": None}),
    "column infinite": item("columns", {"age": math.inf}),
    "sha256 a text": item("sha256", "0" * 64),
    "sha256 of 63 digits": item("sha256", {"a_flair.nii.gz": "0" * 63}),
    "sha256 in capitals": item("sha256", {"a_flair.nii.gz": "A" * 64}),
    "sha256 of an absolute path": item("sha256", {"/a_flair.nii.gz": "0" * 64}),
}
# The rules that a schema has no words for.
BAD_CODE_ONLY = {
    "patient in two sections": item("patient", "A", "test"),
    "case twice": item("case", "a", "test"),
    "images not as many as modalities": item("image", ["a_flair.nii.gz"]),
    "two structures of one number": head("label_map", {"tumor": 1, "oedema": 1}),
    "target that the head does not list": item("targets", {"edema": "present"}),
    "class that the head does not list": item("targets", {"effusion": "maybe"}),
    "sha256 of another file": item("sha256", {"stranger.nii.gz": "0" * 64}),
    "column not a number": item("columns", {"age": math.nan}),  # no JSON, but Python reads it
}


# The form is narrower than what the code can make sense of.
def test_the_good_one_passes_both(tmp_path):
    assert refused(lambda content: None, tmp_path) == (False, False)


@pytest.mark.parametrize("what", BAD_BOTH)
def test_bad_manifests_are_refused_by_both(what, tmp_path):
    assert refused(BAD_BOTH[what], tmp_path) == (True, True)


@pytest.mark.parametrize("what", BAD_CODE_ONLY)
def test_rules_that_only_the_code_knows(what, tmp_path):
    assert refused(BAD_CODE_ONLY[what], tmp_path) == (False, True)


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.stem)
def test_committed_manifests_follow_the_schema(file):
    content = json.loads(file.read_text())
    # Long sections by sample, so that this stays cheap; every item of one script has one form.
    for section in ("training", "validation", "test"):
        content[section] = content[section][:: max(len(content[section]) // 50, 1)]
    assert next(VALIDATOR.iter_errors(content), None) is None
    assert load_manifest(file).name == file.stem


@pytest.mark.slow
@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.stem)
def test_committed_manifests_follow_the_schema_to_the_last_item(file):
    assert next(VALIDATOR.iter_errors(json.loads(file.read_text())), None) is None


@pytest.mark.parametrize("name", ["manifest", "card"])
def test_schemas_are_strict_and_explain_every_key(name):
    schema = json.loads((FOLDER / f"schema/{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)

    def walk(node, place):
        if isinstance(node, dict):
            if node.get("type") == "object" and node is not schema.get("$defs", {}).get("labelled", {}).get("contains"):
                free = {"split", "items", "options"}  # what a reader may fill as he likes
                assert "additionalProperties" in node or place.rsplit("/", 1)[-1] in free, place
            for key, value in node.get("properties", {}).items():
                known = {"background"} if "label_map" in place else set()
                conditional = "/if/" in place or "/then" in place
                assert conditional or key in known or value.get("description") or "$ref" in value, f"{place}/{key}"
            for key, value in node.items():
                walk(value, f"{place}/{key}")
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, f"{place}/{i}")

    walk(schema, "")


NAMES = st.text("abcäβ z09._-", min_size=1, max_size=8)
FILES = st.text("abz09._-", min_size=1, max_size=6).filter(lambda name: set(name) != {"."})
PATHS = st.lists(FILES, min_size=1, max_size=3).map("/".join)
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = st.dictionaries(st.from_regex("[a-z_][a-z0-9_]{0,5}", fullmatch=True), NUMBERS | NAMES | st.booleans())


@st.composite
def manifests(draw):
    modalities = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    integers = draw(st.lists(st.integers(1, 300), max_size=3, unique=True))
    label_map = {f"structure {i}": value for i, value in enumerate(integers)}
    targets = draw(st.dictionaries(NAMES, st.lists(NAMES, min_size=2, max_size=3, unique=True), max_size=2))

    def one(patient, i):
        files = draw(st.lists(PATHS, min_size=len(modalities), max_size=len(modalities)))
        made = {"image": draw(st.sampled_from([files, files[0]])), "patient": patient, "case": f"case {i}"}
        if label_map and draw(st.booleans()):
            made["label"] = draw(PATHS)
        if draw(st.booleans()):
            made["targets"] = {name: draw(st.sampled_from(classes)) for name, classes in targets.items()}
            made["columns"] = draw(COLUMNS)
            made["sha256"] = {files[0]: draw(st.sampled_from(["0" * 64, "fedcba9876543210" * 4]))}
        return made

    content = {"name": draw(NAMES), "modalities": modalities, "label_map": label_map, "targets": targets}
    number = 0
    for section in ("training", "validation", "test"):
        content[section] = []
        for _ in range(draw(st.integers(0, 2))):
            content[section].append(one(f"{section} {draw(st.integers(0, 1))}", number))
            number += 1
    return content


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=manifests())
def test_generated_manifests_pass_both_and_survive_writing(content, tmp_path):
    file = tmp_path / "made.json"
    file.write_text(json.dumps(content))
    assert next(VALIDATOR.iter_errors(content), None) is None
    read = load_manifest(file)
    written = write_manifest(tmp_path / "written.json", read)
    again = load_manifest(written)
    assert again == read
    assert next(VALIDATOR.iter_errors(json.loads(written.read_text())), None) is None
    assert write_manifest(tmp_path / "again.json", again).read_bytes() == written.read_bytes()
