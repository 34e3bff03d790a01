import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from medvol.losses import InfoNCELoss
from medvol.networks.cpc import CPC
from medvol.transforms import RandPatchGridd


def build(encoder, grid, seed=0, spatial_dims=3, **options):
    torch.manual_seed(seed)
    options = {"embedding": 6, "hidden": 8, **options}
    return CPC(encoder(spatial_dims=spatial_dims), grid, **options)


def randomize_heads(network):
    for linear in network.predict.values():
        torch.nn.init.normal_(linear.weight)


# Acceptance test 7: no voxel of a target reaches its prediction.


def check_causality(network, volume, boxes):
    """Differentiate predictions by voxels: exactly 0 on every target's box, not 0 on the source's.

    All predictions from one layer in one direction are differentiated together, with random weights.
    """
    network = network.double().train()
    randomize_heads(network)
    volume = volume.double().requires_grad_()
    windows = [(slice(None), *map(slice, start, stop)) for start, stop in boxes]
    patches = torch.stack([volume[window] for window in windows])[None]
    predictions = network(patches, torch.ones(1, len(boxes)))[0]
    places = np.indices(network.grid).reshape(len(network.grid), -1).T
    groups = {}
    for row, (source, target) in enumerate(zip(network.sources.tolist(), network.targets.tolist(), strict=True)):
        (axis,) = np.flatnonzero(places[source] != places[target])
        key = (axis, np.sign(places[target][axis] - places[source][axis]), places[source][axis])
        groups.setdefault(key, []).append(row)
    for rows in groups.values():
        weights = torch.randn(len(rows), predictions.shape[1], dtype=torch.float64)
        (gradient,) = torch.autograd.grad((predictions[rows] * weights).sum(), volume, retain_graph=True)
        for row in rows:
            assert (gradient[windows[network.targets[row]]] == 0).all(), f"leak into prediction {row}"
            assert (gradient[windows[network.sources[row]]] != 0).any(), f"prediction {row} is blind"
    directions = {key[:2] for key in groups}
    assert len(directions) == 2 * sum(cells > 1 for cells in network.grid)


CAUSAL = [
    ((2, 2, 2), {"patch_size": 4}),
    ((3, 3, 3), {"patch_size": 4}),
    ((4, 4, 4), {"patch_size": 4}),
    ((5, 5, 5), {"patch_size": 4}),
    ((2, 3, 4), {"patch_size": 4}),
    ((3, 3, 3), {"patch_size": 4, "stride": 3}),
    ((4, 4, 4), {"patch_size": 4, "stride": 2}),
    ((5, 5, 5), {"patch_size": 4, "stride": 2}),
    ((4, 5, 1), {"patch_size": (4, 4, 1), "stride": (3, 2, 1)}),
    ((4, 4), {"patch_size": 4, "stride": 2}),
]


def causality_case(tiny_encoder, noise, grid, options, context="masked", **encoder):
    patch = options["patch_size"]
    sizes = (patch,) * len(grid) if isinstance(patch, int) else patch
    shape = [cells * (p + 3) if cells > 1 else p for cells, p in zip(grid, sizes, strict=True)]
    volume = noise(shape, 0)
    boxes = RandPatchGridd("image", grid, **options).set_random_state(0)({"image": volume})["pretext"]["boxes"]
    torch.manual_seed(0)
    network = CPC(
        tiny_encoder(spatial_dims=len(grid), **encoder),
        grid,
        patch_stride=options.get("stride"),
        patch_size=patch,
        embedding=4,
        hidden=6,
        context=context,
        allow_batch_norm=True,
    )
    return network, volume, boxes


@pytest.mark.parametrize(("grid", "options"), CAUSAL)
def test_causality_of_the_masked_context(tiny_encoder, noise, grid, options):
    check_causality(*causality_case(tiny_encoder, noise, grid, options))


@pytest.mark.parametrize(("grid", "options"), [CAUSAL[i] for i in (0, 2, 4, 7, 8)])
def test_causality_of_the_recurrent_context(tiny_encoder, noise, grid, options):
    check_causality(*causality_case(tiny_encoder, noise, grid, options, context="gru"))


@pytest.mark.parametrize("context", ["masked", "gru"])
def test_batch_normalization_fails_the_causality_test(tiny_encoder, noise, context):
    case = causality_case(tiny_encoder, noise, (3, 3, 3), {"patch_size": 4}, context, norm="batch")
    with pytest.raises(AssertionError, match="leak into prediction"):
        check_causality(*case)


# Acceptance test 9: candidates.


@pytest.mark.parametrize(
    ("grid", "patch", "stride"),
    [((3, 3, 3), 6, None), ((5, 4, 4), 6, 3), ((4, 4, 1), (6, 6, 4), (4, 3, 1)), ((4, 4), 5, 2)],
)
def test_candidates_are_apart_from_the_target_and_no_background(tiny_encoder, noise, grid, patch, stride):
    network = build(
        tiny_encoder, grid, spatial_dims=len(grid), patch_size=patch, patch_stride=stride, foreground_threshold=0.3
    )
    sizes = (patch,) * len(grid) if isinstance(patch, int) else patch
    shape = [cells * (p + 2) for cells, p in zip(grid, sizes, strict=True)]
    cut = RandPatchGridd("image", grid, patch, stride=stride).set_random_state(0)
    samples = [cut({"image": noise(shape, seed)}) for seed in range(2)]
    generator = torch.Generator().manual_seed(0)
    foreground = torch.rand(2, math.prod(grid), generator=generator)
    foreground[1, :2] = 0.3  # exactly at the threshold is foreground
    image = torch.stack([sample["image"] for sample in samples])
    _, codes, positive, valid = network(image, foreground)
    boxes = np.array([sample["pretext"]["boxes"] for sample in samples])
    count, rows = math.prod(grid), len(network.targets)
    assert valid.shape == (2 * rows, 2 * count)
    assert len(codes) == 2 * count
    for volume, row in itertools.product(range(2), range(rows)):
        target = int(network.targets[row])
        if foreground[volume, target] < 0.3:
            assert positive[volume * rows + row] == -100
        else:
            assert positive[volume * rows + row] == volume * count + target
        overlaps = (boxes[volume, :, 0] < boxes[volume, target, 1]) & (boxes[volume, target, 0] < boxes[volume, :, 1])
        allowed = foreground >= 0.3
        shares = torch.from_numpy(overlaps.all(1))
        shares[target] = False
        allowed[volume] &= ~shares
        assert torch.equal(valid[volume * rows + row], allowed.flatten())


def test_positive_is_a_candidate_and_its_code_is_the_targets(tiny_encoder):
    network = build(tiny_encoder, 3)
    image = torch.randn(2, 27, 1, 8, 8, 8)
    _, codes, positive, valid = network(image, torch.ones(2, 27))
    assert valid[torch.arange(len(positive)), positive].all()
    expected = normalize(network.patches(image), dim=-1).flatten(0, 1)
    torch.testing.assert_close(codes, expected)
    assert torch.equal(positive[: len(network.targets)], network.targets)
    assert torch.equal(positive[len(network.targets) :], network.targets + 27)


# Acceptance test 14: the first loss.


@pytest.mark.parametrize("context", ["masked", "gru"])
def test_predictions_start_at_zero_and_the_loss_at_the_log_of_the_candidates(tiny_encoder, context):
    network = build(tiny_encoder, (3, 3, 4), context=context, patch_size=8, patch_stride=6, foreground_threshold=0.2)
    foreground = torch.rand(3, 36)
    outputs = network(torch.randn(3, 36, 1, 8, 8, 8), foreground)
    predictions, _, positive, valid = outputs
    assert (predictions == 0).all()
    kept = positive >= 0
    assert 0 < kept.sum() < len(kept)
    expected = valid[kept].sum(1).double().log().mean()
    assert InfoNCELoss()(outputs).item() == pytest.approx(float(expected), abs=1e-6)
    everything = network(torch.randn(2, 36, 1, 8, 8, 8), torch.ones(2, 36))
    simple = build(tiny_encoder, (3, 3, 4))(torch.randn(2, 36, 1, 8, 8, 8), torch.ones(2, 36))
    assert InfoNCELoss()(simple).item() == pytest.approx(math.log(72), abs=1e-6)
    assert InfoNCELoss()(everything).item() < math.log(72)


# Acceptance test 18: gradients.


@pytest.mark.parametrize("context", ["masked", "gru"])
@pytest.mark.parametrize("grid", [(3, 4, 2), (2, 2, 2), (4, 4, 1)])
def test_gradients_reach_every_parameter_after_the_first_step(tiny_encoder, context, grid):
    network = build(tiny_encoder, grid, context=context)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    count = math.prod(grid)
    image, foreground = torch.randn(2, count, 1, 8, 8, 8), torch.ones(2, count)
    foreground[:, count // 2] = 0  # one patch of air, so that its token takes part
    InfoNCELoss()(network(image, foreground)).backward()
    moved = {name for name, p in network.named_parameters() if p.grad.abs().sum() > 0}
    assert moved == {name for name, _ in network.named_parameters() if name.startswith("predict.")}
    optimizer.step()
    optimizer.zero_grad()
    InfoNCELoss()(network(image, foreground)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert any("missing" in name for name, _ in network.named_parameters())


# Acceptance test 19: determinism.


def test_ten_steps_repeat(tiny_encoder, blobs):
    def run():
        cut = RandPatchGridd("image", 3, 6, 24).set_random_state(2)
        network = build(tiny_encoder, 3)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        losses = []
        for step in range(10):
            samples = [cut({"image": blobs((26, 26, 26), 2 * step + b)}) for b in range(2)]
            batch = [torch.stack([sample[key] for sample in samples]) for key in ("image", "foreground")]
            loss = InfoNCELoss()(network(*batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    first = run()
    assert first == run()
    assert len(set(first)) == 10


# Acceptance test 20: depth one, other shapes.


@pytest.mark.parametrize("context", ["masked", "gru"])
@pytest.mark.parametrize("grid", [(4, 4), (5, 3)])
def test_two_axes_equal_depth_one(tiny_encoder, context, grid):
    deep = build(tiny_encoder, (*grid, 1), context=context)
    randomize_heads(deep)
    flat = build(tiny_encoder, grid, spatial_dims=2, context=context)
    flat.patches.encoder = deep.patches.encoder.flattened()
    rest = {name: tensor for name, tensor in deep.state_dict().items() if not name.startswith("patches.encoder")}
    missing, unexpected = flat.load_state_dict(rest, strict=False)
    assert not unexpected
    assert all(name.startswith("patches.encoder") for name in missing)
    image, foreground = torch.randn(2, math.prod(grid), 1, 8, 6), torch.rand(2, math.prod(grid))
    for a, b in zip(deep(image[..., None], foreground), flat(image, foreground), strict=True):
        assert a.shape == b.shape
        assert (a.double() - b.double()).abs().max() < 1e-5


@pytest.mark.parametrize("grid", [(2, 3, 4), (4, 1, 1), (1, 1, 2), (3, 3, 1)])
@pytest.mark.parametrize("context", ["masked", "gru"])
def test_the_number_of_predictions_does_not_depend_on_values(tiny_encoder, grid, context):
    network = build(tiny_encoder, grid, context=context, patch_size=(8, 6, 4))
    count = math.prod(grid)
    expected = sum(cells * (cells - 1) * count // cells for cells in grid if cells > 1)
    for foreground in (torch.ones(2, count), torch.zeros(2, count), torch.rand(2, count)):
        predictions, codes, positive, valid = network(torch.randn(2, count, 1, 8, 6, 4), foreground)
        assert predictions.shape == (2 * expected, 6)
        assert positive.shape == (2 * expected,)
        tissue = (foreground >= 0.1).flatten()
        assert (codes[tissue].norm(dim=1) - 1).abs().sum() < 1e-4
        assert positive.dtype == torch.int64
        assert valid.dtype == torch.bool


def test_predictions_equal_the_loop_over_directions(tiny_encoder):
    """Each direction is the forward direction of the flipped and permuted grid, with the same weights."""
    network = build(tiny_encoder, (3, 4, 2)).double()
    randomize_heads(network)
    image = torch.randn(1, 24, 1, 8, 8, 8, dtype=torch.float64)
    predictions, codes, _, _ = network(image, torch.ones(1, 24))
    rows = {
        (s, t): predictions[i]
        for i, (s, t) in enumerate(zip(network.sources.tolist(), network.targets.tolist(), strict=True))
    }
    assert len(rows) == len(predictions)
    grid = torch.arange(24).reshape(3, 4, 2)
    features = codes.reshape(3, 4, 2, -1) * codes.shape[1] ** 0.5
    for axis, backward in itertools.product(range(3), (False, True)):
        index, x = grid.movedim(axis, 0), features.movedim(axis, 0)
        if backward:
            index, x = index.flip(0), x.flip(0)
        context = network.context(x[None] + network.direction[2 * axis + backward])[0]
        for i, goal in itertools.combinations(range(x.shape[0]), 2):
            for j, k in itertools.product(*map(range, x.shape[1:3])):
                expected = network.predict[str(goal - i)](context[i, j, k])
                torch.testing.assert_close(rows[(int(index[i, j, k]), int(index[goal, j, k]))], expected)


def test_only_the_encoders_weights_and_heads_are_saved(tiny_encoder):
    network = build(tiny_encoder, 3)
    assert not any(
        name.split(".")[0] in {"sources", "targets", "candidates", "order_0"} for name in network.state_dict()
    )
    assert {name.split(".")[0] for name in network.state_dict()} == {
        "patches",
        "context",
        "predict",
        "direction",
        "background",
    }


def test_autocast_keeps_codes_in_single_precision(tiny_encoder):
    network = build(tiny_encoder, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(torch.randn(1, 27, 1, 8, 8, 8), torch.ones(1, 27))
        loss = InfoNCELoss()(outputs)
    assert outputs[1].dtype == torch.float32
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(27), abs=1e-6)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ((3, 3), {}, r"grid as 3 positive numbers, one for each spatial axis of the encoder, found \[3, 3\]"),
        ((3, 0, 3), {}, "grid as 3 positive numbers"),
        (1, {}, r"more than one patch on some axis, found \(1, 1, 1\)"),
        (2, {"patch_size": 8, "patch_stride": 4}, "axis 0: expected a grid of more than 2 patches"),
        (4, {"patch_size": 8, "patch_stride": 4, "min_step": 1}, "min_step of at least 2 = .* found 1"),
        (3, {"patch_stride": 4}, "patch_size beside patch_stride 4, found None"),
        (3, {"context": "lstm"}, r"one of \['gru', 'masked'\], found 'lstm'"),
        (3, {"depth": -1}, "depth of 0 or more"),
    ],
)
def test_construction_errors(tiny_encoder, grid, options, message):
    with pytest.raises(ValueError, match=message):
        build(tiny_encoder, grid, **options)


def test_more_errors(tiny_encoder):
    with pytest.raises(ValueError, match="batch normalization"):
        CPC(tiny_encoder(norm="batch"), 3)
    network = build(tiny_encoder, 3, patch_size=8)
    with pytest.raises(ValueError, match=r"image \(B, 27, C, \*patch\) and foreground \(B, 27\) .* one grid"):
        network(torch.zeros(2, 8, 1, 8, 8, 8), torch.ones(2, 8))
    with pytest.raises(ValueError, match=r"and foreground \(B, 27\)"):
        network(torch.zeros(2, 27, 1, 8, 8, 8), torch.ones(2, 1))
    with pytest.raises(ValueError, match=r"patches of \(8, 8, 8\) voxels, found \(6, 8, 8\)"):
        network(torch.zeros(2, 27, 1, 6, 8, 8), torch.ones(2, 27))


def test_patches_of_air_do_not_blow_up_the_gradient(tiny_encoder):
    """An empty patch has no variance for a norm layer to divide by: 316 to the power of the number of layers."""
    network = build(tiny_encoder, (3, 3, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    image, foreground = torch.randn(2, 27, 1, 8, 8, 8), torch.ones(2, 27)
    image[:, ::3], foreground[:, ::3] = 0, 0
    for _ in range(3):
        optimizer.zero_grad()
        InfoNCELoss()(network(image, foreground)).backward()
        assert torch.nn.utils.get_total_norm([p.grad for p in network.parameters()]) < 20
        optimizer.step()


def test_what_lies_in_a_patch_of_air_does_not_matter(tiny_encoder):
    network = build(tiny_encoder, (3, 3, 3)).eval()
    randomize_heads(network)
    image, foreground = torch.randn(1, 27, 1, 8, 8, 8), torch.ones(1, 27)
    foreground[0, 5] = 0
    first = network(image, foreground)
    image[0, 5] = 100
    other = network(image, foreground)
    assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert (first[2] != 5).all()
    nothing = network(image, torch.zeros(1, 27))
    assert (nothing[2] == -100).all()
    assert torch.isfinite(InfoNCELoss()(nothing))
