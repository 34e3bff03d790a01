"""The rows of MONAI's plain transformers: one map, the grid of the tokens, as in the network's own forward pass."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from monai.networks.nets import UNETR, ViT

from medvol.networks import Encoder, encoder_keys, encoder_modules, known_networks, load_pretrained, output_keys
from medvol.networks.registry import input_paths
from medvol.networks.unused import freeze_unused
from medvol.passport import write_passport

SIZES = {2: ((8, 18), (4, 6)), 3: ((8, 18, 8), (4, 6, 2))}  # grids of 2 x 3 and 2 x 3 x 4


def vit(dims: int = 3, channels: int = 2, seed: int = 0, **more: object) -> ViT:
    torch.manual_seed(seed)
    image, patch = SIZES[dims]
    return ViT(channels, image, patch, 12, 8, 2, 2, spatial_dims=dims, **more)


def unetr(dims: int = 2, channels: int = 2, classes: int = 3, seed: int = 0, size: object = None, **more) -> UNETR:
    torch.manual_seed(seed)
    size = size or (16, 32, 16)[:dims]
    return UNETR(channels, classes, size, 4, 12, 8, 2, spatial_dims=dims, **more)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_map_of_a_vit_is_bit_equal_to_its_tokens(dims: int, training: bool) -> None:
    network = vit(dims, dropout_rate=0.1).train(training)
    x = torch.randn(3, 2, *SIZES[dims][0])
    encoder = Encoder(network)
    with torch.no_grad():
        torch.manual_seed(3)
        tokens = network(x)[0]
        torch.manual_seed(3)
        maps = encoder.pyramid(x)
    grid = tuple(n // s for n, s in zip(*SIZES[dims], strict=True))
    assert [tuple(f.shape) for f in maps] == [(3, 12, *grid)]
    for n, place in enumerate(itertools.product(*map(range, grid))):
        assert torch.equal(maps[0][(slice(None), slice(None), *place)], tokens[:, n])
    assert (encoder.channels, encoder.strides, encoder.stage_names) == ((12,), (SIZES[dims][1],), ("norm",))
    assert (encoder.spatial_dims, encoder.in_channels, encoder.network_name) == (dims, 2, "ViT")


def test_a_voxel_reaches_its_own_token_first() -> None:
    network = vit()
    for block in network.blocks:  # blocks that add nothing: a token sees its own voxels only
        torch.nn.init.zeros_(block.attn.out_proj.weight)
        torch.nn.init.zeros_(block.mlp.linear2.weight)
    encoder, x = Encoder(network), torch.randn(1, 2, 8, 18, 8)
    with torch.no_grad():
        before = encoder(x)
        x[0, 1, 5, 13, 3] += 1
        changed = (encoder(x) != before).any(1)[0].nonzero().tolist()
    assert changed == [[5 // 4, 13 // 6, 3 // 2]]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_map_of_a_unetr_is_what_its_decoder_gets(dims: int) -> None:
    network, x = unetr(dims).eval(), torch.randn(1, 2, *(16, 32, 16)[:dims])
    got = []
    hook = network.decoder5.register_forward_pre_hook(lambda module, args: got.append(args[0]))
    with torch.no_grad():
        network(x)
        hook.remove()
        encoder = Encoder(network)
        assert torch.equal(encoder(x), got[0])
        assert torch.equal(encoder(x), network.proj_feat(network.vit(x)[0]))
    assert (encoder.channels, encoder.strides, encoder.stage_names) == ((12,), (16,), ("vit.norm",))


def test_names_are_the_network_s() -> None:
    for network in (vit(), vit(classification=True), unetr()):
        mine, theirs = Encoder(network).state_dict(keep_vars=True), network.state_dict(keep_vars=True)
        assert all(mine[key] is theirs[key] for key in mine)
        assert set(mine) == encoder_keys(network)
        assert {id(p) for m in encoder_modules(network) for p in m.parameters()} == {id(p) for p in mine.values()}
        assert not set(mine) & output_keys(network)
        missing, unexpected = copy.deepcopy(network).load_state_dict(Encoder(network).state_dict(), strict=False)
        assert not unexpected
        assert set(missing) == set(theirs) - set(mine)
    assert {"ViT", "UNETR"} <= set(known_networks())
    assert all(key.startswith("vit.") for key in Encoder(unetr()).state_dict())


def test_the_class_token_is_no_part_of_the_encoder() -> None:
    network, plain = vit(classification=True).eval(), vit(seed=1).eval()
    missing, unexpected = plain.load_state_dict(network.state_dict(), strict=False)
    assert not missing
    assert set(unexpected) == {"cls_token", *output_keys(network)} == set(network.state_dict()) - encoder_keys(network)
    x = torch.randn(1, 2, 8, 18, 8)
    with torch.no_grad():
        assert torch.equal(Encoder(network)(x), Encoder(plain)(x))


def test_volumes_slice_by_slice() -> None:
    encoder, volume = Encoder(vit(2)).eval(), torch.randn(2, 2, 8, 18, 3)
    with torch.no_grad():
        found = encoder(volume)
        for z in range(3):
            torch.testing.assert_close(found[..., z], encoder(volume[..., z]))
    assert encoder.train()(volume[..., :1]).shape == (2, 12, 2, 3, 1)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have 24 tokens of 4 x 6 x 2 voxels, .*found 2 x 2 x 4 in an image of"):
        Encoder(vit())(torch.randn(1, 2, 8, 12, 8))
    with pytest.raises(ValueError, match=r"must have 1 x 2 tokens of 16 x 16 voxels.*found 2 x 1"):
        Encoder(unetr())(torch.randn(1, 2, 32, 16))
    with pytest.raises(ValueError, match=r"images \(B, 2, D, H, W\), found shape"):
        Encoder(vit())(torch.randn(1, 1, 8, 18, 8))
    with pytest.raises(ValueError, match=r"proj_type='conv'; found 'perceptron'"):
        Encoder(vit(proj_type="perceptron"))
    with pytest.raises(ValueError, match=r"one of \['norm'\], found 'blocks\.0'"):
        Encoder(vit(), until="blocks.0")
    with pytest.raises(ValueError, match=r"found .*Linear.*sparse=False"):
        Encoder(vit(), sparse=True)


def test_copies_and_pickles() -> None:
    encoder, x = Encoder(vit(2)).eval(), torch.randn(1, 2, 8, 18)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder)), Encoder(encoder)):
        assert torch.equal(other(x), encoder(x))
        assert other.network_name == "ViT"


def test_gradients_reach_every_parameter_that_takes_part() -> None:
    encoder = Encoder(vit())
    freeze_unused(encoder)
    found = encoder(torch.randn(2, 2, 8, 18, 8))
    (found * torch.randn_like(found)).sum().backward()
    left = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert left == {f"blocks.{n}.norm_cross_attn.{name}" for n in range(2) for name in ("weight", "bias")}
    assert left == {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert all(p.grad.abs().sum() > 0 for name, p in encoder.named_parameters() if name not in left)


def save(network: torch.nn.Module, path, modalities: list[str] | None = None):
    torch.save(network.state_dict(), path)
    if modalities:
        write_passport(path, {"modalities": modalities})
    return path


def test_weights_go_round(tmp_path, capsys) -> None:
    source, target = unetr(seed=1), unetr(classes=5, seed=2)
    load_pretrained(target, save(Encoder(source), tmp_path / "model.pt"))
    with torch.no_grad():
        x = torch.randn(1, 2, 16, 32)
        assert torch.equal(Encoder(target.eval())(x), Encoder(source.eval())(x))
    load_pretrained(target, save(source, tmp_path / "model.pt"), scope="all")
    assert torch.equal(target.decoder2.conv_block.conv1.conv.weight, source.decoder2.conv_block.conv1.conv.weight)
    assert "2 new" in capsys.readouterr().out  # weight and bias of the output layer
    # an encoder's file serves a classifier: class token and head stay new
    one, two = vit(seed=1), vit(seed=2, classification=True)
    before = two.cls_token.clone()
    load_pretrained(two, save(Encoder(one), tmp_path / "model.pt"))
    assert torch.equal(two.blocks[1].mlp.linear1.weight, one.blocks[1].mlp.linear1.weight)
    assert torch.equal(two.cls_token, before)


def test_weights_of_another_transformer_are_refused(tmp_path) -> None:
    path = tmp_path / "model.pt"
    plain = ViT(2, (16, 32), 16, 12, 8, 12, 2, spatial_dims=2)
    with pytest.raises(ValueError, match=r"missing \(vit\.patch_embedding.*unknown to the network \(patch_embedding"):
        load_pretrained(unetr(), save(Encoder(plain), path))
    with pytest.raises(ValueError, match=r"1 of another shape \(vit\.patch_embedding\.position_embeddings"):
        load_pretrained(unetr(size=(32, 32)), save(Encoder(unetr()), path))


@pytest.mark.parametrize("residual", [True, False])
def test_channels_are_mapped_at_every_layer_that_reads_the_image(residual: bool, tmp_path) -> None:
    path = save(unetr(channels=1, res_block=residual), tmp_path / "model.pt", ["t1"])
    network = unetr(seed=1, res_block=residual)
    load_pretrained(network, path, scope="all", adapt=["t1", "t1"])
    assert len(input_paths(network)) == 2 + residual
    for layer in input_paths(network):
        weight = network.get_submodule(layer).weight
        assert torch.equal(weight[:, 0], weight[:, 1])
