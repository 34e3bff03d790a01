from __future__ import annotations

import pytest
import torch
from monai.networks import one_hot

from medvol.transforms.classes import LabelsToClassesd
from medvol.transforms.regions import ClassesToLabelsd

MAP, CLASSES = {"background": 0, "anterior": 3, "posterior": 7}, ["posterior", "anterior"]


@pytest.mark.parametrize("shape", [(1, 5), (1, 3, 4), (1, 3, 4, 2)])
def test_there_and_back_is_the_identity(shape: tuple[int, ...]) -> None:
    label = torch.tensor([0, 3, 7])[torch.randint(3, shape, generator=torch.Generator().manual_seed(0))]
    index = LabelsToClassesd("label", MAP, CLASSES)({"label": label})["label"]
    assert index.dtype == torch.float32
    scores = one_hot(index[None], 3)[0]
    assert torch.equal(ClassesToLabelsd("pred", MAP, CLASSES)({"pred": scores})["pred"].long(), label)
    assert torch.equal(index == 1, label == 7), "the order of `classes` decides, not the integers"


def test_a_number_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"holds \[4"):
        LabelsToClassesd("label", MAP, CLASSES)({"label": torch.tensor([[0, 3, 4]])})


@pytest.mark.parametrize("classes", [["posterior"], ["posterior", "anterior", "background"], ["a", "b"]])
def test_classes_must_name_every_label(classes: list[str]) -> None:
    with pytest.raises(ValueError, match="name every label once"):
        LabelsToClassesd("label", MAP, classes)
