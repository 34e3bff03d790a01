from __future__ import annotations

import pytest
import torch

from medvol.transforms.targets import TargetsToLabeld

TARGETS = {"grade": ["none", "mild", "severe"], "edema": ["absent", "present"]}


def test_a_class_is_its_place_in_the_config_and_the_names_are_used_up() -> None:
    sample = {"image": torch.zeros(1), "targets": {"edema": "present", "grade": "severe"}}
    found = TargetsToLabeld(TARGETS)(sample)
    assert found.keys() == {"image", "label"}
    assert torch.equal(found["label"], torch.tensor([2.0, 1.0]))
    assert "targets" in sample, "the item itself is not changed"


@pytest.mark.parametrize("targets", [None, {}, {"other": "x"}])
def test_what_is_not_known_is_nan(targets: dict | None) -> None:
    sample = {} if targets is None else {"targets": targets}
    assert TargetsToLabeld(TARGETS)(sample)["label"].isnan().all()


def test_one_known_target_of_two() -> None:
    label = TargetsToLabeld(TARGETS)({"targets": {"edema": "absent"}})["label"]
    assert label.isnan().tolist() == [True, False]
    assert label[1] == 0


def test_a_strange_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="'grade' must be one of none, mild, severe; found 'sever'; did you mean 'sev"):
        TargetsToLabeld(TARGETS)({"targets": {"grade": "sever"}})


@pytest.mark.parametrize("targets", [{}, {"grade": ["none"]}, {"grade": ["none", "none"]}, {"grade": "none"}])
def test_targets_must_have_classes(targets: dict) -> None:
    with pytest.raises(ValueError, match="two or more different classes; found"):
        TargetsToLabeld(targets)


def test_it_is_not_random_and_so_can_be_cached() -> None:
    from monai.transforms.traits import RandomizableTrait

    assert not isinstance(TargetsToLabeld(TARGETS), RandomizableTrait)
