"""1,000 scans of which 200 are damaged: all 200 are named by the right kind, none of the 800 is."""

import pytest

from medvol.data.checks import verify


@pytest.mark.slow
def test_all_damaged_are_named_and_no_other(damaged_set, tmp_path):
    made = damaged_set(tmp_path / "set", count=1000, size=64, damaged=200, near=20)
    found: dict[str, set[str]] = {}
    for finding in verify(made.manifest).findings:
        found.setdefault(finding.case, set()).add(finding.problem.kind)
    assert len(made.wrong) == 200
    assert {case: kind for case, kind in made.wrong.items() if kind not in found.get(case, ())} == {}
    assert {case: kinds for case, kinds in found.items() if case not in made.wrong} == {}
