"""The encoder outside of the runner: any size, any library network, planes too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, FlexibleUNet, SegResNet, SwinUNETR, UNet

from medvol.bundles.doctor import hardware
from medvol.bundles.embedding import network as embedding_network
from medvol.bundles.embedding.network import check_memory, embed_image, open_inference, stage_numbers
from medvol.networks import Encoder

NETWORKS = {
    "dynunet": lambda dims: DynUNet(dims, 1, 1, [3] * 3, [1, 2, 2], [2] * 2, filters=[8, 8, 8]),
    "segresnet": lambda dims: SegResNet(dims, 8, 1, 3),
    "basicunet": lambda dims: BasicUNet(dims, 1, 2, features=(4, 4, 4, 4, 4, 4)),
    "unet": lambda dims: UNet(dims, 1, 2, (4, 8, 8), (2, 2), num_res_units=2),
    "swin": lambda dims: SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=dims),
    "flexible": lambda dims: FlexibleUNet(1, 2, "efficientnet-b0", spatial_dims=dims),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_size_has_to_be_divisible(name: str) -> None:
    """And the vector is the mean of the map, nothing padded."""
    encoder = Encoder(NETWORKS[name](2)).eval()
    image = torch.rand(1, 67, 41)
    last = len(encoder.channels) - 1
    with torch.no_grad():
        maps = encoder.pyramid(image[None])
    expected = torch.cat([maps[0].mean((2, 3))[0], maps[last].mean((2, 3))[0]])
    np.testing.assert_allclose(embed_image(encoder, image, [0, last]), expected, rtol=1e-4, atol=1e-5)


def test_depth_one() -> None:
    vector = embed_image(Encoder(NETWORKS["dynunet"](3)).eval(), torch.rand(1, 20, 21, 1), [2])
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()


def test_a_volume_in_a_network_of_two_axes_is_the_mean_of_its_slices() -> None:
    encoder, volume = Encoder(NETWORKS["dynunet"](2)).eval(), torch.rand(1, 20, 21, 5)
    slices = np.mean([embed_image(encoder, volume[..., depth], [0, 2]) for depth in range(5)], axis=0)
    np.testing.assert_allclose(embed_image(encoder, volume, [0, 2]), slices, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(2, 40, 40), r"must be \(1, X, Y\) after pre-processing, found the shape \(2, 40, 40\); name its"),
        (torch.rand(1, 40), r"found the shape \(1, 40\)"),
        (torch.rand(1, 9, 40), r"shape \(1, 9, 40\) must pass an encoder with strides \(1, 2, 4, 8, 16\)"),
        (
            torch.full((1, 40, 40), torch.nan),
            r"must give finite features; found NaN or infinity in 4 of 4; look",
        ),
    ],
)
def test_images_that_do_not_fit(image: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed_image(Encoder(NETWORKS["basicunet"](2)).eval(), image, [4])


def test_an_image_must_fit_into_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = Encoder(NETWORKS["unet"](3))  # widest: 4 channels at stride 2, or 8 at stride 4
    monkeypatch.setattr(embedding_network, "_memory", lambda _: 10e9)
    check_memory(encoder, 0.9 * 10e9 * 8 / (4 * 4 * 5))
    with pytest.raises(ValueError, match=r"take about 11 GB of 10 GB; crop it"):
        check_memory(encoder, 1.1 * 10e9 * 8 / (4 * 4 * 5))
    monkeypatch.undo()
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("500000000")
    with pytest.raises(ValueError, match=r"take about 1 GB of 0 GB; crop it"):  # the container's limit
        check_memory(encoder, 1e9 * 8 / (4 * 4 * 5))


def test_stage_numbers() -> None:
    encoder = SimpleNamespace(channels=(8, 16, 32), strides=(1, 2, (4, 4, 1)))
    assert stage_numbers(None, encoder) == [2]
    assert stage_numbers("all", encoder) == stage_numbers(["all"], encoder) == [0, 1, 2]
    assert stage_numbers(["2", 0, "0"], encoder) == [0, 2]
    for wrong in (["-1"], ["3"], ["all", "1"], ["last"], [], ["1.0"]):
        with pytest.raises(ValueError, match=r"2 \(32 features, stride \(4, 4, 1\)\); found"):
            stage_numbers(wrong, encoder)


def test_a_flag_is_no_name_of_weights() -> None:
    with pytest.raises(SystemExit, match=r"a text for 'weights'[\s\S]*True[\s\S]*before --weights"):
        open_inference("cpc3d", {"weights": True})
