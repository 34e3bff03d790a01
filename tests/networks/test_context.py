import itertools

import pytest
import torch

from medvol.networks.context import MaskedContext, RecurrentContext

CONTEXTS = [MaskedContext, RecurrentContext]


def build(context, depth, plane_axes, hidden=6):
    torch.manual_seed(0)
    return context(4, hidden, depth, plane_axes).double().train()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("plane", [(), (5,), (5, 5), (4, 3)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_position_reads_exactly_the_inverted_pyramid(context, plane, depth):
    network = build(context, depth, len(plane))
    shape = (5, *plane)
    x = torch.randn(1, *shape, 4, dtype=torch.float64, requires_grad=True)
    out = network(x)
    assert out.shape == (1, *shape, 6)
    for place in [(0,) * len(shape), (3, *(size // 2 for size in plane)), tuple(size - 1 for size in shape)]:
        weight = torch.randn(6, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((out[(0, *place)] * weight).sum(), x, retain_graph=True)
        read = {index for index in itertools.product(*map(range, shape)) if gradient[(0, *index)].abs().sum() > 0}
        pyramid = {
            index
            for index in itertools.product(*map(range, shape))
            for back in [place[0] - index[0]]
            if 0 <= back <= depth and all(abs(a - b) <= back for a, b in zip(index[1:], place[1:], strict=True))
        }
        assert read == pyramid


@pytest.mark.parametrize("context", CONTEXTS)
def test_outside_is_the_learned_token_not_zero_and_not_a_mirror(context):
    network = build(context, 1, 1)
    x = torch.randn(1, 3, 3, 4, dtype=torch.float64)
    tokens = [parameter for name, parameter in network.named_parameters() if "missing" in name]
    before = network(x)
    with torch.no_grad():
        for token in tokens:
            token.add_(1.0)
    changed = (network(x) - before).abs().sum(-1)[0] > 1e-9
    # the first layer has nothing before it; on later layers the outer columns miss a neighbor, the middle does not
    assert changed.tolist() == [[True, True, True], [True, False, True], [True, False, True]]


@pytest.mark.parametrize("context", CONTEXTS)
def test_translation_inside_the_grid(context):
    """Positions that see no border have the same context for the same surroundings: nothing else marks them."""
    network = build(context, 1, 2)
    x = torch.randn(1, 4, 5, 5, 4, dtype=torch.float64)
    moved = torch.roll(x, (1, 1), dims=(2, 3))
    torch.testing.assert_close(network(x)[:, 1:, 1:3, 1:3], network(moved)[:, 1:, 2:4, 2:4])


def test_the_recurrent_context_equals_the_loop():
    """Far to near, raster order, the position itself last."""
    network = build(RecurrentContext, 2, 2, hidden=3)
    shape = (4, 3, 2)
    x = torch.randn(2, *shape, 4, dtype=torch.float64)
    out = network(x)
    for place in itertools.product(*map(range, shape)):
        sequence = []
        for back in (2, 1, 0):
            for dj, dk in itertools.product(range(-back, back + 1), repeat=2):
                at = (place[0] - back, place[1] + dj, place[2] + dk)
                inside = all(0 <= a < size for a, size in zip(at, shape, strict=True))
                sequence.append(x[(slice(None), *at)] if inside else network.missing.expand(2, -1))
        assert len(sequence) == 25 + 9 + 1
        state = network.recurrent(torch.stack(sequence, 1))[1][0]
        torch.testing.assert_close(out[(slice(None), *place)], state)


def test_the_masked_context_equals_the_loop():
    network = build(MaskedContext, 1, 1)
    block = network.blocks[0]
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    entered = network.enter(x)
    normed = block.norm(entered)
    out = network(x)
    for i, j in itertools.product(range(3), range(4)):
        taps = [normed[0, i, j]]
        for dj in (-1, 0, 1):
            inside = i >= 1 and 0 <= j + dj < 4
            taps.append(normed[0, i - 1, j + dj] if inside else block.missing)
        mixed = block.out(torch.nn.functional.gelu(block.mix(torch.cat(taps))))
        torch.testing.assert_close(out[0, i, j], network.leave(entered[0, i, j] + mixed))
