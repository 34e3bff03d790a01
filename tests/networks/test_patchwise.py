import pytest
import torch

from medvol.networks.patchwise import PatchEncoder


def test_each_patch_alone(tiny_encoder):
    torch.manual_seed(0)
    network = PatchEncoder(tiny_encoder(3, 2), embedding=5).double()
    patches = torch.randn(3, 7, 2, 8, 6, 4, dtype=torch.float64)
    embeddings = network(patches)
    assert embeddings.shape == (3, 7, 5)
    for b, p in ((0, 0), (1, 5), (2, 6)):
        alone = network.project(network.encoder(patches[b, p][None]).mean((2, 3, 4)))
        torch.testing.assert_close(embeddings[b, p], alone[0])


def test_shuffled_patches_give_shuffled_embeddings_in_training(tiny_encoder):
    """Acceptance test 11; with batch normalization the volume's other patches matter."""
    torch.manual_seed(0)
    patches, order = torch.randn(2, 9, 1, 8, 8, 8), torch.randperm(9)
    network = PatchEncoder(tiny_encoder(), 5).train()
    assert (network(patches[:, order]) - network(patches)[:, order]).abs().max() < 1e-5
    leaky = PatchEncoder(tiny_encoder(norm="batch"), 5, allow_batch_norm=True).train()
    fewer = patches[:, :4]
    assert (network(fewer) - network(patches)[:, :4]).abs().max() < 1e-5
    assert (leaky(fewer) - leaky(patches)[:, :4]).abs().max() > 1e-2


def test_only_the_wanted_patches_are_encoded(tiny_encoder):
    torch.manual_seed(0)
    network = PatchEncoder(tiny_encoder(), 5)
    patches = torch.randn(2, 9, 1, 8, 8, 8)
    wanted = torch.rand(2, 9) > 0.4
    some, everything = network(patches, wanted), network(patches)
    torch.testing.assert_close(some[wanted], everything[wanted])
    assert (some[~wanted] == 0).all()
    network(patches, torch.zeros(2, 9, dtype=torch.bool)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_depth_one_equals_two_axes(tiny_encoder):
    torch.manual_seed(0)
    deep = PatchEncoder(tiny_encoder(3), 5)
    flat = PatchEncoder(deep.encoder.flattened(), 5)
    flat.project.load_state_dict(deep.project.state_dict())
    patches = torch.randn(2, 9, 1, 8, 8)
    assert (deep(patches[..., None]) - flat(patches)).abs().max() < 1e-5


def test_batch_normalization_is_refused_by_name(tiny_encoder):
    with pytest.raises(
        ValueError, match=r"found 2 batch normalizations \(the first is 'layers.1'\).*FlexibleUNet.*DynUNet"
    ):
        PatchEncoder(tiny_encoder(norm="batch"), 5)
    for norm in (torch.nn.BatchNorm1d(3), torch.nn.SyncBatchNorm(3), torch.nn.LazyBatchNorm3d()):
        encoder = tiny_encoder()
        encoder.extra = norm
        with pytest.raises(ValueError, match="batch normalization"):
            PatchEncoder(encoder, 5)
    encoder = tiny_encoder()
    encoder.extra = torch.nn.InstanceNorm3d(3)  # keeps samples apart
    PatchEncoder(encoder, 5)


def test_errors(tiny_encoder):
    network = PatchEncoder(tiny_encoder(), 5)
    with pytest.raises(ValueError, match=r"3 spatial axes, found the shape \(2, 9, 1, 8, 8\)"):
        network(torch.zeros(2, 9, 1, 8, 8))
    with pytest.raises(ValueError, match="embedding of at least 1 feature, found 0"):
        PatchEncoder(tiny_encoder(), 0)
    encoder = tiny_encoder()
    encoder.forward = lambda x: (x, x)
    with pytest.raises(ValueError, match='found tuple; use output="last"'):
        PatchEncoder(encoder, 5)(torch.zeros(1, 1, 1, 8, 8, 8))
