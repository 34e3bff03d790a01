import inspect
import json
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import medvol
from medvol.data import load_manifest, write_manifest
from medvol.data.layouts import LAYOUTS, find_importer, import_manifest


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def volumes(root, *names, label=False, channels=1):
    """Write noise of 8 x 8 x 8 voxels at 1 mm, or a label with a cube of ones; no two noises are alike."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(zlib.crc32(name.encode())).integers(1, 200, (8, 8, 8, channels), dtype=np.uint8)
        if label:
            values[:] = 0
            values[2:5, 2:5, 2:5] = 1
        nib.save(nib.Nifti1Image(values if channels > 1 else values[..., 0], np.eye(4)), root / name)


def make_msd(root):
    head = {"modality": {"0": "a", "1": "b"}, "labels": {"0": "background", "1": "x"}, "numTraining": 1, "test": []}
    head["training"] = [{"image": "./imagesTr/c.nii.gz", "label": "./labelsTr/c.nii.gz"}]
    volumes(root, "imagesTr/c.nii.gz", channels=2)
    volumes(root, "labelsTr/c.nii.gz", label=True)
    (root / "dataset.json").write_text(json.dumps(head))
    return {}


def make_nnunet(root):
    head = {"channel_names": {"0": "a", "1": "b"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    volumes(root, "imagesTr/c_0000.nii.gz", "imagesTr/c_0001.nii.gz")
    volumes(root, "labelsTr/c.nii.gz", label=True)
    (root / "dataset.json").write_text(json.dumps(head))
    return {"patient": "case"}


def make_brats(root):
    volumes(root, *(f"BraTS2021_00001/BraTS2021_00001_{kind}.nii.gz" for kind in ("flair", "t1", "t1ce", "t2")))
    volumes(root, "BraTS2021_00001/BraTS2021_00001_seg.nii.gz", label=True)
    return {}


def make_bids(root):
    volumes(root, *(f"sub-{s}/anat/sub-{s}_{kind}.nii.gz" for s in (1, 2) for kind in ("T1w", "FLAIR")))
    volumes(root, *(f"derivatives/m/sub-{s}_mask.nii.gz" for s in (1, 2)), label=True)
    return {"suffixes": ["T1w", "FLAIR"], "labels": "derivatives/m/{case}_mask.nii.gz", "label_map": {"x": 1}}


def make_nnssl(root):
    volumes(root, "d/a.nii.gz", "d/b.nii.gz")
    images = [{"image_path": f"d/{k}.nii.gz", "modality": "T1w"} for k in "ab"]
    datasets = {"d": {"subjects": {"s": {"sessions": {"e": {"images": images}}}}}}
    (root / "pretrain_data.json").write_text(json.dumps({"datasets": datasets}))
    return {}


def make_csv(root):
    volumes(root, "a.nii.gz", "b.nii.gz")
    (root / "t.csv").write_text("image,who,grade\na.nii.gz,p,high\nb.nii.gz,q,low\n")
    return {"image": "image", "patient": "who", "modalities": ["ct"], "targets": ["grade"]}


def make_folder(root):
    volumes(root, *(f"{case}_{kind}.nii.gz" for case in "ab" for kind in ("t1", "t2")))
    volumes(root, "a_seg.nii.gz", "b_seg.nii.gz", label=True)
    options = {"labels": "{case}_seg.nii.gz", "label_map": {"x": 1}}
    return {"modalities": ["t1", "t2"], "patient": "case", **options}


MAKERS = [make_msd, make_nnunet, make_brats, make_bids, make_nnssl, make_csv, make_folder]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__[5:])
def test_an_import_passes_verify(tmp_path, errors_of, make):
    options = make(tmp_path)
    manifest = import_manifest(make.__name__[5:], tmp_path, **options)
    assert errors_of(manifest) == []
    items = [item for section in manifest.sections.values() for item in section]
    assert items
    assert all("label" in item for item in items) or not manifest.label_map


@pytest.mark.parametrize("layout", ["bids", "brats", "csv", "dicom", "folder", "msd", "nnssl", "nnunet"])
def test_every_importer_has_the_same_form(layout):
    importer = find_importer(layout)
    first, *rest = inspect.signature(importer).parameters.values()
    assert first.name == "folder"
    assert all(p.kind is p.KEYWORD_ONLY for p in rest)
    assert rest[0].name == "name"
    assert "::" in importer.__doc__, "the tree it expects"
    assert "Raises:" in importer.__doc__


def test_unknown_words_are_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'brats'"):
        import_manifest("brat", tmp_path)
    with pytest.raises(ValueError, match="did you mean 'patient'"):
        import_manifest("msd", tmp_path, pateint="case")
    with pytest.raises(ValueError, match=r"missing: modalities; give each by its name"):
        import_manifest("folder", tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        import_manifest("msd", tmp_path / "nowhere")


def test_the_step_tells_options_and_findings_but_no_place(tmp_path):
    touch(tmp_path, "images/a_t1.nii.gz", "images/b_t1.nii.gz", "labels/a.nii.gz")
    options = {"modalities": ("t1",), "patient": "case", "labels": "labels/{case}.nii.gz", "label_map": {"x": 1}}
    manifest = import_manifest("folder", str(tmp_path), name="own", images="images", **options)
    (step,) = manifest.provenance
    assert step["step"] == "import"
    assert step["layout"] == "folder"
    assert step["medvol"] == medvol.__version__
    assert step["options"] == {**options, "modalities": ["t1"], "images": "images"}
    assert step["unlabelled"] == 1
    assert str(tmp_path) not in str(manifest.provenance)
    assert manifest.name == "own"
    file = write_manifest(tmp_path / "m.json", manifest)
    assert load_manifest(file) == manifest


def test_an_importer_without_findings_gets_a_step_too(tmp_path, monkeypatch):
    def made(folder, *, name=None, place=None):
        return medvol.data.Manifest("x", folder, ("t1",), {}, False, {}, provenance=[{"step": "older"}])

    monkeypatch.setattr(sys.modules[__name__], "made", made, raising=False)
    monkeypatch.setitem(LAYOUTS, "made", f"{__name__}:made")
    manifest = import_manifest("made", tmp_path, place=tmp_path / "deep")
    assert [step["step"] for step in manifest.provenance] == ["older", "import"]
    assert manifest.provenance[1]["options"] == {"place": "deep"}


def test_importers_load_only_when_they_are_used():
    source = (Path(medvol.__file__).parent / "data" / "layouts" / "__init__.py").read_text()
    assert "SimpleITK" not in source
    assert "from ." not in source.replace("from ..", "")
