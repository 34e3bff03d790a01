import pytest
import torch
from monai.transforms import Compose
from torch import nn
from torch.nn import functional

from medvol.losses.ntxent import NTXentLoss
from medvol.losses.triplet import TripletLoss
from medvol.metrics.views import ViewRetrieval
from medvol.networks.projection import Projector
from medvol.transforms.blur import RandPatchBlurd
from medvol.transforms.intensity import RandPatchIntensityd
from medvol.transforms.views import RandViewsd


def test_embeddings_are_normalized_in_single_precision(tiny_encoder) -> None:
    network = Projector(tiny_encoder(), embedding=6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = network(torch.rand(2, 2, 1, 8, 8, 8))
    assert embeddings.dtype == torch.float32
    assert (embeddings.norm(dim=-1) - 1).abs().max() < 1e-6


def test_every_view_goes_through_the_same_network(tiny_encoder):
    torch.manual_seed(0)
    network = Projector(tiny_encoder(3, 2), embedding=6, hidden=5).double()
    views = torch.randn(3, 4, 2, 8, 6, 4, dtype=torch.float64)
    embeddings = network(views)
    assert embeddings.shape == (3, 4, 6)
    for b, v in ((0, 0), (1, 3), (2, 1)):
        pooled = network.embed.encoder(views[b, v][None]).mean((2, 3, 4))
        alone = functional.normalize(network.head[1](network.embed.project(pooled).relu()))
        torch.testing.assert_close(embeddings[b, v], alone[0])


def test_views_in_another_order_have_their_embeddings_in_that_order(tiny_encoder):
    """Acceptance test 11: heads that are not shared fail this."""
    torch.manual_seed(0)
    network = Projector(tiny_encoder(), 6).train()
    views = torch.randn(3, 4, 1, 8, 8, 8)
    assert (network(views.flip(1)) - network(views).flip(1)).abs().max() < 1e-5
    assert (network(views.flip(0)) - network(views).flip(0)).abs().max() < 1e-5
    assert (network(views[:1, :2]) - network(views)[:1, :2]).abs().max() < 1e-5  # no view knows of the others


def test_length_and_width(tiny_encoder):
    views = torch.randn(3, 2, 1, 8, 8, 8)
    torch.testing.assert_close(Projector(tiny_encoder(), 6)(views).norm(dim=-1), torch.ones(3, 2))
    free = Projector(tiny_encoder(), 1024, normalize=False)
    assert free(views).shape == (3, 2, 1024)
    assert free(views).norm(dim=-1).std() > 0
    assert free.head[1].in_features == 8  # the encoder's width
    assert Projector(tiny_encoder(), 6, hidden=20).head[1].in_features == 20


def test_gradients_reach_every_parameter(tiny_encoder):
    torch.manual_seed(0)
    network = Projector(tiny_encoder(), 6)
    NTXentLoss()(network(torch.randn(4, 2, 1, 8, 8, 8))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_depth_one_equals_two_axes(tiny_encoder):
    torch.manual_seed(0)
    deep = Projector(tiny_encoder(3), 6)
    flat = Projector(deep.embed.encoder.flattened(), 6)
    flat.embed.project.load_state_dict(deep.embed.project.state_dict())
    flat.head.load_state_dict(deep.head.state_dict())
    views = torch.randn(3, 2, 1, 8, 8)
    assert (deep(views[..., None]) - flat(views)).abs().max() < 1e-5
    assert torch.equal(flat(views[..., None]), flat(views))


def test_errors(tiny_encoder):
    with pytest.raises(ValueError, match=r"2 batch normalizations .*DynUNet"):
        Projector(tiny_encoder(norm="batch"))
    for name in ("embedding", "hidden"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1 feature; found 0"):
            Projector(tiny_encoder(), **{name: 0})
    network = Projector(tiny_encoder())
    for shape in ((2, 2, 1, 8, 8), (2, 1, 8, 8, 8), (2, 2, 2, 1, 8, 8, 8)):
        with pytest.raises(
            ValueError, match=r"\(B, V, C, \*spatial\) with 3 spatial axes; found the shape .*RandViewsd"
        ):
            network(torch.zeros(*shape))


# Acceptance test 10: the head alone must not solve the task.


class Noise(nn.Module):
    """An encoder that does not look."""

    def __init__(self):
        super().__init__()
        self.spatial_dims, self.channels = 2, (16,)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        return torch.randn(len(x), 16, 1, 1, generator=self.generator)


def first_and_last(parameters, loss_of, steps=500):
    """Mean loss of the first and of the last 20 steps, which differ by chance."""
    optimizer, losses = torch.optim.Adam(parameters, lr=0.003), []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[:20]) / 20, sum(losses[-20:]) / 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "width", "normalize", "from_above"),
    [
        (TripletLoss(margin=1.0, mining="all"), 32, False, False),  # of the paper
        (TripletLoss(margin=0.3, mining="all"), 32, True, False),
        (NTXentLoss(0.5), 32, True, False),
        (NTXentLoss(0.1), 128, True, True),  # of the bundles
    ],
)
def test_a_shared_head_cannot_solve_the_task_without_the_encoder(loss, width, normalize, from_above):
    """What is left to it is to make all embeddings equal.

    At a low temperature this lowers the loss, for similarities that differ by chance count against a random start:
    there the loss of equal embeddings is what must not be undercut, elsewhere the initial one.
    """
    torch.manual_seed(0)
    network, nothing = Projector(Noise(), width, normalize=normalize), torch.zeros(8, 2, 1, 2, 2)
    first, last = first_and_last(network.parameters(), lambda: loss(network(nothing)))
    collapsed = loss(torch.ones(8, 2, 3)).item()
    print(f"{loss} first {first:.3f}, last {last:.3f}, of equal embeddings {collapsed:.3f}")
    assert (first > 1.1 * collapsed) == from_above
    assert last > 0.9 * (collapsed if from_above else first)


@pytest.mark.slow
def test_the_guard_finds_three_separate_heads():
    """The reference's defect: anchor, positive and negative through heads of their own; the biases solve the task."""
    torch.manual_seed(0)
    heads = nn.ModuleList(nn.Linear(16, 32) for _ in range(3))

    def loss():
        anchor, positive, negative = (torch.sigmoid(head(torch.randn(8, 16))) for head in heads)
        near, far = ((anchor - other).square().mean(dim=1) for other in (positive, negative))
        return (near - far + 1).clamp(min=0).mean()

    first, last = first_and_last(heads.parameters(), loss)
    assert last < 0.9 * min(first, 1.0)  # the initial loss, and that of equal codes


@pytest.mark.slow
@pytest.mark.parametrize("loss", [NTXentLoss(0.1), TripletLoss(0.3)])
def test_views_of_an_image_are_found_after_a_short_training(tiny_encoder, noise, loss):
    """Acceptance tests 15 and 17: above chance, and not collapsed."""
    torch.manual_seed(0)
    # every patient has a grain of its own: 8 directions, 3 widths
    x, y = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    angles, waves = torch.arange(24) % 8 * torch.pi / 8, 0.5 * 1.5 ** (torch.arange(24) // 8)
    directions = zip(waves * angles.cos(), waves * angles.sin(), strict=True)
    volumes = [(a * x + b * y).sin()[None] + 0.3 * noise((40, 40), i) for i, (a, b) in enumerate(directions)]
    network = Projector(tiny_encoder(2, 1, (8, 16, 32)), 16)
    steps = [RandViewsd("image", 24, scale=(0.7, 1.0)), RandPatchBlurd("image"), RandPatchIntensityd("image")]
    pipeline = Compose(steps).set_random_state(0)

    def batch(number):
        chosen = [(8 * number + i) % 24 for i in range(8)]
        return torch.stack([pipeline({"image": volumes[i]})["image"] for i in chosen])

    def judged():
        retrieval = ViewRetrieval()
        with torch.no_grad():
            for number in range(30):
                retrieval.update(network(batch(number)))
        return retrieval.compute()

    before = judged()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    for number in range(120):
        optimizer.zero_grad()
        loss(network(batch(number))).backward()
        optimizer.step()
    after = judged()
    assert after["top1"] > before["top1"] + 0.1
    assert after["top1"] > after["chance"] + 5 * (after["chance"] / 480) ** 0.5
    assert after["triplet_accuracy"] > before["triplet_accuracy"]
    assert after["spread"] > 0.1
