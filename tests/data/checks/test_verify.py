import json
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvol.data.checks import fill_checksums, verify

DATA = os.environ.get("MEDVOL_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")


def by_case(report):
    found = {}
    for finding in report.findings:
        found.setdefault(finding.case, set()).add(finding.problem.kind)
    return found


@pytest.fixture(scope="module")
def small(damaged_set, tmp_path_factory):
    # Once every way of breaking, and no copies: at 16 voxels one random field is much like another.
    return damaged_set(tmp_path_factory.mktemp("small") / "set", count=58, size=16, damaged=38, near=0)


def test_every_damage_is_named_and_nothing_else(small):
    report = verify(small.manifest, duplicates=False, jobs=2)
    assert len(small.wrong) == 38
    assert by_case(report) == {case: {kind} for case, kind in small.wrong.items()}
    assert report.exit_code == 1
    assert report.counts["patients"] > 30


def test_without_checksums_wrong_ones_are_not_seen(small):
    report = verify(small.manifest, checksums=False, duplicates=False)
    assert report.checksums == {}
    assert "wrong-hash" not in {finding.problem.kind for finding in report.findings}


def test_the_number_of_threads_changes_nothing(small):
    one, three = (verify(small.manifest, duplicates=False, jobs=jobs) for jobs in (1, 3))
    assert one.findings == three.findings
    with pytest.raises(ValueError, match="jobs must be 1 or more; found 0"):
        verify(small.manifest, jobs=0)


def pair(tmp_path, second, affine=None, stacked=False):
    """A manifest with one case of two modalities."""
    values = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    if stacked:
        nib.save(nib.Nifti1Image(np.stack([values, second], -1), np.eye(4)), tmp_path / "a.nii")
    else:
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a_t1.nii")
        nib.save(nib.Nifti1Image(second, np.eye(4) if affine is None else affine), tmp_path / "a_t2.nii")
    image = "a.nii" if stacked else ["a_t1.nii", "a_t2.nii"]
    content = {"name": "m", "modalities": ["t1", "t2"], "training": [{"image": image, "patient": "P"}]}
    file = tmp_path / "m.json"
    file.write_text(json.dumps(content))
    return file


OTHER = np.random.default_rng(1).normal(size=(8, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("second", "affine", "stacked", "kinds"),
    [
        (OTHER, None, False, set()),
        (OTHER, None, True, set()),
        (OTHER[1:], None, False, {"grid"}),
        (OTHER, np.diag([1, 1, 1.1, 1]), False, {"grid"}),
        (np.stack([OTHER, OTHER], -1), None, False, {"channels"}),
        (np.ones_like(OTHER), None, True, {"constant"}),
    ],
)
def test_two_modalities(tmp_path, second, affine, stacked, kinds):
    assert {finding.problem.kind for finding in verify(pair(tmp_path, second, affine, stacked)).findings} == kinds


def test_what_a_reader_did_not_foresee_is_a_finding_on_that_file(tmp_path, monkeypatch):
    def read(path):
        raise KeyError("surprise")

    monkeypatch.setattr(sys.modules["medvol.data.checks.verify"], "read_image", read)
    report = verify(pair(tmp_path, OTHER))
    assert [finding.problem.kind for finding in report.findings] == ["unreadable"] * 2


def test_a_set_whose_sums_were_written_verifies_against_them(tmp_path):
    file = pair(tmp_path, OTHER)
    assert fill_checksums(file, verify(file)) == 2
    assert verify(file).findings == []
    whole = (tmp_path / "a_t2.nii").read_bytes()
    (tmp_path / "a_t2.nii").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [(one.problem.kind, one.file) for one in verify(file).findings] == [("wrong-hash", "a_t2.nii")]


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is called 'nothing'"):
        verify("nothing")


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hippocampus", "brats2013_2mm"])
def test_real_sets_have_no_error(name):
    report = verify(name, Path(DATA) / name)
    assert report.findings == []
    assert report.counts["files"] == len(report.checksums) > 0
