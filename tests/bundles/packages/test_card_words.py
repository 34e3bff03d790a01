from __future__ import annotations

import pytest

from medvol.bundles.packages.card_words import preprocessing_words


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "monai.transforms.LoadImaged", "keys": ["image"]}, "Read from the image file, channels first."),
        (
            {"_target_": "LoadImage", "reverse_indexing": False},
            "Read from the image file, as rows and columns, channels first.",
        ),
        ({"_target_": "monai.transforms.Orientationd", "keys": [], "axcodes": "LPS"}, "Turned to the orientation LPS."),
        (
            {"_target_": "Spacing", "pixdim": 2.0, "mode": ["nearest", "bilinear"]},
            "Resampled to a voxel spacing of 2 mm (nearest).",
        ),
        (
            {"_target_": "monai.transforms.NormalizeIntensityd", "keys": [], "nonzero": True, "channel_wise": True},
            "Normalized to mean 0 and standard deviation 1 over the voxels that are not 0, each channel by itself.",
        ),
        (
            {"_target_": "NormalizeIntensity", "subtrahend": 10, "divisor": 2},
            "Less 10, divided by 2 over all voxels, all channels together.",
        ),
        (
            {"_target_": "ScaleIntensityRange", "a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1, "clip": True},
            "Intensities from -100 to 300 mapped to 0 to 1, cut off outside of it.",
        ),
        ({"_target_": "ScaleIntensity", "minv": -1}, "Intensities scaled to -1 to 1, each image by itself."),
        ({"_target_": "Resized", "keys": [], "spatial_size": [8, 8]}, "Resized to 8 x 8 voxels."),
        ({"_target_": "my.Thing", "b": [1], "a": "x"}, 'Thing(a="x", b=[1]).'),
        ({"_target_": "monai.transforms.Orientation"}, "Orientationd()."),
    ],
)  # fmt: skip
def test_a_transform_in_words(node: dict, words: str) -> None:
    assert preprocessing_words([node]) == [words]


def test_what_does_not_change_an_image_is_not_told() -> None:
    silent = ["monai.transforms.EnsureTyped", "medvol.transforms.SelectChannelsd", "monai.transforms.ToTensord"]
    assert preprocessing_words([{"_target_": name, "keys": ["image"]} for name in silent]) == []
