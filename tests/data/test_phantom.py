"""Tests of the phantom on disk: made once, resumed, shared between callers, and refused in plain words."""

import errno
import json
import threading
import time

import nibabel as nib
import numpy as np
import pytest

from medvol.data import phantom
from medvol.data.phantom import Case, make_case, phantom_manifest

FAST = {"num_cases": 6, "spacing": 6.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One finished phantom of six patients at 6 mm."""
    return phantom_manifest(**FAST, root=tmp_path_factory.mktemp("phantom"))


def stamps(manifest):
    return {p: p.stat().st_mtime_ns for p in manifest.parent.rglob("*") if p.is_file() and p.name != ".lock"}


def toy_case(seed, spacing):
    """Stand in for make_case where only the files matter."""
    return Case(np.ones((4, 2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8), np.eye(4))


class TestManifest:
    def test_content(self, made):
        content = json.loads(made.read_text())
        assert made.parent.name == f"phantom-v{phantom.VERSION}-6mm-6cases-seed0"
        assert content["name"] == "phantom"
        assert content["synthetic"] is True
        assert content["modalities"] == ["flair", "t1", "t1ce", "t2"]
        assert content["label_map"] == {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4}
        assert "ICBM 152" in content["description"]
        assert "Copyright (C) 1993-2009 Louis Collins" in content["description"]  # its licence: in all copies
        assert "ICBM 152" in content["licence"]

    def test_patients_are_disjoint_and_files_exist(self, made):
        content = json.loads(made.read_text())
        patients = [item["patient"] for name in ("training", "validation", "test") for item in content[name]]
        assert len(patients) == len(set(patients)) == 6
        for item in content["training"] + content["validation"] + content["test"]:
            for name, modality in zip(item["image"], content["modalities"], strict=True):
                assert name == f"{item['patient']}/{item['patient']}_{modality}.nii.gz"
                assert (made.parent / name).is_file()
            assert (made.parent / item["label"]).is_file()

    def test_default_split(self, tmp_path, monkeypatch):
        monkeypatch.setattr(phantom, "make_case", toy_case)
        content = json.loads(phantom_manifest(root=tmp_path, spacing=6).read_text())
        assert [len(content[name]) for name in ("training", "validation", "test")] == [16, 4, 4]

    def test_loads_as_a_manifest(self, made):
        from medvol.data import load_manifest

        manifest = load_manifest(str(made))
        items = manifest.items("training", modalities=("t1ce", "flair"))
        assert len(items) == 4
        assert items[0]["image"][0].endswith("_t1ce.nii.gz")

    def test_files_are_the_case(self, made):
        """int16, rounded up so that brain and background stay apart; geometry and labels unchanged."""
        case = make_case((0, 2), spacing=6)
        folder = made.parent / "phantom_002"
        for modality, want in zip(("flair", "t1", "t1ce", "t2"), case.images, strict=True):
            image = nib.load(folder / f"phantom_002_{modality}.nii.gz")
            assert image.get_data_dtype() == np.int16
            got = np.asarray(image.dataobj)
            assert np.array_equal(got > 0, want > 0)
            assert np.array_equal(got, np.ceil(want))
            assert np.allclose(image.affine, case.affine)
        label = nib.load(folder / "phantom_002_seg.nii.gz")
        assert nib.aff2axcodes(label.affine) == ("R", "A", "S")
        assert np.array_equal(np.asarray(label.dataobj), case.label)


class TestOnce:
    def test_second_call_touches_nothing(self, made):
        before = stamps(made)
        assert phantom_manifest(**FAST, root=made.parent.parent) == made
        assert stamps(made) == before

    def test_threads_do_not_change_a_byte(self, made, tmp_path):
        other = phantom_manifest(**FAST, root=tmp_path, workers=3)
        for path in [*sorted(made.parent.rglob("*.nii.gz")), made]:
            assert path.read_bytes() == (other.parent / path.relative_to(made.parent)).read_bytes()

    def test_killed_run_is_resumed(self, tmp_path, monkeypatch):
        """Two cases are finished when the run dies; the next run keeps them and clears the half-written third."""
        done = []

        def dying(seed, spacing):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(seed)
            return toy_case(seed, spacing)

        monkeypatch.setattr(phantom, "make_case", dying)
        with pytest.raises(KeyboardInterrupt):
            phantom_manifest(**FAST, root=tmp_path, workers=1)
        folder = next(tmp_path.iterdir())
        finished = sorted(p.name for p in folder.iterdir() if p.name.startswith("phantom_"))
        assert len(finished) == 2
        assert not (folder / "manifest.json").exists()
        (folder / ".phantom_003.part").mkdir()
        (folder / ".phantom_003.part" / "half").touch()
        before = stamps(folder / "manifest.json")
        monkeypatch.setattr(phantom, "make_case", toy_case)
        manifest = phantom_manifest(**FAST, root=tmp_path)
        after = stamps(manifest)
        assert {p: t for p, t in after.items() if p in before} == {p: t for p, t in before.items() if p.name != "half"}
        assert not list(folder.glob(".*.part"))
        assert len(list(folder.glob("phantom_*"))) == 6

    def test_lost_case_is_made_again(self, tmp_path, monkeypatch):
        monkeypatch.setattr(phantom, "make_case", toy_case)
        manifest = phantom_manifest(**FAST, root=tmp_path)
        lost = manifest.parent / "phantom_004"
        for path in lost.iterdir():
            path.unlink()
        lost.rmdir()
        phantom_manifest(**FAST, root=tmp_path)
        assert len(list(lost.iterdir())) == 5

    def test_two_callers_share_the_work(self, tmp_path, monkeypatch):
        """The lock is per open file, so two threads meet it as two processes would."""
        made = []

        def counting(seed, spacing):
            time.sleep(0.02)  # long enough for the other caller to come in
            made.append(seed)
            return toy_case(seed, spacing)

        monkeypatch.setattr(phantom, "make_case", counting)
        results = []
        callers = [
            threading.Thread(target=lambda: results.append(phantom_manifest(**FAST, root=tmp_path))) for _ in range(2)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=30)
        assert len(results) == 2
        assert results[0] == results[1]
        assert sorted(made) == [(0, n) for n in range(6)]

    def test_seed_names_another_folder(self, tmp_path, monkeypatch):
        monkeypatch.setattr(phantom, "make_case", toy_case)
        assert phantom_manifest(**FAST, root=tmp_path, seed=1).parent.name.endswith("seed1")


class TestPlace:
    def test_cache_variable(self, tmp_path, monkeypatch):
        monkeypatch.setattr(phantom, "make_case", toy_case)
        monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "here"))
        assert phantom_manifest(**FAST).is_relative_to(tmp_path / "here")

    def test_folder_that_cannot_be_made(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "file"))
        with pytest.raises(OSError, match=r"folder to write.*found .*MEDVOL_CACHE"):
            phantom_manifest(**FAST)

    def test_full_disk_keeps_what_is_finished(self, tmp_path, monkeypatch):
        save, saved = phantom._save, []

        def filling(path, volume, affine):
            if len(saved) == 7:
                raise OSError(errno.ENOSPC, "No space left on device")
            saved.append(path)
            save(path, volume, affine)

        monkeypatch.setattr(phantom, "make_case", toy_case)
        monkeypatch.setattr(phantom, "_save", filling)
        with pytest.raises(OSError, match=r"MB free; found .*No space left.*MEDVOL_CACHE") as caught:
            phantom_manifest(**FAST, root=tmp_path, workers=1)
        assert caught.value.errno == errno.ENOSPC
        assert len(list(next(tmp_path.iterdir()).glob("phantom_*"))) == 1

    def test_missing_template_makes_no_folder(self, tmp_path, monkeypatch):
        def missing(spacing):
            raise FileNotFoundError("found no installed nilearn; MEDVOL_CACHE")

        monkeypatch.setattr(phantom, "load_template", missing)
        with pytest.raises(FileNotFoundError, match="nilearn"):
            phantom_manifest(**FAST, root=tmp_path)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "wrong", [{"num_cases": 2}, {"num_cases": 4.5}, {"seed": -1}, {"workers": 0}, {"spacing": 2.5}]
    )
    def test_wrong_arguments(self, wrong, tmp_path):
        with pytest.raises(ValueError, match=r"must be .*; found"):
            phantom_manifest(**({**FAST, **wrong}), root=tmp_path)
