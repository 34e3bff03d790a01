"""Defects put into the networks that restore images, one at a time: an oracle must find each, for the right reason."""

from __future__ import annotations

import pytest
import unet_oracles
from defects import put

from medvol.networks import sparse
from medvol.networks.densify import Densify
from medvol.networks.masked_autoencoder import MaskedAutoencoder
from medvol.networks.sparse_autoencoder import SparseAutoencoder

pytestmark = pytest.mark.slow

PYRAMID = "    maps = self._encoder[0].pyramid(image, visible)\n"
CHAINED = """\
    encoder, maps, x, holder = self._encoder[0], [], image, MaskHolder()
    with encoder.masked(visible, image), holder.hold(visible):
        for stage, layer in zip(encoder._stages, self.densify):
            for path in stage.modules:
                x = encoder.get_submodule(path)(x)
            maps.append(x)
            x = layer(x, ~holder.hidden(x))
"""
VISIBLE = "(mask == 0).to(image.device)"
DENSE = "[layer(x, ~sizes.hidden(x)) for layer, x in zip(self.densify, maps, strict=True)]"
SPARSE_DEFECTS = [
    ("next stage fed the densified map", "check_skips", "stage", "_restore", PYRAMID, CHAINED),
    ("next stage fed the densified map", "check_hooked", "routing", "_restore", PYRAMID, CHAINED),
    ("skip not densified", "check_skips", "skip", "_restore", DENSE, "[*maps[:-1], " + DENSE + "[-1]]"),
    ("skip not densified", "check_hooked", "routing", "_restore", DENSE, "[*maps[:-1], " + DENSE + "[-1]]"),
    ("bottleneck not densified", "check_skips", "skip", "_restore", DENSE, "[*" + DENSE + "[:-1], maps[-1]]"),
    ("mask complement", "check_blind", "hidden", "_restore", VISIBLE, "(mask != 0).to(image.device)"),
    ("transposed mask", "check_blind", "hidden", "_restore", VISIBLE, "(mask == 0).mT.contiguous()"),
    ("dense encoder", "check_blind", "hidden", "_restore", "pyramid(image, visible)", "pyramid(image)"),
    ("holes blanked, not sparse", "check_hooked", "routing", "_restore", "(image, visible)", "(image * visible)"),
    ("mask redrawn", "check_hooked", "mask", "forward", "), mask", "), mask.flip(2)"),
    ("mask not copied through", "check_hooked", "mask", "forward", "), mask", "), mask.clone()"),
]
DENSIFY_DEFECTS = [
    ("norm statistics over hidden positions", "norm", "(wide, visible,", "(wide, visible | True,"),
    ("norm over each channel", "norm", "range(1, x.ndim)", "range(2, x.ndim)"),
    ("norm over the batch", "norm", "range(1, x.ndim)", "range(0, x.ndim)"),
    ("token at visible positions", "token", "torch.where(visible,", "torch.where(~visible,"),
    ("no token", "token", "self.token)", "0 * self.token)"),
    ("token normed", "token", "torch.where(visible, normed, self.token)", "normed"),
    ("convolution left out", "convolution", "self.project(", "("),
    ("shift of the norm left out", "norm", " + self.norm.bias.view(shape)", ""),
]
NETWORKS = ("dynunet", "unet", "basic", "segresnet")
OTHER_NORMS = [("dynunet", "batch"), ("dynunet", "instance")]
SPREAD = "norm statistics over hidden voxels"
BY_NORM = [(n, sparse._SparseGroupNorm, "visible.unsqueeze(2)", unet_oracles.GROUP) for n in NETWORKS]
BY_NORM += [("dynunet", sparse._SparseBatchNorm, "visible, dims", "batch")]
BY_NORM += [("dynunet", sparse._SparseInstanceNorm, "visible, list(", "instance")]
LAYER_DEFECTS = [
    *((SPREAD, owner, "_normalize", old, old.replace("visible", "visible.logical_or(~visible)", 1), network, norm)
      for network, owner, old, norm in BY_NORM),
    # one of the two alone is made up for by the other; windows of the small UNet never reach over the corner
    *(("hidden voxels neither blanked before a layer nor after it", sparse._Sparse, "forward",
       "self.holder.hide(self._masked(self.holder.hide(x)))", "self._masked(x)", network, unet_oracles.GROUP)
      for network in NETWORKS if network != "unet"),
]  # fmt: skip
MASKED_DEFECTS = [
    ("hidden voxels not blanked", "hidden", "holes), mask", "image), mask"),
    ("mask complement", "hidden", "== 1, self.fill", "!= 1, self.fill"),
    ("transposed mask", "hidden", "mask.to(image.device)", "mask.mT"),
    ("fill left out", "hidden", "self.fill)", "0.0)"),
    ("mask redrawn", "mask", "holes), mask", "holes), mask.flip(2)"),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("name", "oracle", "word", "function", "old", "new"), SPARSE_DEFECTS)
def test_sparse_autoencoder(monkeypatch, network, name, oracle, word, function, old, new):
    check = getattr(unet_oracles, oracle)
    check(network)
    put(monkeypatch, SparseAutoencoder, function, [(old, new)])
    with pytest.raises(AssertionError, match=f"^{word}: "):
        check(network)


@pytest.mark.parametrize(("network", "norm"), [*((n, unet_oracles.GROUP) for n in NETWORKS), *OTHER_NORMS])
def test_sparse_layers_without_a_defect(network, norm):
    unet_oracles.check_alone(network, norm)


@pytest.mark.parametrize(("name", "owner", "function", "old", "new", "network", "norm"), LAYER_DEFECTS)
def test_sparse_layers(monkeypatch, name, owner, function, old, new, network, norm):
    put(monkeypatch, owner, function, [(old, new)])
    with pytest.raises(AssertionError, match=r"^alone: "):
        unet_oracles.check_alone(network, norm)


@pytest.mark.parametrize(("name", "word", "old", "new"), DENSIFY_DEFECTS)
def test_densify(monkeypatch, name, word, old, new):
    unet_oracles.check_densify()
    put(monkeypatch, Densify, "forward", [(old, new)])
    with pytest.raises(AssertionError, match=f"^{word}: "):
        unet_oracles.check_densify()


@pytest.mark.parametrize(("name", "word", "old", "new"), MASKED_DEFECTS)
def test_masked_autoencoder(monkeypatch, name, word, old, new):
    unet_oracles.check_blanked()
    put(monkeypatch, MaskedAutoencoder, "forward", [(old, new)])
    with pytest.raises(AssertionError, match=f"^{word}: "):
        unet_oracles.check_blanked()
