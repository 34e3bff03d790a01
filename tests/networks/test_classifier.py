"""The classifier against the library networks' own forward, and the way of weights into it and out of it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from monai.networks.nets import DenseNet, DynUNet, ResNet
from torch import nn

from medvol.engines import FrozenWarmup
from medvol.networks import (
    Classifier,
    Encoder,
    encoder_keys,
    encoder_modules,
    load_pretrained,
    output_keys,
    parameter_groups,
)


def resnet(dims: int = 2, **more: object) -> ResNet:
    settings = {"spatial_dims": dims, "n_input_channels": 3, "num_classes": 4, **more}
    return ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], **settings)


def densenet(dims: int = 2) -> DenseNet:
    return DenseNet(dims, 3, 4, init_features=8, growth_rate=4, block_config=(2, 2), bn_size=2)


def unet(dims: int = 2) -> DynUNet:
    norm = ("group", {"num_groups": 2})
    return DynUNet(dims, 3, 1, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 6, 8], norm_name=norm, res_block=True)


BUILDERS = {"resnet": resnet, "densenet": densenet, "unet": unet}
LAST = {"resnet": "fc", "densenet": "class_layers.out"}


def image(dims: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 3, *[32 if dims == 2 else 16] * dims, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", LAST)
def test_it_computes_what_the_library_network_computes(kind: str, dims: int) -> None:
    network = BUILDERS[kind](dims).eval()
    made = Classifier(Encoder(network), 4).eval()
    made.head.load_state_dict(network.get_submodule(LAST[kind]).state_dict())
    with torch.no_grad():
        torch.testing.assert_close(made(image(dims)), network(image(dims)))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_pool_is_the_mean_over_every_spatial_axis(dims: int) -> None:
    network = unet(dims)
    made = Classifier(Encoder(network), 2).double()
    x = image(dims).double()
    codes = Encoder(network)(x)
    for _ in range(dims):
        codes = codes.mean(-1)
    torch.testing.assert_close(made(x), codes @ made.head.weight.T + made.head.bias)


@pytest.mark.parametrize("kind", BUILDERS)
def test_its_names_are_those_of_the_library_network(kind: str) -> None:
    network = BUILDERS[kind]()
    made = Classifier(Encoder(network), 5)
    own = set(made.state_dict()) - {"head.weight", "head.bias"}
    assert own == set(Encoder(network).state_dict()) == encoder_keys(made)
    assert own < set(network.state_dict())
    assert output_keys(made) == {"head.weight", "head.bias"}
    assert len(list(made.parameters())) == len({id(p) for p in made.parameters()})
    assert encoder_modules(made)[0] is encoder_modules(network)[0]
    names = [group["name"] for group in parameter_groups(made, 0.1)]
    assert names == ["encoder", "encoder, no decay", "rest", "rest, no decay"]


@pytest.mark.parametrize("kind", BUILDERS)
def test_encoder_weights_come_in_strictly(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source, file = BUILDERS[kind](), tmp_path / "model.pt"
    torch.save(Encoder(source).state_dict(), file)
    made = Classifier(Encoder(BUILDERS[kind]()), 4)
    head = made.head.weight.clone()
    load_pretrained(made, file, scope="encoder")
    assert f"{len(encoder_keys(made))} tensors loaded, 0 adapted, 2 new" in capsys.readouterr().out
    assert all(torch.equal(made.state_dict()[key], value) for key, value in Encoder(source).state_dict().items())
    assert torch.equal(made.head.weight, head)

    torch.save(source.state_dict(), file)  # the whole library network: what is not the encoder stays out
    load_pretrained(made, file, scope="encoder")
    state = Encoder(source).state_dict()
    state.pop(sorted(state)[0])
    torch.save(state, file)
    with pytest.raises(ValueError, match="1 missing"):
        load_pretrained(made, file, scope="encoder")


def test_its_own_weights_go_out_and_come_back(tmp_path: Path) -> None:
    first, second, network = Classifier(Encoder(resnet()), 4), Classifier(Encoder(resnet()), 4), resnet()
    torch.save(first.state_dict(), tmp_path / "model.pt")
    load_pretrained(second, tmp_path / "model.pt", scope="network")
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    _, unexpected = network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=False)
    assert unexpected == ["head.weight", "head.bias"]
    other = Classifier(Encoder(resnet()), 2)
    load_pretrained(other, tmp_path / "model.pt", scope="all")  # another label set
    assert torch.equal(other.state_dict()["conv1.weight"], first.state_dict()["conv1.weight"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_is_whole_and_apart(copied: object) -> None:
    made = Classifier(Encoder(resnet()), 4).eval()
    twin = copied(made)
    torch.testing.assert_close(twin(image(2)), made(image(2)))
    with torch.no_grad():
        twin.conv1.weight.zero_()
    assert not torch.equal(twin(image(2)), made(image(2))), "the copy runs its own modules"
    assert made.conv1.weight.abs().sum() > 0


def test_a_change_of_type_reaches_the_encoder() -> None:
    assert Classifier(Encoder(resnet()), 4).double()(image(2).double()).dtype == torch.float64


def test_the_encoder_stays_as_it_is_while_frozen() -> None:
    """Running statistics too: a probe must not move them."""
    made = Classifier(Encoder(resnet()), 4)
    before = copy.deepcopy(made.state_dict())
    freeze = FrozenWarmup(encoder_modules(made), steps=1)
    made.train()
    freeze.set_modes()
    made(image(2)).sum().backward()
    freeze.drop_gradients()
    torch.optim.AdamW(made.parameters(), lr=0.1).step()
    changed = {key for key, value in made.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"head.weight", "head.bias"}
    made.train()
    made(image(2))
    assert not torch.equal(made.bn1.running_mean, before["bn1.running_mean"]), "else the test shows nothing"


def test_gradients_reach_everything() -> None:
    made = Classifier(Encoder(densenet()), 4)
    made(image(2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_the_preset_has_the_size_that_the_page_says() -> None:
    network = ResNet("basic", [2, 2, 2, 2], [16, 32, 64, 128], spatial_dims=2, n_input_channels=3, feed_forward=False)
    assert sum(p.numel() for p in Classifier(Encoder(network), 4).parameters()) == pytest.approx(0.703e6, rel=1e-3)


def test_what_is_no_encoder_and_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Encoder; found ResNet; wrap"):
        Classifier(resnet(), 4)
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="num_outputs must be 1 or more; found"):
            Classifier(Encoder(resnet()), wrong)
    with pytest.raises(ValueError, match="expects images"):
        Classifier(Encoder(resnet()), 4)(torch.zeros(1, 1, 32, 32))
    encoder = Encoder(resnet())
    encoder.add_module("head", nn.Identity())
    with pytest.raises(ValueError, match="leave the name 'head'"):
        Classifier(encoder, 4)
