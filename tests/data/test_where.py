import contextlib
import re

import pytest

from medvol.data.where import columns_of, select

VALUES = [1.0, 2.5, None, 5.0]
ROWS = [
    {
        "image": f"c{i}.nii.gz",
        "patient": f"p{i // 2}",
        "columns": {"modality": "t1" if i % 2 else "t2", "old": i > 1, **({"z": z} if z is not None else {})},
        **({"label": f"c{i}_seg.nii.gz"} if i else {}),
        **({"targets": {"effusion": "present"}} if i == 1 else {}),
    }
    for i, z in enumerate(VALUES)
]


def kept(expression, rows=ROWS):
    return [rows.index(row) for row in select(rows, expression, "'training' of manifest 'm'")]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("labelled", [1, 2, 3]),
        ("not labelled", [0]),
        ("old == True and labelled", [2, 3]),
        ("old != labelled", [1]),
        ("patient == 'p1'", [2, 3]),
        ("case in ['c1', 'c3', 'absent']", [1, 3]),
        ("case not in ('c1', 'c3')", [0, 2]),
        ("modality < 't2'", [1, 3]),
        ("modality == 't1' or patient == 'p0'", [0, 1, 3]),
        ("z is None", [2]),
        ("z is not None", [0, 1, 3]),
        ("z is not None and z < 3", [0, 1]),
        ("z < 3 and z is not None", [0, 1]),  # the order of the two parts means nothing
        ("z >= 3 or z is None", [2, 3]),
        ("z is not None and 1 < z <= 5", [1, 3]),
        ("z is not None and (z + 1) * 2 - 3 / 1 > 0.5", [0, 1, 3]),
        ("z is not None and -z in [-1, -5]", [0, 3]),
        ("group is None", [0, 1, 2, 3]),
        ("effusion is not None and effusion == 'present'", [1]),
        ("True", [0, 1, 2, 3]),
        ("3 in [1, 3] and 2 not in [3]", [0, 1, 2, 3]),
    ],
)
def test_kept(expression, expected):
    assert kept(expression) == expected


@pytest.mark.parametrize("expression", ["not z < 3", "z != 5", "z not in [5]"])
def test_what_is_unknown_is_never_kept_by_turning_a_comparison_around(expression):
    assert 2 not in kept(f"{expression} or z is None and False")


def test_order_is_kept_and_rows_are_the_same_objects():
    turned = ROWS[::-1]
    chosen = select(turned, "labelled", "x")
    assert chosen == turned[:3]
    assert all(one is other for one, other in zip(chosen, turned[:3], strict=True))


def test_no_rows_is_no_error():
    assert select([], "anything < 3", "x") == []


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("len(case) > 3", "len(case)"),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("case.upper == 'A'", "case.upper"),
        ("case[0] == 'c'", "case[0]"),
        ("lambda: 1", "lambda: 1"),
        ("(y := 3) > 2", "(y := 3)"),
        ("z @ z > 1", "z @ z > 1"),
        ("z ** 9 > 1", "z ** 9 > 1"),
        ("1 if old else 2", "1 if old else 2"),
        ("f'{case}' == 'a'", "f'{case}'"),
        ("[x for x in case]", "[x for x in case]"),
        ("~old", "~old"),
        ("modality == b't1'", "b't1'"),
        ("modality == ...", "..."),
        ("modality == None", "None"),
        ("modality is 't1'", "modality is 't1'"),
        ("case in modality", "case in modality"),
        ("case in []", "case in []"),
        ("modality", "modality"),
        ("1", "1"),
        ("z is not None and z", "z"),
        ("old < True", "old < True"),
        ("modality < 3", "modality < 3"),
        ("old == 1", "old == 1"),
        ("modality in ['t1', 1]", "modality in ['t1', 1]"),
        ("not modality", "modality"),
        ("modality + 1 > 2", "modality"),
        ("-modality > 2", "modality"),
    ],
)
def test_a_wrong_part_is_shown(expression, part):
    with pytest.raises(ValueError, match=rf"must be .*; found '{re.escape(part)}'; \w+"):
        kept(expression)


@pytest.mark.parametrize("expression", ["", "   ", "old and", "1 +", "a b", "(" * 3000, "not " * 400 + "old and", "\0"])
def test_what_does_not_read_is_refused(expression):
    with pytest.raises(ValueError, match="an expression must read like"):
        kept(expression)


def test_deep_nesting_is_no_crash():
    assert kept("not " * 40 + "labelled") == [1, 2, 3]
    with contextlib.suppress(ValueError):  # how deep Python reads differs between its versions
        assert kept("not " * 400 + "labelled") == [1, 2, 3]


def test_unknown_name():
    with pytest.raises(ValueError, match=r"found 'modalty'; did you mean 'modality'\? there are: patient, case, group"):
        kept("modalty == 't1'")


def test_a_name_that_rows_lack():
    with pytest.raises(ValueError, match=r"'z' must have a value .* 1 of 4 without; run `python -m medvol manifest de"):
        kept("z < 3")
    with pytest.raises(ValueError, match=r"'group' must have a value .* 4 of 4"):
        kept("group == 'a'")


def test_nothing_left():
    with pytest.raises(
        ValueError, match=r"'patient == \"x\"' must keep at least one of the 4 items of 'training' of man"
    ):
        kept('patient == "x"')


def test_division_by_nothing():
    with pytest.raises(ValueError, match="must be computable"):
        kept("1 / 0 > 1")
    assert kept("z is not None and z / 0 > 1") == [0, 1, 3]


def test_a_column_of_two_kinds():
    rows = [{"image": "a", "patient": "a", "columns": {"v": 1}}, {"image": "b", "patient": "b", "columns": {"v": "1"}}]
    with pytest.raises(ValueError, match=r"column 'v' must hold numbers, or texts.*1 and '1'"):
        kept("v == 1", rows)


def test_columns_of():
    frame = columns_of(ROWS)
    assert list(frame) == ["patient", "case", "group", "labelled", "effusion", "modality", "old", "z"]
    assert frame["z"].tolist()[:2] == [1.0, 2.5]
    assert frame["z"].isna().tolist() == [False, False, True, False]
    assert frame["labelled"].tolist() == [False, True, True, True]
    assert list(columns_of(ROWS, ["z", "absent"])) == ["z"]
    assert columns_of([]).empty
