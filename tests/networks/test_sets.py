"""The network of relative location, jigsaw and rotation, against a loop over its sets."""

from __future__ import annotations

import math

import pytest
import torch

from medvol.networks.sets import SetClassifier


def build(encoder: object, *args: object, **more: object) -> SetClassifier:
    """A network whose last layer does not start at zero, so that its scores say something."""
    torch.manual_seed(0)
    network = SetClassifier(encoder, *args, **more).double()
    torch.nn.init.normal_(network.head[-1].weight)
    torch.nn.init.normal_(network.head[-1].bias)
    return network


def by_hand(network: SetClassifier, image: torch.Tensor, sets: list[list[list[int]]]) -> torch.Tensor:
    rows = []
    for volume, chosen in zip(image, sets, strict=True):
        for members in chosen:
            codes = [network.patches(volume[None, patch : patch + 1])[0, 0] for patch in members]
            rows.append(network.head(torch.cat(codes)))
    return torch.stack(rows)


IMAGE = torch.randn(2, 5, 1, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PAIRS = [[2, 0], [2, 1], [2, 3], [2, 4]]


def test_fixed_sets(tiny_encoder) -> None:
    network = build(tiny_encoder(), 4, sets=PAIRS, embedding=3, hidden=5)
    found = network(IMAGE)
    assert found.shape == (8, 4)
    torch.testing.assert_close(found, by_hand(network, IMAGE, [PAIRS, PAIRS]))


def test_the_order_within_a_set_matters(tiny_encoder) -> None:
    network = build(tiny_encoder(), 4, sets=PAIRS, embedding=3, hidden=5)
    turned = build(tiny_encoder(), 4, sets=[pair[::-1] for pair in PAIRS], embedding=3, hidden=5)
    turned.load_state_dict(network.state_dict())
    assert (network(IMAGE) - turned(IMAGE)).abs().max() > 1e-3


def test_sets_of_each_sample(tiny_encoder) -> None:
    network = build(tiny_encoder(), 6, set_size=5, embedding=3, hidden=5)
    order = torch.stack([torch.stack([torch.randperm(5) for _ in range(3)]) for _ in range(2)])
    found = network(IMAGE, order)
    assert found.shape == (6, 6)
    torch.testing.assert_close(found, by_hand(network, IMAGE, order.tolist()))


def test_shuffled_patches_in_shuffled_order_are_the_same_sets(tiny_encoder) -> None:
    network = build(tiny_encoder(), 6, set_size=5, embedding=3, hidden=5).train()
    pi = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(network(IMAGE[:, pi]), network(IMAGE, pi.expand(2, 1, 5)))


def test_without_sets_each_patch_is_one(tiny_encoder) -> None:
    network = build(tiny_encoder(), 10, embedding=3, hidden=5)
    found = network(IMAGE)
    assert found.shape == (10, 10)
    torch.testing.assert_close(found, by_hand(network, IMAGE, [[[p] for p in range(5)]] * 2))


def test_a_class_for_each_place(tiny_encoder) -> None:
    network = build(tiny_encoder(), 5, set_size=5, per_place=True, embedding=3, hidden=5)
    found = network(IMAGE)
    assert found.shape == (10, 5)
    torch.testing.assert_close(found, by_hand(network, IMAGE, [[list(range(5))]] * 2).reshape(10, 5))


def test_the_first_scores_are_zero_and_after_a_step_every_parameter_learns(tiny_encoder) -> None:
    torch.manual_seed(0)
    network = SetClassifier(tiny_encoder(), 4, sets=PAIRS)
    image, label = torch.randn(2, 5, 1, 8, 8, 8), torch.arange(4).repeat(2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for step in range(2):
        optimizer.zero_grad()
        logits = network(image)
        loss = torch.nn.functional.cross_entropy(logits, label)
        if step == 0:
            assert (logits == 0).all()
            assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
        loss.backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_depth_one_equals_two_axes(tiny_encoder) -> None:
    torch.manual_seed(0)
    deep = SetClassifier(tiny_encoder(3), 4, sets=PAIRS)
    flat = SetClassifier(deep.patches.encoder.flattened(), 4, sets=PAIRS)
    flat.patches.project.load_state_dict(deep.patches.project.state_dict())
    flat.head.load_state_dict(deep.head.state_dict())
    for head in (deep.head, flat.head):
        torch.nn.init.ones_(head[-1].weight)
    image = torch.randn(2, 5, 1, 8, 8)
    assert (deep(image[..., None]) - flat(image)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_classes": 1}, "at least 2 classes"),
        ({"num_classes": 4, "sets": PAIRS, "set_size": 3}, "L = set_size"),
        ({"num_classes": 4, "sets": [0, 1]}, "sets \\(S, L\\)"),
    ],
)
def test_refusals(tiny_encoder, given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SetClassifier(tiny_encoder(), **given)


@pytest.mark.parametrize(
    ("given", "order", "words"),
    [
        ({"sets": [[2, 7]]}, None, "at least 8 patches, found 5"),
        ({"set_size": 3}, None, "multiple of 3 patches.*found 5"),
        ({"set_size": 3}, torch.zeros(2, 1, 4, dtype=torch.long), r"sets \(2, S, 3\), found \(2, 1, 4\)"),
        ({"set_size": 3}, torch.zeros(1, 1, 3, dtype=torch.long), r"sets \(2, S, 3\)"),
    ],
)
def test_patches_that_do_not_fit(tiny_encoder, given: dict, order: torch.Tensor | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SetClassifier(tiny_encoder(), 4, **given).double()(IMAGE, order)
