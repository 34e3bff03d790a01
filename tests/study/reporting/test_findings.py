"""Everything a report is made of."""

import pytest
from reported import failed, poor, rich

from medvol.study.reporting.findings import find


def test_all_tables_are_of_one_study():
    found = rich()
    assert found.study is found.collected.study
    assert found.plan.study is found.study
    assert set(found.records) == {run.key for run in found.plan.runs}
    assert {v.arm for v in found.verdicts if v.family == "reference"} == {"cpc3d"}
    assert not found.convergence.empty
    assert not found.robustness.empty


def test_what_has_not_ended_has_no_record():
    assert "finetune-scratch-all-seed0" not in poor().records
    assert poor().robustness.empty
    assert failed().records["finetune-cpc3d-4-seed1"].passport == {}


def test_no_study_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold study\.json"):
        find(tmp_path)
