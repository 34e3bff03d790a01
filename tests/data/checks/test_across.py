import numpy as np

from medvol.data.checks.across import check_cases, check_identical, check_near, check_patients, check_set
from medvol.data.checks.form import Row
from medvol.data.reading import Header


def row(section, case, patient=None, images=None):
    return Row(section, case, case if patient is None else patient, images or (f"{case}.nii",))


A, B, C = row("training", "a", "P"), row("training", "b", "P"), row("training", "c", "Q")
D = row("test", "d", "R")


def header(shape=(8, 8, 8), spacing=(1.0, 1.0, 1.0)):
    return Header(shape, 1, spacing, np.eye(4) if len(shape) == 3 else None, "int16", {})


def test_patients_and_cases():
    assert check_patients([A, B, C, D]) == []
    (finding,) = check_patients([A, B, row("test", "e", "P")])
    assert (finding.section, finding.case) == ("test", "e")
    assert check_patients([row("training", "a", ""), row("test", "b", "")]) == []
    assert [finding.section for finding in check_cases([A, C, row("test", "a", "X")])] == ["test"]


def test_severity_of_identical_files():
    places = [(one, one.images[0]) for one in (A, B, C, D)]
    severities = [one.problem.severity for one in check_identical(dict.fromkeys(("a.nii", "b.nii"), "s"), places)]
    assert severities == ["note"]
    findings = check_identical(dict.fromkeys(("a.nii", "c.nii", "d.nii"), "s"), places)
    assert [(one.case, one.problem.severity) for one in findings] == [("c", "warning"), ("d", "error")]
    assert check_identical({"a.nii": "1", "c.nii": "2"}, places) == []


def test_two_equal_modalities_of_one_case_are_a_warning():
    case = row("training", "a", images=("t1.nii", "t2.nii"))
    findings = check_identical({"t1.nii": "s", "t2.nii": "s"}, [(case, "t1.nii"), (case, "t2.nii")])
    assert [one.problem.severity for one in findings] == ["warning"]


def test_one_path_in_two_items_needs_no_checksum():
    twin = row("test", "e", images=("a.nii",))
    assert [one.problem.severity for one in check_identical({}, [(A, "a.nii"), (twin, "a.nii")])] == ["error"]


def test_near_duplicates_are_told_at_the_later_place_once():
    places = [(one, one.images[0]) for one in (A, B, C, D)]
    findings = check_near([(0, 3, 0.9), (2, 3, 0.95), (1, 0, 0.99)], places, {})
    assert [(one.case, one.problem.severity) for one in findings] == [("d", "error"), ("b", "note")]
    assert findings[0].problem.found.index("c.nii") < findings[0].problem.found.index("a.nii")
    assert check_near([(0, 3, 1.0)], places, {"a.nii": "s", "d.nii": "s"}) == []


def test_the_minority_is_flat():
    entries = [(row("training", str(i)), f"{i}.nii", header()) for i in range(3)]
    plane = (row("training", "x"), "x.png", header((8, 8), (np.nan, np.nan)))
    slice_ = (row("training", "y"), "y.nii", header((8, 1, 8)))
    assert [one.case for one in check_set([*entries, plane, slice_])] == ["x", "y"]
    assert [one.case for one in check_set([entries[0], plane, slice_])] == ["0"]
    assert check_set([plane, slice_]) == []


def test_an_outlying_voxel_size():
    entries = [(row("training", str(i)), f"{i}.nii", header(spacing=(1.0, 1.0, 3.0))) for i in range(6)]
    turned = (row("training", "t"), "t.nii", header(spacing=(3.0, 1.0, 1.0)))
    assert check_set([*entries, turned]) == []
    odd = (row("training", "o"), "o.nii", header(spacing=(0.01, 0.01, 0.03)))
    assert [(one.case, one.problem.kind) for one in check_set([*entries, odd])] == [("o", "spacing")]
    assert check_set([entries[0], odd]) == []
