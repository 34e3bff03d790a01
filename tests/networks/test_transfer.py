"""Transfer: all or nothing, tensor by tensor, with a report; channels by name; parameter groups."""

import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, DynUNet, FlexibleUNet, SegResNet, SwinUNETR, UNet, ViT
from torch import nn

from medvol.networks import Encoder, encoder_keys, load_pretrained, output_keys
from medvol.networks.registry import input_paths
from medvol.passport import write_passport


def dynunet(channels=2, classes=3, seed=0, widths=(6, 8, 8), dims=3, **kwargs):
    torch.manual_seed(seed)
    norm = ("group", {"num_groups": 2})
    return DynUNet(dims, channels, classes, [3] * 3, [1, 2, 2], [2, 2], filters=widths, norm_name=norm, **kwargs)


def residual_unet(channels=2, classes=3, seed=0, **kwargs):
    torch.manual_seed(seed)
    return UNet(2, channels, classes, (4, 8, 8), (2, 2), num_res_units=2, **{"norm": "batch", **kwargs})


BUILDERS = {
    "dynunet": lambda c, k, s: dynunet(c, k, s, res_block=True, deep_supervision=True),
    "dynunet_plain": lambda c, k, s: dynunet(c, k, s, dims=2),
    "unet": residual_unet,
    "unet_plain": lambda c, k, s: torch.manual_seed(s) and UNet(2, c, k, (4, 8), (2,)),
    "basic": lambda c, k, s: torch.manual_seed(s) and BasicUNet(2, c, k, (4, 4, 4, 4, 4, 4), norm="batch"),
    "segresnet": lambda c, k, s: torch.manual_seed(s) and SegResNet(2, 8, c, k, blocks_down=(1, 1), blocks_up=(1,)),
    "unetr": lambda c, k, s: torch.manual_seed(s) and UNETR(c, k, 16, 4, 8, 8, 2, spatial_dims=2),
    "vit": lambda c, k, s: torch.manual_seed(s) and ViT(c, 16, 8, 8, 8, 2, 2, classification=True, num_classes=k),
}


@pytest.fixture
def saved(tmp_path):
    """Saves a state dict with a passport beside it and returns the path."""

    def save(state, modalities=None, **passport):
        path = tmp_path / "model.pt"
        torch.save(state, path)
        if modalities or passport:
            write_passport(path, {**({"modalities": modalities} if modalities else {}), **passport})
        return path

    return save


def snapshot(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def unchanged(network, before):
    after = network.state_dict()
    return all(torch.equal(after[key], before[key]) for key in before)


def count(network):
    return len({tensor.data_ptr() for tensor in network.state_dict().values()})


@pytest.mark.parametrize("name", BUILDERS)
def test_an_encoder_goes_round(name, saved, capsys):
    source, target = BUILDERS[name](2, 3, 1), BUILDERS[name](2, 5, 2)
    before = snapshot(target)
    assert load_pretrained(target, saved(Encoder(source).state_dict())) is target
    theirs, keys = source.state_dict(), encoder_keys(target)
    assert all(torch.equal(target.state_dict()[key], theirs[key]) for key in keys)
    # everything that is not a second name of an encoder tensor is untouched
    covered = {target.state_dict()[key].data_ptr() for key in keys}
    rest = [key for key, value in target.state_dict().items() if value.data_ptr() not in covered]
    assert rest
    assert all(torch.equal(target.state_dict()[key], before[key]) for key in rest)
    line = capsys.readouterr().out.splitlines()[0]
    assert f": {len(keys)} tensors loaded, 0 adapted, {count(target) - len(keys)} new" in line
    # identical features
    one, two = Encoder(source).eval(), Encoder(target).eval()
    x = torch.randn(1, 2, *[16] * one.spatial_dims)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(one.pyramid(x), two.pyramid(x), strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_file_of_the_whole_network_serves_both_scopes(name, saved, capsys):
    source = BUILDERS[name](2, 3, 1)
    path = saved(source.state_dict())
    part, whole = BUILDERS[name](2, 3, 2), BUILDERS[name](2, 5, 3)
    load_pretrained(part, path)
    before = snapshot(whole)
    load_pretrained(whole, path, scope="all")
    theirs, outputs = source.state_dict(), output_keys(whole)
    exempt = {whole.state_dict()[key].data_ptr() for key in outputs}
    for key, value in whole.state_dict().items():
        assert torch.equal(value, before[key] if value.data_ptr() in exempt else theirs[key]), key
    lines = capsys.readouterr().out.splitlines()
    assert f"{count(whole) - len(exempt)} tensors loaded, 0 adapted, {len(exempt)} new" in lines[2]
    with torch.no_grad():
        x = torch.randn(1, 2, *[16] * Encoder(part).spatial_dims)
        assert torch.equal(Encoder(part).eval()(x), Encoder(source).eval()(x))


def test_the_output_layer_is_new_even_if_it_would_fit(saved):
    source, target = dynunet(seed=1), dynunet(seed=2)
    before = snapshot(target)
    load_pretrained(target, saved(source.state_dict()), scope="all")
    assert all(torch.equal(target.state_dict()[key], before[key]) for key in output_keys(target))


def test_scope_all_wants_every_other_tensor(saved):
    with pytest.raises(ValueError, match="missing"):
        load_pretrained(dynunet(), saved(Encoder(dynunet()).state_dict()), scope="all")
    state = {k: v for k, v in dynunet(seed=1).state_dict().items() if not k.startswith("output_block")}
    load_pretrained(dynunet(), saved(state), scope="all")


@pytest.mark.parametrize(
    "build",
    [
        lambda s: BUILDERS["dynunet"](2, 3, s),
        lambda s: torch.manual_seed(s) and nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
    ],
)
def test_scope_network_loads_everything_into_any_module(build, saved, capsys):
    source, target = build(1), build(2)
    path = saved(source.state_dict(), ["t1", "flair"])
    load_pretrained(target, path, scope="network")
    assert unchanged(target, source.state_dict())
    assert f"{count(target)} tensors loaded, 0 adapted, 0 new" in capsys.readouterr().out
    state = source.state_dict()
    state.pop(list(state)[-1])
    if isinstance(target, nn.Sequential):
        with pytest.raises(ValueError, match="1 missing"):
            load_pretrained(target, saved(state), scope="network")
        with pytest.raises(ValueError, match=r"table, found Sequential, whose input layers are not known"):
            load_pretrained(target, path, scope="network", adapt=["t1", "flair"])
    else:
        load_pretrained(target, path, scope="network", adapt=["flair", "t1"])
        assert " 2 adapted, 0 new" in capsys.readouterr().out


def test_a_tensor_may_have_either_of_its_two_names(saved):
    source, target = dynunet(seed=1), dynunet(seed=2)
    state = {key: value for key, value in source.state_dict().items() if key.startswith("skip_layers.")}
    load_pretrained(target, saved(state))
    assert torch.equal(target.input_block.conv1.conv.weight, source.input_block.conv1.conv.weight)
    both = {**source.state_dict(), "input_block.norm1.bias": source.input_block.norm1.bias.detach() + 1}
    with pytest.raises(ValueError, match=r"1 stored twice with different values \(input_block\.norm1\.bias\)"):
        load_pretrained(target, saved(both))


def corrupt(kind, state):
    key = "bottleneck.conv1.conv.weight"
    if kind == "renamed":
        state["bottleneck.conv1.konv.weight"] = state.pop(key)
    elif kind == "missing":
        del state[key]
    elif kind == "misshapen":
        state[key] = state[key][:-1]
    elif kind == "unknown":
        state["head.weight"] = torch.ones(3)
    return state


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            "renamed",
            r"1 missing \(bottleneck\.conv1\.conv\.weight\); 1 unknown to the network \(bottleneck\.conv1\.konv",
        ),
        ("missing", r"expects the 18 tensors .* found 17: 1 missing \(bottleneck\.conv1\.conv\.weight\)"),
        ("misshapen", r"1 of another shape \(bottleneck\.conv1\.conv\.weight \(7, 8, 3, 3, 3\) in the file, \(8, 8"),
        ("unknown", r"1 unknown to the network \(head\.weight\); build the network as"),
    ],
)
def test_one_wrong_tensor_refuses_the_file_and_changes_nothing(kind, told, saved):
    target = dynunet(seed=2)
    before = snapshot(target)
    with pytest.raises(ValueError, match=told):
        load_pretrained(target, saved(corrupt(kind, Encoder(dynunet(seed=1)).state_dict())))
    assert unchanged(target, before)


def test_weights_of_another_architecture_are_refused(saved):
    target = dynunet(seed=2)
    before = snapshot(target)
    for other in (residual_unet(), dynunet(widths=(6, 8, 10)), dynunet(res_block=True), dynunet(dims=2)):
        with pytest.raises(ValueError, match="another architecture are never loaded"):
            load_pretrained(target, saved(Encoder(other).state_dict()))
    assert unchanged(target, before)
    with pytest.raises(ValueError, match=r"\['encoder', 'all', 'network'\], found 'decoder'"):
        load_pretrained(target, "none", scope="decoder")


def test_scratch_touches_nothing(capsys):
    target = dynunet(seed=2)
    before = snapshot(target)
    for weights in (None, "none", "null", ""):
        assert load_pretrained(target, weights) is target
    assert unchanged(target, before)
    assert capsys.readouterr().out == "DynUNet: from scratch, no weights loaded\n" * 4


def test_the_report_says_where_weights_come_from(saved, capsys):
    data = {"name": "phantom", "hash": "abcdef0123", "synthetic": True}
    path = saved(Encoder(dynunet(seed=1)).state_dict(), bundle="cpc3d", run="1a2b", data=data, steps=300, examples=600)
    load_pretrained(dynunet(seed=2), path)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"DynUNet, encoder from {path}: 18 tensors loaded, 0 adapted, ")
    assert (
        out[1]
        == "  bundle cpc3d, run 1a2b, data phantom (abcdef01, synthetic), channels unnamed, 300 steps, 600 examples"
    )
    (path.parent / "passport.json").unlink()
    load_pretrained(dynunet(seed=2), path)
    assert "no passport beside the file" in capsys.readouterr().out


def test_the_prefix_of_a_parallel_wrapper_is_stripped(saved):
    source, target = dynunet(seed=1), dynunet(seed=2)
    load_pretrained(target, saved({f"module.{key}": value for key, value in source.state_dict().items()}))
    assert torch.equal(target.bottleneck.conv2.conv.weight, source.bottleneck.conv2.conv.weight)
    for prefix in ("model.", "encoder."):
        with pytest.raises(ValueError, match="unknown to the network"):
            load_pretrained(target, saved({prefix + key: value for key, value in source.state_dict().items()}))


def test_an_encoder_is_a_network_too(saved):
    source = dynunet(seed=1)
    path = saved(source.state_dict())
    part = Encoder(dynunet(seed=2), until="downsamples.0")
    load_pretrained(part, path)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in part.state_dict().items())
    cut = saved(part.state_dict())
    load_pretrained(Encoder(dynunet(seed=3), until="downsamples.0"), cut)
    with pytest.raises(ValueError, match="missing"):
        load_pretrained(dynunet(seed=3), cut)


def test_half_precision_files_load_into_single_precision(saved):
    source, target = dynunet(seed=1), dynunet(seed=2)
    load_pretrained(target, saved({k: v.half() for k, v in Encoder(source).state_dict().items()}))
    assert target.input_block.conv1.conv.weight.dtype == torch.float32
    assert torch.allclose(target.input_block.conv1.conv.weight, source.input_block.conv1.conv.weight, atol=1e-2)


def first_response(network, x):
    """The sum of what the input layers give, before the first non-linearity."""
    return [network.get_submodule(path)(x) for path in input_paths(network)[:2] if path.startswith(("input", "model"))]


@pytest.mark.parametrize("name", ["dynunet", "dynunet_plain", "unet", "unet_plain"])
@pytest.mark.parametrize("scope", ["encoder", "all"])
def test_repeated_channels_keep_the_response(name, scope, saved, capsys):
    source, target = BUILDERS[name](2, 3, 1), BUILDERS[name](4, 3, 2)
    path = saved(source.state_dict(), ["t1", "flair"])
    load_pretrained(target, path, scope=scope, adapt=["t1", "flair", "t1", "flair"])
    a, b = torch.randn(2, 1, 1, *[8] * Encoder(source).spatial_dims)
    two, four = torch.cat([a, b], 1), torch.cat([a, b, a, b], 1)
    responses = zip(first_response(target, four), first_response(source, two), strict=True)
    assert all(torch.allclose(f4, f2, atol=1e-5) for f4, f2 in responses)
    with torch.no_grad():
        assert torch.allclose(Encoder(target).eval()(four), Encoder(source).eval()(two), atol=1e-4)
    out = capsys.readouterr().out
    layers = 2 if name in ("dynunet", "unet") else 1
    assert f" {layers} adapted," in out
    assert out.count("t1 <- t1 / 2, flair <- flair / 2, t1 <- t1 / 2, flair <- flair / 2") == layers


def test_channels_follow_their_names(saved, capsys):
    source, target = dynunet(seed=1, res_block=True), dynunet(seed=2, res_block=True)
    path = saved(Encoder(source).state_dict(), ["t1", "flair"])
    load_pretrained(target, path, adapt=["flair", "t1"])
    x = torch.randn(1, 2, 8, 8, 8)
    with torch.no_grad():
        assert torch.allclose(Encoder(target).eval()(x.flip(1)), Encoder(source).eval()(x), atol=1e-5)
    assert "flair <- flair, t1 <- t1" in capsys.readouterr().out
    # the same names in the same order are a plain load, bit by bit
    load_pretrained(target, path, adapt=("t1", "flair"))
    assert torch.equal(target.input_block.conv1.conv.weight, source.input_block.conv1.conv.weight)
    assert " 0 adapted," in capsys.readouterr().out
    single = dynunet(1, seed=3, res_block=True)
    load_pretrained(single, path, adapt={"modalities": ["flair"]})
    assert torch.equal(single.input_block.conv3.conv.weight, source.input_block.conv3.conv.weight[:, 1:])


@pytest.mark.parametrize("missing", ["mean", "random", "error"])
def test_a_modality_that_pretraining_has_not_seen(missing, saved, capsys):
    source, target = dynunet(seed=1), dynunet(3, seed=2)
    path, before = saved(Encoder(source).state_dict(), ["t1", "flair"]), snapshot(target)
    adapt = {"modalities": ["t2", "flair", "t1"], "missing": missing}
    old, name = source.input_block.conv1.conv.weight, "input_block.conv1.conv.weight"
    if missing == "error":
        with pytest.raises(ValueError, match=r"\['t1', 'flair'\], found \['t2'\]"):
            load_pretrained(target, path, adapt=adapt)
        assert unchanged(target, before)
        return
    load_pretrained(target, path, adapt=adapt)
    new = target.state_dict()[name]
    assert torch.equal(new[:, 1], old[:, 1])
    assert torch.equal(new[:, 2], old[:, 0])
    assert torch.allclose(new[:, 0], old.mean(1) if missing == "mean" else before[name][:, 0], atol=1e-7)
    told = "t2 <- mean(t1, flair)" if missing == "mean" else "t2 <- initial weights"
    assert f"adapted {name}: {told}, flair <- flair, t1 <- t1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("channels", "modalities", "adapt", "told"),
    [
        (4, None, None, r"name them with adapt=\[\.\.\.\] and keep passport\.json"),
        (4, None, ["a", "b", "c", "d"], "keep passport.json"),
        (4, ["t1", "flair"], None, "if only the input channels differ"),
        (4, ["t1", "flair"], ["t1"], r"each of the network's 4 channels, found \['t1'\]"),
        (4, ["t1"], ["t1", "a", "b", "c"], "names 1 modalities, found 2 channels"),
        (2, ["t1", "flair"], ["T1", "flair"], "exact: the file has 't1', found 'T1'"),
        (2, ["t1", "flair"], "t1", r'write it as \["t1", "flair"\]'),
        (2, ["t1", "flair"], [], "a list of modality names"),
        (2, ["t1", "flair"], {"modality": ["t1"]}, r"found \['modality'\]"),
        (2, ["t1", "flair"], {"modalities": ["flair", "t1"], "missing": "zero"}, "found 'zero'"),
    ],
)
def test_channels_that_cannot_be_mapped_are_refused(channels, modalities, adapt, told, saved):
    target = dynunet(channels, seed=2)
    before = snapshot(target)
    with pytest.raises(ValueError, match=told):
        load_pretrained(target, saved(Encoder(dynunet(seed=1)).state_dict(), modalities), adapt=adapt)
    assert unchanged(target, before)


def test_equal_channels_without_a_passport_load_in_order(saved, capsys):
    source, target = dynunet(seed=1), dynunet(seed=2)
    load_pretrained(target, saved(Encoder(source).state_dict()), adapt=["t1", "flair"])
    assert torch.equal(target.input_block.conv1.conv.weight, source.input_block.conv1.conv.weight)
    assert "channel names are unknown" in capsys.readouterr().out
    load_pretrained(target, saved(Encoder(source).state_dict(), run="mine"), adapt=["t1", "flair"])
    assert "run mine, channels unnamed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "build",
    [
        lambda: dynunet(4, widths=(4, 6, 8), res_block=True),
        lambda: UNet(2, 4, 3, (4, 8, 8), (1, 2), num_res_units=1, norm="batch"),
    ],
)
def test_an_identity_shortcut_at_the_input_cannot_be_mapped(build, saved):
    path = saved(Encoder(build()).state_dict(), list("abcd"))
    with pytest.raises(ValueError, match="identity shortcut at the input"):
        load_pretrained(build(), path, adapt=list("badc"))
    load_pretrained(build(), path, adapt=list("abcd"))


def test_every_input_layer_of_swin_and_of_flexible_is_mapped(saved):
    def swin(channels):
        return SwinUNETR(channels, 2, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=2)

    path = saved(swin(1).state_dict(), ["t1"])
    network = load_pretrained(swin(2), path, scope="all", adapt=["t1", "t1"])
    for layer in (
        network.swinViT.patch_embed.proj,
        network.encoder1.layer.conv1.conv,
        network.encoder1.layer.conv3.conv,
    ):
        assert torch.equal(layer.weight[:, 0], layer.weight[:, 1])
    load_pretrained(swin(2), path, adapt=["t1", "t2"])
    bodies = [FlexibleUNet(c, 2, "resnet10", spatial_dims=2, decoder_channels=(8, 8, 8, 8, 4)) for c in (1, 2)]
    load_pretrained(bodies[1], saved(Encoder(bodies[0]).state_dict(), ["t1"]), adapt=["t1", "t1"])
    assert torch.allclose(bodies[1].encoder.conv1.weight.sum(1), bodies[0].encoder.conv1.weight[:, 0], atol=1e-6)


def test_a_safetensors_file_without_second_names(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    source, target = dynunet(seed=1), dynunet(seed=2)
    safetensors.save_model(source, str(tmp_path / "model.safetensors"))
    load_pretrained(target, tmp_path / "model.safetensors", scope="all")
    assert torch.equal(target.bottleneck.conv1.conv.weight, source.bottleneck.conv1.conv.weight)
