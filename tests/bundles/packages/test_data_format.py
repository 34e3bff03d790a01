from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.networks.nets import DynUNet

from medvol.bundles.export import _factor
from medvol.bundles.packages.data_format import fitted_metadata, multiple
from medvol.networks import Encoder

ROOT = Path(__file__).parents[3] / "bundles"


def unet(filters: list[int], channels: int = 4, dims: int = 3, outputs: int = 3) -> DynUNet:
    levels = len(filters)
    return DynUNet(
        dims, channels, outputs, [3] * levels, [1] + [2] * (levels - 1), [2] * (levels - 1), filters,
        norm_name=("group", {"num_groups": 8}), res_block=True,
    ).eval()  # fmt: skip


def metadata(name: str) -> dict:
    return json.loads((ROOT / name / "metadata.json").read_text(encoding="utf-8"))


def test_metadata_that_fit_stay() -> None:
    modalities = ["flair", "t1", "t1ce", "t2"]
    for name, network in (("unet_brats", unet([8, 8, 8, 16])), ("cpc3d", Encoder(unet([8, 8, 8, 96])))):
        assert fitted_metadata(metadata(name), network, modalities) == metadata(name)


def test_channels_axes_and_the_multiple_follow_the_network() -> None:
    before = metadata("cpc3d")
    fitted = fitted_metadata(before, Encoder(unet([8, 8, 8, 8, 16], channels=1, dims=2)), ["xray"])
    image, pred = (fitted["network_data_format"][side][key] for side, key in (("inputs", "image"), ("outputs", "pred")))
    assert (image["num_channels"], image["channel_def"]) == (1, {"0": "xray"})
    assert image["spatial_shape"] == ["16*n", "16*n"]
    assert (pred["num_channels"], pred["spatial_shape"]) == (16, ["n", "n"])
    assert before == metadata("cpc3d")


def test_names_of_other_output_channels_go() -> None:
    pred = fitted_metadata(metadata("unet_brats"), unet([8, 8, 8], outputs=2), ["a", "b", "c", "d"])
    pred = pred["network_data_format"]["outputs"]["pred"]
    assert pred["num_channels"] == 2
    assert "channel_def" not in pred


@pytest.mark.parametrize(
    ("entry", "found"),
    [("8*n", 8), (" 8*n ", 8), ("16 * n", 16), ("n", None), ("*", None), (8, None)],
)
def test_one_reading_of_multiples(entry: object, found: int | None) -> None:
    assert multiple(entry) == found
    assert _factor(entry) == (found or (-entry if isinstance(entry, int) else 1))


def test_a_network_that_nothing_passes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"zeros with 2 channels must pass through network_def; found .*; correct"):
        fitted_metadata(metadata("unet_brats"), unet([8, 8, 8], channels=1), ["a", "b"])
