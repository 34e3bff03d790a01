"""Tests of the operations that keep regions compact."""

import numpy as np
from scipy import ndimage

from medvol.data.regions import largest_piece, smooth_mask


def test_largest_piece_keeps_one_and_fills_holes():
    mask = np.zeros((12, 8, 8), bool)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = False
    mask[8:10, 1:3, 1:3] = True
    kept = largest_piece(mask)
    assert kept[3, 3, 3]
    assert not kept[8:].any()
    assert kept.sum() == 125


def test_largest_piece_ignores_corners():
    mask = np.zeros((2, 2, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[1, 1, 2] = True
    assert largest_piece(mask).sum() == 2


def test_smooth_mask_is_the_majority():
    mask = np.random.default_rng(0).random((7, 6, 5)) < 0.5
    padded = np.pad(mask, 1, mode="edge")
    votes = ndimage.correlate(padded.astype(int), np.ones((3, 3, 3), int))[1:-1, 1:-1, 1:-1]
    assert np.array_equal(smooth_mask(mask), votes >= 14)
