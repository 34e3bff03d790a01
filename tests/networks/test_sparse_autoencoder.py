"""SparK on library networks: what is hidden, where tokens go, and what is left in the library network."""

import copy
import pickle

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNetDS, UNet
from monai.networks.nets.unet import CheckpointUNet
from torch.utils.flop_counter import FlopCounterMode
from unet_oracles import build, check_blind, check_hooked, check_skips, example

from medvol.networks import Encoder, SparseAutoencoder
from medvol.networks.decoders import find_decoder
from medvol.networks.sparse import _Sparse

NAMES = ["dynunet", "unet", "basic", "segresnet"]


@pytest.mark.parametrize("name", NAMES)
def test_hidden_voxels_change_nothing(name):
    check_blind(name)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_reach_the_decoder_and_not_the_next_stage(name):
    check_skips(name)


@pytest.mark.parametrize(("name", "dims"), [*((name, None) for name in NAMES), ("dynunet", 2)])
def test_it_is_the_library_network_with_dense_skips(name, dims):
    check_hooked(name, dims)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_trained(name):
    image, mask = example(name, 2)
    network = SparseAutoencoder(build(name, 2)).double()
    (network(image, mask)[0] - image).square().mul(mask).sum().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert not without
    assert len(list(network.parameters())) == len(list(build(name, 2).parameters())) + sum(
        len(list(layer.parameters())) for layer in network.densify
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_library_network_is_left_as_the_library_knows_it(name):
    network, fresh = build(name, 2), build(name, 2)
    image, mask = example(name, 2)
    keys, before = list(network.state_dict()), network(image)
    task = SparseAutoencoder(network).double()
    task(image, mask)[0].sum().backward()
    assert list(network.state_dict()) == keys
    assert [key for key in task.state_dict() if not key.startswith("densify.")] == [f"network.{key}" for key in keys]
    assert torch.equal(network(image), before)
    for parameter in network.parameters():
        parameter.data.mul_(1.1)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(image), network(image))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_failed_call_leaves_nothing_behind():
    network = build("dynunet", 2)
    image, mask = example("dynunet", 2)
    task = SparseAutoencoder(network).double()
    want, dense = task(image, mask)[0], network(image)
    handle = network.bottleneck.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task(image, mask)
    handle.remove()
    assert torch.equal(network(image), dense)
    assert torch.equal(task(image, mask)[0], want)


def test_two_tasks_and_nested_calls_do_not_mix():
    image, mask = example("dynunet", 2)
    one, two = SparseAutoencoder(build("dynunet", 2)).double(), SparseAutoencoder(build("unet", 2)).double()
    other = 1 - mask
    alone, inside = one(image, mask)[0], []
    for task, hidden in ((two, other), (one, other)):  # another network, and the same one again
        want = task(image, hidden)[0]
        busy = []

        def nested(_, __, task=task, hidden=hidden, busy=busy):
            if not busy:
                busy.append(True)
                inside.append(task(image, hidden)[0])

        handle = one.network.bottleneck.register_forward_pre_hook(nested)
        assert torch.equal(one(image, mask)[0], alone)
        assert torch.equal(inside.pop(), want)
        handle.remove()


def test_copies_and_pickles_are_whole_and_their_own():
    image, mask = example("dynunet", 2)
    task = SparseAutoencoder(build("dynunet", 2)).double()
    want = task(image, mask)[0]
    for copied in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert torch.equal(copied(image, mask)[0], want)
        copied.network.input_block.conv1.conv.weight.data.zero_()
        assert not torch.equal(copied(image, mask)[0], want)  # its encoder is its network's
    assert torch.equal(task(image, mask)[0], want)
    product = pickle.loads(pickle.dumps(task.network))
    assert torch.equal(product(image), task.network(image))


@pytest.mark.slow
def test_the_product_is_exported_after_training():
    image, mask = example("dynunet", 2)
    task = SparseAutoencoder(build("dynunet", 2)).double().eval()
    task(image, mask)
    exported = torch.export.export(task.network, (image,)).module()
    torch.testing.assert_close(exported(image), task.network(image))


def test_no_sample_knows_of_another():
    image, mask = example("dynunet")
    task = SparseAutoencoder(build("dynunet")).double().eval()
    torch.testing.assert_close(task(image[:1], mask[:1])[0], task(image, mask)[0][:1], rtol=0, atol=1e-12)


def test_a_slice_of_depth_one_gives_the_same_and_a_volume_slice_by_slice():
    image, mask = example("dynunet", 2)
    task = SparseAutoencoder(build("dynunet", 2)).double()
    want = task(image, mask)[0]
    found, same = task(image[..., None], mask[..., None])
    assert torch.equal(found[..., 0], want)
    assert same.shape == (*mask.shape, 1)
    volume = task.eval()(image[..., None].repeat(1, 1, 1, 1, 3), mask[..., None].repeat(1, 1, 1, 1, 3))[0]
    torch.testing.assert_close(volume[..., 1], want)


def test_maps_coarser_than_the_blocks_have_no_holes():
    network = SparseAutoencoder(build("dynunet", 2)).double()
    image = torch.randn(1, 2, 8, 16, dtype=torch.float64)
    mask = torch.ones(1, 1, 8, 16)
    mask[..., ::2, ::2] = 0  # a visible voxel under every position of the second map
    network(image, mask)[0].sum().backward()
    assert (network.densify[0].token.grad != 0).all()
    assert all((layer.token.grad == 0).all() for layer in network.densify[1:])


def test_half_precision():
    image, mask = example("dynunet", 2)
    task = SparseAutoencoder(build("dynunet", 2)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        restored = task(image.float(), mask.float())[0]
    restored.float().sum().backward()
    assert restored.isfinite().all()
    assert all(p.grad.isfinite().all() for p in task.parameters())


def test_densify_costs_less_than_the_decoder():
    """For the presets' U-Net a seventh: the decoder convolves the finest maps, too, and twice as many channels."""
    filters = (16, 32, 64, 96)
    norm = ("group", {"num_groups": 8})
    network = DynUNet(3, 1, 1, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=filters, norm_name=norm, res_block=True)
    task, image = SparseAutoencoder(network), torch.zeros(1, 1, 8, 8, 8)
    open_maps = [torch.ones(1, 1, *[8 // 2**n] * 3, dtype=torch.bool) for n in range(4)]
    costs = []
    with torch.no_grad():
        maps = Encoder(network).pyramid(image)
        for part in (
            lambda: [layer(x, m) for layer, x, m in zip(task.densify, maps, open_maps, strict=True)],
            lambda: find_decoder(network)(network, maps),
        ):
            with FlopCounterMode(display=False) as counter:
                part()
            costs.append(counter.get_total_flops() // 2)
    voxels = 8**3
    assert costs[0] == sum(27 * c * c * voxels // 8**n for n, c in enumerate(filters) if n)
    assert costs[0] < 0.16 * costs[1], costs


@pytest.mark.parametrize(
    ("build_network", "words"),
    [
        (lambda: SegResNetDS(2, 4, 1, 1, blocks_down=(1, 1)), "found SegResNetDS"),
        (lambda: CheckpointUNet(2, 1, 1, (4, 8), (2,)), "found ActivationCheckpointWrapper"),
        (
            lambda: DynUNet(2, 1, 1, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 4, 4), deep_supervision=True),
            "found deep_supervision=True",
        ),
    ],
)
def test_networks_that_cannot_are_refused_and_left_alone(build_network, words):
    network = build_network()
    with pytest.raises(ValueError, match=words):
        SparseAutoencoder(network)
    assert not any(isinstance(module, _Sparse) for module in network.modules())


def test_numbers_and_inputs_out_of_range_are_refused():
    network = UNet(2, 1, 1, (4, 8), (2,))
    with pytest.raises(ValueError, match="token_std must be a number above 0; found -1"):
        SparseAutoencoder(network, token_std=-1)
    assert not any(isinstance(module, _Sparse) for module in network.modules())
    task = SparseAutoencoder(network)
    with pytest.raises(ValueError, match="axis Y must be a multiple of 2"):
        task(torch.zeros(1, 1, 8, 7), torch.zeros(1, 1, 8, 7))
    with pytest.raises(ValueError, match=r"found none in \[0\]; lower the ratio"):
        task(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match="mask must have the shape"):
        task(torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 8, 4))
