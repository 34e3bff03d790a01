"""Masks that hide voxels: what is refused, in a sentence."""

import pytest
import torch

from medvol.networks.masks import check_binary, check_hidden, check_seen


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(2, 1, 6, 4), r"must have the shape \(2, 1, 4, 6\).*found \(2, 1, 6, 4\)"),  # transposed
        (torch.zeros(2, 2, 4, 6), "one value per voxel"),
        (torch.zeros(1, 1, 4, 6), "one value per voxel"),
        (torch.full((2, 1, 4, 6), 0.5), "found 0.5"),
        (torch.full((2, 1, 4, 6), float("nan")), "found nan"),
        (torch.full((2, 1, 4, 6), -1), "found -1"),
        (torch.stack([torch.zeros(1, 4, 6), torch.ones(1, 4, 6)]), r"visible voxel in every sample; found none in \[1"),
    ],
)
def test_masks_that_do_not_fit_are_refused_in_a_sentence(mask, words):
    with pytest.raises(ValueError, match=words):
        check_hidden(mask, torch.zeros(2, 3, 4, 6))


def test_booleans_have_no_other_values():
    check_binary(torch.ones(2, 3, dtype=torch.bool), "1 or 0")
    check_hidden(torch.eye(4).bool()[None, None], torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match=r"must be 1 or 0 in every voxel; found 2"):
        check_binary(torch.tensor([[0, 2]]), "1 or 0")


def test_one_visible_voxel_is_enough():
    visible = torch.zeros(2, 1, 2, 3, dtype=torch.bool)
    visible[:, :, 0, 2] = True
    check_seen(visible)
    with pytest.raises(ValueError, match=r"found none in \[0\]"):
        check_seen(visible & torch.tensor([False, True]).reshape(2, 1, 1, 1))
