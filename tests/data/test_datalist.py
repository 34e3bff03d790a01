import pytest

from medvol.data.datalist import (
    case_name,
    check_item,
    check_label_map,
    check_modalities,
    check_sections,
    check_targets,
    item_files,
)

ITEM = {"image": "a.nii.gz", "label": "a_seg.nii.gz", "patient": "A"}


def check(item, modalities=("t1",), labels=True, section="training"):
    return check_sections({section: [item]}, modalities, labels)[section][0]


def test_paths_become_normal_and_the_input_stays_as_it_was():
    item = {"image": "./x//a.nii.gz", "patient": "A", "sha256": {"x/./a.nii.gz": "0" * 64}}
    before = dict(item)
    assert check(item) == {"image": "x/a.nii.gz", "patient": "A", "sha256": {"x/a.nii.gz": "0" * 64}}
    assert item == before
    assert list(check_sections({}, ("t1",), False)) == ["training", "validation", "test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient": None}, r"'patient' in training\[0\] must be text \(it is never guessed\); found None"),
        ({"patient": 3}, "'patient'.*found 3"),
        ({"patient": ""}, "'patient'"),
        ({"image": ""}, "'image'"),
        ({"image": 3}, "'image'"),
        ({"image": ["a.nii.gz", "b.nii.gz"]}, "one for each of t1"),
        ({"image": "../a.nii.gz"}, "inside it.*found '../a.nii.gz'"),
        ({"image": "x/../../a.nii.gz"}, "inside it"),
        ({"image": "/a.nii.gz"}, "relative"),
        ({"image": "C:/a.nii.gz"}, "relative"),
        ({"image": "x\\a.nii.gz"}, "with '/'"),
        ({"label": "../a.nii.gz"}, "inside it"),
        ({"label": 1}, "paths as text"),
        ({"lable": "a.nii.gz"}, "unknown key 'lable'; did you mean 'label'"),
        ({"case": ""}, "'case'"),
        ({"group": 1}, "'group'"),
        ({"sha256": {"a.nii.gz": "abc"}}, "64 hexadecimal digits"),
        ({"sha256": {"b.nii.gz": "0" * 64}}, "this item's own files; found \\['b.nii.gz'\\]"),
        ({"sha256": "0" * 64}, "64 hexadecimal digits"),
    ],
)
def test_a_wrong_item_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check({**ITEM, **change})


def test_a_missing_patient_is_refused():
    with pytest.raises(ValueError, match="never guessed"):
        check({"image": "a.nii.gz"})
    with pytest.raises(ValueError, match="an item with"):
        check("a.nii.gz")


def test_a_label_needs_a_label_map():
    with pytest.raises(ValueError, match="label_map must be names and integers"):
        check(ITEM, labels=False)


def test_unknown_sections_and_misshapen_ones_are_refused():
    with pytest.raises(ValueError, match="did you mean 'training'"):
        check_sections({"trainig": []}, ("t1",), False)
    with pytest.raises(ValueError, match="a list of items"):
        check_sections({"training": {}}, ("t1",), False)


def test_two_items_of_one_name_are_refused_until_they_have_names():
    twins = [{"image": f"{folder}/t1.nii.gz", "patient": "A"} for folder in "xy"]
    with pytest.raises(ValueError, match=r"a name of its own.*\['t1'\]"):
        check_sections({"training": twins}, ("t1",), False)
    named = [{**item, "case": name} for item, name in zip(twins, "xy", strict=True)]
    assert len(check_sections({"training": named}, ("t1",), False)["training"]) == 2


def test_a_patient_in_two_sections_is_refused():
    with pytest.raises(ValueError, match="'A' in test and training"):
        check_sections({"training": [ITEM], "test": [{**ITEM, "image": "b.nii.gz"}]}, ("t1",), True)


@pytest.mark.parametrize(
    ("image", "case"),
    [
        ("x/brain_7.nii.gz", "brain_7"),
        (["x/brain_7.nii"], "brain_7"),
        (["x/b_7_t1.nii.gz", "x/b_7_t1ce.nii.gz"], "b_7"),
        (["b-7-t2f.nii.gz", "b-7-t2w.nii.gz"], "b-7"),
        (["b_0000.nii.gz", "b_0001.nii.gz"], "b"),
        (["x/b7/t1.nii.gz", "x/b7/flair.nii.gz"], "b7"),
        (["x/b7/t1.nii.gz", "x/b7/t1ce.nii.gz"], "b7"),
        ("x/chest.PNG", "chest"),
        ("x/series.3", "series.3"),
    ],
)
def test_case_names(image, case):
    assert case_name({"image": image}) == case
    assert case_name({"image": image, "case": "own"}) == "own"


def test_files_of_an_item():
    assert item_files({"image": ["a", "b"], "label": "c"}) == ["a", "b", "c"]
    assert item_files({"image": "a"}) == ["a"]


@pytest.mark.parametrize("names", ["t1", [], ["t1", "t1"], [""], [1], None])
def test_wrong_modalities_are_refused(names):
    with pytest.raises(ValueError, match="modalities must be"):
        check_modalities(names)


@pytest.mark.parametrize(
    "label_map", [{"background": 1}, {"a": 1, "b": 1}, {"a": -1}, {"a": True}, {"a": "1"}, {1: 1}, ["a"]]
)
def test_wrong_label_maps_are_refused(label_map):
    with pytest.raises(ValueError, match="background to 0"):
        check_label_map(label_map)


@pytest.mark.parametrize("label_map", [{}, {"background": 0, "tumor": 4}, {"tumor": 1}])
def test_right_label_maps_are_taken(label_map):
    check_label_map(label_map)


GRADE = {"grade": ["low", "high"]}


@pytest.mark.parametrize(
    "targets", [[], {"a": "bc"}, {"a": ["b"]}, {"a": ["b", "b"]}, {"a": ["b", ""]}, {1: ["a", "b"]}]
)
def test_wrong_targets_are_refused(targets):
    with pytest.raises(ValueError, match="two or more different class names"):
        check_targets(targets)


def test_an_items_targets_are_classes_by_name():
    item = {"image": "a.png", "patient": "p", "targets": {"grade": "high"}}
    assert check_item(item, "here", ["t1"], False, GRADE)["targets"] == {"grade": "high"}
    assert check_item({**item, "targets": {}}, "here", ["t1"], False, GRADE)["targets"] == {}, "unknown"
    with pytest.raises(ValueError, match="target 'grade' in here must be one of low, high; found 1"):
        check_item({**item, "targets": {"grade": 1}}, "here", ["t1"], False, GRADE)
    with pytest.raises(ValueError, match="did you mean 'grade'"):
        check_item({**item, "targets": {"grad": "high"}}, "here", ["t1"], False, GRADE)


@pytest.mark.parametrize("columns", [{"age": 3}, {"age": 3.5, "site": "A", "old": True}, {}])
def test_columns_are_flat_values(columns):
    item = {"image": "a.png", "patient": "p", "columns": columns}
    assert check_item(item, "here", ["t1"], False)["columns"] == columns


@pytest.mark.parametrize(
    "columns", [{"a b": 1}, {"age": None}, {"age": [1]}, {"age": float("nan")}, {"age": float("inf")}, [("age", 1)]]
)
def test_wrong_columns_are_refused(columns):
    with pytest.raises(ValueError, match="'columns' in here must be"):
        check_item({"image": "a.png", "patient": "p", "columns": columns}, "here", ["t1"], False)
