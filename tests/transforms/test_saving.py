"""Predictions on disk: named by case, native affine and shape, uint8."""

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medvol.transforms.saving import SavePredictiond

AFFINE = torch.tensor([[0, -2.0, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1]], dtype=torch.float64)


def label(shape=(1, 4, 5, 6)):
    values = torch.arange(int(np.prod(shape))).reshape(shape) % 5
    return MetaTensor(values.to(torch.uint8), affine=AFFINE, meta={"filename_or_obj": "in/p.07_flair.nii.gz"})


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (1, 4, 5, 1)])
def test_the_file_has_the_cases_name_and_the_maps_geometry(tmp_path, shape):
    sample = {"pred": label(shape), "case": "p.07-a"}
    out = SavePredictiond("pred", tmp_path / "new" / "folder")(sample)
    assert out["pred"] is sample["pred"]
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["p.07-a.nii.gz"]
    image = nibabel.load(tmp_path / "new" / "folder" / "p.07-a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.allclose(image.affine, AFFINE)
    assert np.array_equal(np.asarray(image.dataobj), label(shape)[0].numpy())


def test_a_plane_stays_a_plane(tmp_path):
    SavePredictiond("pred", tmp_path)({"pred": label((1, 4, 5)), "case": "p"})
    assert nibabel.load(tmp_path / "p.nii.gz").shape == (4, 5)


@pytest.mark.parametrize("case", [None, "", "..", "a/b", 3])
def test_a_case_without_a_usable_name_is_refused(tmp_path, case):
    with pytest.raises(ValueError, match="plain name of the case"):
        SavePredictiond("pred", tmp_path)({"pred": label(), "case": case})


def test_what_is_not_a_label_map_is_refused(tmp_path):
    save = SavePredictiond("pred", tmp_path)
    with pytest.raises(ValueError, match=r"MetaTensor \(1, \*spatial\).*RegionsToLabelsd"):
        save({"pred": label((3, 4, 5, 6)), "case": "p"})
    with pytest.raises(ValueError, match=r"MetaTensor \(1, \*spatial\)"):
        save({"pred": torch.zeros(1, 2, 2, 2), "case": "p"})
    with pytest.raises(ValueError, match=r"0\.\.255, but reaches from 0.0 to 300"):
        save({"pred": MetaTensor(torch.tensor([[[[0, 300]]]])), "case": "p"})
    assert not list(tmp_path.iterdir())
