"""Files of numbers: whole ones are read, cut ones are refused with the place and the remedy."""

from __future__ import annotations

import numpy as np
import pytest

from medvol.study.tables.rows import read_curves, read_scores

HEAD = "case,patient,region,metric,value,seed,arm,run"
LINES = [
    'case_2,p2,whole,dice,0.5,0,scratch,"run, with a comma"',
    "case_1,p1,whole,dice,0.25,0,scratch,run",
    "case_1,p1,front,dice,nan,0,scratch,run",
]


@pytest.fixture
def write(tmp_path):
    def written(text, name="metrics.csv"):
        path = tmp_path / "runs" / "unet" / "a-seed0" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def text(*lines):
    return "\n".join([HEAD, *lines, ""])


def test_scores_are_sorted_and_keep_every_digit(write):
    found = read_scores(write(text(*LINES, "case_10,p1,whole,dice,0.1234567890123456,0,scratch,")))
    assert found.cases == ("case_1", "case_1", "case_10", "case_2")
    assert found.patients == ("p1", "p1", "p1", "p2")
    assert found.regions == ("front", "whole", "whole", "whole")
    np.testing.assert_array_equal(found.values, [np.nan, 0.25, 0.1234567890123456, 0.5])
    assert ("case_2", "whole", "dice") in found.keys
    part = found.only(frozenset({("case_2", "whole", "dice")}))
    assert (part.identity, part.values.tolist()) == ((("case_2",), ("p2",), ("whole",), ("dice",)), [0.5])


def test_two_files_of_the_same_cases_have_one_identity(write, tmp_path):
    one = read_scores(write(text(*LINES)))
    two = read_scores(write(text(*reversed(LINES))))
    assert one.identity == two.identity
    assert hash(one.identity) == hash(two.identity)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the columns none"),
        (HEAD + "\n", "no scores in it"),
        (text(LINES[1])[:-1], "an incomplete line"),  # the last line looks whole, but its end is not there
        (text(*LINES)[:-12], "an incomplete line"),
        (text(LINES[1], "case_1,p1"), "an incomplete line, 'case_1,p1'"),
        (text(LINES[1] + ",more"), "an incomplete line"),
        (text(LINES[0])[:-3], "unexpected end of data"),  # within quotes
        (text(LINES[1].replace("0.25", "good")), "could not convert"),
        (text(LINES[1].replace("0.25", "")), "could not convert"),
        (text(LINES[1], LINES[1]), "two rows for one case"),
        (text(LINES[1], LINES[2].replace("p1", "p9")), "two patients, p9 and p1, for the case case_1"),
        (text(LINES[1]).replace("patient", "person"), "the columns case, person"),
    ],
)
def test_damaged_scores_are_refused_with_the_remedy(write, content, words):
    with pytest.raises(ValueError, match=words) as refusal:
        read_scores(write(content))
    assert str(refusal.value).startswith("runs/unet/a-seed0/test/metrics.csv must be whole")
    assert str(refusal.value).endswith("remove the file and run the study again")


def test_bytes_that_are_no_text_and_missing_files_are_refused(write, tmp_path):
    path = write("")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="must be whole"):
        read_scores(path)
    with pytest.raises(FileNotFoundError, match=r"must hold elsewhere\.csv; found none; run the study again"):
        read_scores(tmp_path / "elsewhere.csv")


def test_curves_are_the_validations_alone(write):
    lines = ["step,examples,name,value", "10,20,loss,1.5", "50,100,val_mean_dice,0.5", "50,100,val_loss,nan", ""]
    found = read_curves(write("\n".join(lines), "log.csv"))
    assert [point[:3] for point in found] == [(50, 100, "val_mean_dice"), (50, 100, "val_loss")]
    assert found[0][3] == 0.5
    assert np.isnan(found[1][3])
    assert read_curves(write(lines[0] + "\n", "log.csv")) == []


@pytest.mark.parametrize("end", ["50,100,val_mean_dice,0.", "50,100,val_me", "50,ten,val_loss,1\n"])
def test_a_cut_log_is_refused(write, end):
    with pytest.raises(ValueError, match=r"log.csv must be whole; .*; remove the run's folder"):
        read_curves(write("step,examples,name,value\n" + end, "log.csv"))
