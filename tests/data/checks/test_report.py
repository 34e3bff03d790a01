import json

import pytest

from medvol.data.checks import Finding, Problem, Report

COUNTS = {"files": 9, "items": 5, "patients": 4, "seconds": 1.25}


def finding(kind="constant", severity="error", case="a", found="0 everywhere"):
    return Finding(Problem(kind, severity, "different values", found, "take it out"), "training", case, f"{case}.nii")


def report(*findings):
    return Report("demo", list(findings), COUNTS)


@pytest.mark.parametrize(
    ("findings", "code", "words"),
    [
        ([], 0, "no error, no warning, no note"),
        ([finding(severity="note")], 0, "1 note in 9 files of 5 items from 4 patients (1.2 s): ready for training"),
        ([finding(severity="warning")], 0, "once the warnings are understood"),
        ([finding(), finding(case="b")], 1, "2 errors, no warning, no note in 9 files"),
    ],
)
def test_verdict_and_exit_code(findings, code, words):
    made = report(*findings)
    assert words in made.verdict
    assert made.exit_code == code
    assert made.text().splitlines()[0] == made.verdict
    assert ("not ready" in made.verdict) == bool(code)


def test_the_worst_comes_first():
    made = report(finding("affine", "note"), finding("constant"), finding("label-empty", "warning"), finding("missing"))
    kinds = [one.problem.kind for one in made.findings]
    assert kinds == ["missing", "constant", "label-empty", "affine"]
    assert [one.problem.kind for one in made.errors] == ["missing", "constant"]


def test_text_shows_the_first_places_and_the_remedy_once():
    made = report(*[finding(case=f"c{i}") for i in range(9)])
    text = made.text(limit=3)
    assert text.count("take it out") == 1
    assert text.count("c2.nii") == 1
    assert "c3.nii" not in text
    assert "... and 6 more" in text
    assert "c8.nii" in made.text(limit=0)


def test_json_holds_everything():
    content = json.loads(report(finding()).json())
    assert content["severities"] == {"error": 1, "warning": 0, "note": 0}
    assert content["counts"] == COUNTS
    assert content["findings"] == [
        {
            "severity": "error", "kind": "constant", "section": "training", "case": "a", "file": "a.nii",
            "expected": "different values", "found": "0 everywhere", "remedy": "take it out",
        }
    ]  # fmt: skip
