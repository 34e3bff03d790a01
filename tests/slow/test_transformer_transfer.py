"""Transformers of files of overrides, from a step of pre-training into the segmentation network that such a file names.

What the two bundles and their files say, at the sizes that they ship; only the data are random.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from chains import ROOT

from medvol.bundles.args_files import with_args_file
from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.engines.product import write_product
from medvol.networks import load_pretrained
from medvol.networks.weights import read_weights
from medvol.transforms import RandBlockMaskd

pytestmark = pytest.mark.slow

PAIRS = [
    ("mae3d", "args_vit.json", "args_unetr.json", "UNETR"),
    ("simmim3d", "args_vit.json", "args_unetr.json", "UNETR"),
    ("simmim3d", None, "args_swin.json", "SwinUNETR"),
]


def opened(bundle: str, file: str | None, **given: object) -> OpenBundle:
    return open_bundle(bundle, overrides=with_args_file(file and ROOT / bundle / "configs" / file, given))


def pretrained(bundle: str, file: str | None, run: Path) -> Path:
    """The product after one step on one random image, of which blocks are hidden as in the training."""
    parser = opened(bundle, file).parser
    network, product, loss, optimizer = map(parser.get_parsed_content, ("network", "network_def", "loss", "optimizer"))
    before = {name: p.detach().clone() for name, p in product.named_parameters() if p.requires_grad}
    hide = RandBlockMaskd("image", parser["mask_block"], parser["mask_ratio"]).set_random_state(0)
    sample = hide({"image": torch.randn(len(parser["modalities"]), *parser["crop_size"])})
    loss(network(sample["image"][None], sample["mask"][None]), sample["label"][None]).backward()
    optimizer.step()
    after = dict(product.named_parameters())
    assert not [name for name, value in before.items() if torch.equal(value, after[name])], "not all of it is trained"
    run.mkdir()
    write_product(run, product, {"bundle": bundle, "modalities": parser["modalities"]})
    return run / "model.pt"


@pytest.mark.parametrize(("bundle", "file", "downstream", "kind"), PAIRS)
def test_a_trained_transformer_goes_into_the_segmentation_network(
    bundle: str, file: str | None, downstream: str, kind: str, tmp_path: Path
) -> None:
    """Every tensor of it, bit for bit; it has no decoder, so that ``scope=all`` is refused."""
    torch.manual_seed(0)
    weights = pretrained(bundle, file, tmp_path / "run")
    parser = opened("unet_brats", downstream, pretrained=str(weights)).parser
    arrived = parser.get_parsed_content("network").state_dict()
    stored = read_weights(weights)
    assert len(stored) > 50
    assert not [name for name, value in stored.items() if not torch.equal(arrived[name], value)]
    assert len(stored) < len(arrived)
    other = opened("unet_brats", downstream).parser.get_parsed_content("network_def")
    words = f"of {kind}, all but the output layer in {weights}, found {len(stored)}:"
    with pytest.raises(ValueError, match=re.escape(words)):
        load_pretrained(other, weights, scope="all")
