"""Parameter groups: each trainable parameter once, the encoder's rate, no decay for norms and biases."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, UNet
from torch import nn

from medvol.networks import Encoder, parameter_groups


def dynunet():
    norm = ("group", {"num_groups": 2})
    return DynUNet(2, 2, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), norm_name=norm, deep_supervision=True)


NETWORKS = {
    "dynunet": dynunet,
    "unet": lambda: UNet(2, 2, 3, (4, 8, 8), (2, 2), num_res_units=2, norm="batch"),
    "segresnet": lambda: SegResNet(2, 8, 2, 3, blocks_down=(1, 1), blocks_up=(1,)),
}


def ids(parameters):
    return [id(p) for p in parameters]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_trainable_parameter_is_in_exactly_one_group(name):
    network = NETWORKS[name]()
    next(network.parameters()).requires_grad_(False)
    groups = parameter_groups(network, 1e-3, encoder_scale=0.1, weight_decay=0.05)
    listed = [i for group in groups for i in ids(group["params"])]
    assert sorted(listed) == sorted(set(ids(p for p in network.parameters() if p.requires_grad)))
    mine = set(ids(Encoder(network).parameters()))
    for group in groups:
        assert group["params"]
        for p in group["params"]:
            assert group["lr"] == pytest.approx(1e-4 if id(p) in mine else 1e-3)
            assert group["weight_decay"] == (0.05 if p.ndim > 1 else 0.0)
    optimizer = torch.optim.AdamW(groups)
    before = [p.detach().clone() for p in network.parameters()]
    for p in network.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert moved == [p.requires_grad for p in network.parameters()]


def test_groups_of_a_network_around_an_encoder():
    encoder = Encoder(dynunet())
    head = nn.Linear(8, 2)
    groups = parameter_groups(nn.ModuleList([encoder, head]), 1.0, encoder_scale=0.5)
    assert [g["name"] for g in groups] == ["encoder", "encoder, no decay", "rest", "rest, no decay"]
    assert [g["lr"] for g in groups] == [0.5, 0.5, 1.0, 1.0]
    assert ids(groups[2]["params"]) == [id(head.weight)]
    # no empty groups, and no encoder needed where its rate is the same
    assert [g["name"] for g in parameter_groups(head, 1.0)] == ["rest", "rest, no decay"]
    assert [g["name"] for g in parameter_groups(encoder, 1.0)] == ["encoder", "encoder, no decay"]
    with pytest.raises(ValueError, match="found none in Linear"):
        parameter_groups(head, 1.0, encoder_scale=0.1)
    with pytest.raises(ValueError, match="unfreeze some"):
        parameter_groups(copy.deepcopy(head).requires_grad_(False), 1.0)
    with pytest.raises(ValueError, match=r"found -1\.0, 1\.0, 0\.01"):
        parameter_groups(head, -1.0)
