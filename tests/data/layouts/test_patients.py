import pytest

from medvol.data.layouts.patients import check_rule, patient_of, patient_of_files

PATHS = ["site1/sub01_t1.nii.gz", "site1/sub02_t1.nii.gz", "site2/sub03_t1.nii.gz", "site2/sub04_t1.nii.gz"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("case", "c7"),
        ("folder", "site1"),
        (r"(sub\d+)", "sub01"),
        (r"(site\d)/(?P<patient>sub\d+)", "sub01"),
    ],
)
def test_each_kind_of_rule(rule, expected):
    assert patient_of(PATHS[0], "c7", check_rule(rule, PATHS)) == expected


@pytest.mark.parametrize("rule", [None, "", "sub", "(sub", 7])
def test_no_rule_is_refused_with_three_paths_and_a_suggestion(rule):
    with pytest.raises(ValueError, match="never guessed") as error:
        check_rule(rule, PATHS)
    text = str(error.value)
    assert all(path in text for path in PATHS[:3])
    assert PATHS[3] not in text
    assert "'case'" in text
    assert "which finds sub01, sub02, sub03" in text


def test_a_rule_that_finds_nobody():
    with pytest.raises(ValueError, match=r"finds none in a/b\.nii; correct the rule"):
        patient_of("a/b.nii", "b", r"(sub\d+)")
    with pytest.raises(ValueError, match="finds none"):
        patient_of("b.nii", "b", "folder")
    with pytest.raises(ValueError, match="finds none"):  # a group that takes no part
        patient_of("b.nii", "b", r"(sub\d+)?b")


def test_files_of_one_case_show_one_patient():
    assert patient_of_files(["p1/t1.nii", "p1/t2.nii"], "c", "folder") == "p1"
    with pytest.raises(ValueError, match=r"case 'c' must show one patient.*'p1' in p1/t1.nii, 'p2' in p2/t2.nii"):
        patient_of_files(["p1/t1.nii", "p2/t2.nii"], "c", "folder")
