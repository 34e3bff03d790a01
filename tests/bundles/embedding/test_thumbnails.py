"""Small slices: upright, true to proportion, light, and not too many."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from medvol.bundles.embedding import thumbnails as embedding_thumbnails
from medvol.bundles.embedding.thumbnails import Thumbnails, spread


def shown(image: torch.Tensor, spacing: tuple | None = None, is_anatomical: bool = True) -> np.ndarray:
    thumbnails = Thumbnails([0], spacing, is_anatomical)
    thumbnails.add(0, image)
    content = base64.b64decode(thumbnails.pictures[0].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def corner(x: slice, y: slice) -> torch.Tensor:
    """A volume (1, X, Y, Z) that is bright in one corner of its middle slice."""
    image = torch.zeros(1, 20, 30, 5)
    image[0, x, y, 2] = 1
    return image


def test_a_volume_lies_with_its_front_up_and_its_left_on_the_left() -> None:
    picture = shown(corner(slice(0, 6), slice(20, 30)))  # x = 0 is left, y = end is the front
    assert picture.shape == (96, 64)
    assert picture[:20, :15].min() > 200
    assert picture[50:].max() < 50
    assert picture[:, 40:].max() < 50


def test_only_the_middle_slice_of_the_first_channel_counts() -> None:
    image = torch.rand(3, 20, 30, 5)
    image[0, :, :, 2] = corner(slice(0, 6), slice(20, 30))[0, :, :, 2]
    assert (shown(image) == shown(corner(slice(0, 6), slice(20, 30)))).all()


def test_proportions_are_those_of_the_body() -> None:
    assert shown(torch.rand(1, 20, 30, 5), (3.0, 1.0, 1.0)).shape == (48, 96)


def test_a_plane_without_directions_is_rows_and_columns() -> None:
    image = torch.zeros(1, 30, 20)
    image[0, :8, :5] = 1  # above on the left
    picture = shown(image, None, is_anatomical=False)
    assert picture.shape == (96, 64)
    assert picture[:20, :12].min() > 200
    assert picture[40:].max() < 50
    depth_one = torch.zeros(1, 20, 30, 1)
    depth_one[0, :5, 20:] = 1
    assert shown(depth_one)[:20, :12].min() > 200


@pytest.mark.parametrize("image", [torch.zeros(1, 5, 5, 5), torch.full((1, 4, 200, 2), -7.0), torch.rand(1, 1, 1, 1)])
def test_odd_images(image: torch.Tensor) -> None:
    assert max(shown(image).shape) == 96


def test_there_are_500_at_most_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnails = Thumbnails(range(0, 20_000, 2), None, is_anatomical=True)
    assert len(thumbnails.chosen) == 500
    assert {0, 19_998} <= thumbnails.chosen
    assert max(np.diff(sorted(thumbnails.chosen))) <= 42
    monkeypatch.setattr(embedding_thumbnails, "_MOST_BYTES", 3000)
    few = Thumbnails(range(40), None, is_anatomical=True)
    for place in range(40):
        few.add(place, torch.rand(1, 99, 99, 1))
    assert 0 < len(few.pictures) < 5


def test_spread() -> None:
    assert spread(0, 5) == []
    assert spread(3, 5) == [0, 1, 2]
    assert spread(100, 4) == [0, 33, 66, 99]
