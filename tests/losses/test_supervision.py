"""Dice and cross-entropy against loops in float64, for regions, classes and deep supervision."""

import copy
import math

import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceCELoss

from medvol.losses.supervision import ClassificationLoss, SegmentationLoss


def batch(mode, shape=(2, 3, 4, 5, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if mode == "regions":
        return logits, (torch.rand(shape, generator=generator) > 0.5).double()
    return logits, torch.randint(0, shape[1], (shape[0], 1, *shape[2:]), generator=generator)


def brute(logits, label, mode, batch_dice=False, background=False):
    """(Dice, entropy) voxel by voxel in float64."""
    flat = logits.flatten(2).tolist()
    num_samples, num_channels, num_voxels = logits.flatten(2).shape
    target = label.flatten(2).tolist()
    probability = [[[0.0] * num_voxels for _ in range(num_channels)] for _ in range(num_samples)]
    entropies = []
    for b in range(num_samples):
        for v in range(num_voxels):
            column = [flat[b][c][v] for c in range(num_channels)]
            if mode == "regions":
                for c, x in enumerate(column):
                    p = 1 / (1 + math.exp(-x))
                    probability[b][c][v] = p
                    entropies.append(-math.log(p) if target[b][c][v] else -math.log(1 - p))
            else:
                total = sum(math.exp(x) for x in column)
                for c, x in enumerate(column):
                    probability[b][c][v] = math.exp(x) / total
                entropies.append(-math.log(probability[b][target[b][0][v]][v]))

    def truth(b, c, v):
        return float(target[b][c][v]) if mode == "regions" else float(target[b][0][v] == c)

    dices = []
    groups = [range(num_samples)] if batch_dice else [[b] for b in range(num_samples)]
    for group in groups:
        for c in range(0 if mode == "regions" or background else 1, num_channels):
            pairs = [(probability[b][c][v], truth(b, c, v)) for b in group for v in range(num_voxels)]
            overlap, size = sum(p * g for p, g in pairs), sum(p + g for p, g in pairs)
            dices.append(1 - (2 * overlap + 1e-5) / (size + 1e-5))
    return sum(dices) / len(dices), sum(entropies) / len(entropies)


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("mode", ["regions", "classes"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 3), (2, 4, 5, 3)])
def test_equals_a_loop_in_float64(mode, shape, batch_dice):
    logits, label = batch(mode, shape)
    dice, entropy = brute(logits, label, mode, batch_dice)
    loss = SegmentationLoss(mode, batch_dice=batch_dice)
    assert loss(logits, label).item() == pytest.approx(dice + entropy, rel=1e-10)
    assert loss(logits.float(), label).item() == pytest.approx(dice + entropy, rel=1e-5)
    weighted = SegmentationLoss(mode, dice_weight=0.3, entropy_weight=2.0, batch_dice=batch_dice)
    assert weighted(logits, label).item() == pytest.approx(0.3 * dice + 2 * entropy, rel=1e-10)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_background_counts_on_request(batch_dice):
    logits, label = batch("classes")
    dice, entropy = brute(logits, label, "classes", batch_dice, background=True)
    loss = SegmentationLoss("classes", batch_dice=batch_dice, include_background=True)
    assert loss(logits, label).item() == pytest.approx(dice + entropy, rel=1e-12)


def test_only_with_background_does_the_dice_of_class_0_matter():
    """Two voxels, of class 0 and 2, swap their share of class 1: sums and overlaps of 1 and 2 stay as they were."""
    label = torch.tensor([0, 2, 1, 1]).reshape(1, 1, 2, 2)
    first = torch.tensor([[0.3, 0.4, 0.3], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3]], dtype=torch.float64)
    second = first.clone()
    second[:2, 1] = first[:2, 1].flip(0)
    second[:, 0] = 1 - second[:, 1] - second[:, 2]
    for background in (False, True):
        loss = SegmentationLoss("classes", entropy_weight=0.0, include_background=background)
        one, other = (loss(p.log().T.reshape(1, 3, 2, 2), label).item() for p in (first, second))
        assert (one == pytest.approx(other, rel=1e-12)) is not background


def test_monai_dice_ce_is_another_loss_for_overlapping_regions():
    """The reason for this class: MONAI's second term is a softmax over regions that are not exclusive."""
    logits, label = batch("regions")
    ours = SegmentationLoss("regions")(logits, label)
    assert abs(DiceCELoss(sigmoid=True)(logits, label) - ours) > 0.1
    logits, label = batch("classes")
    monai = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)(logits, label)
    assert SegmentationLoss("classes")(logits, label).item() == pytest.approx(monai.item(), rel=1e-12)


def test_a_perfect_prediction_costs_nothing_also_where_regions_overlap():
    label = torch.zeros(1, 3, 4, 4, 4)
    label[:, 0], label[:, 1, 1:], label[:, 2, 2:] = 1, 1, 1
    assert SegmentationLoss("regions")(40 * label - 20, label) < 1e-4
    classes = torch.randint(0, 3, (1, 1, 4, 4, 4))
    one_hot = torch.nn.functional.one_hot(classes[:, 0], 3).movedim(-1, 1).float()
    assert SegmentationLoss("classes")(40 * one_hot, classes) < 1e-4


@pytest.mark.parametrize("mode", ["regions", "classes"])
def test_gradients(mode):
    logits, label = batch(mode, (1, 3, 2, 2, 2))
    stack = torch.stack([logits, 0.5 * logits], dim=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SegmentationLoss(mode)(x, label), stack)


@pytest.mark.parametrize("mode", ["regions", "classes"])
def test_deep_supervision_is_a_weighted_mean_of_levels(mode):
    logits, label = batch(mode)
    loss = SegmentationLoss(mode)
    levels = [logits, -logits, 3 * logits]
    single = [loss(level, label).item() for level in levels]
    expected = (4 * single[0] + 2 * single[1] + single[2]) / 7
    assert loss(torch.stack(levels, dim=1), label).item() == pytest.approx(expected, rel=1e-12)
    same = torch.stack([logits] * 4, dim=1)
    assert loss(same, label).item() == pytest.approx(single[0], rel=1e-12)


def test_fp32_inside_autocast_and_no_metadata_outside():
    logits, label = batch("regions")
    expected = SegmentationLoss("regions")(logits.bfloat16().float(), label)
    meta = MetaTensor(label.to(torch.uint8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = SegmentationLoss("regions")(MetaTensor(logits.bfloat16()), meta)
    assert type(value) is torch.Tensor
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert isinstance(meta, MetaTensor)


def test_wrong_settings_and_shapes_are_refused():
    with pytest.raises(ValueError, match=r"'regions' .* or 'classes' .*but is 'softmax'"):
        SegmentationLoss("softmax")
    with pytest.raises(ValueError, match=r"are 0\.0 and 0\.0; use 1 and 1"):
        SegmentationLoss(dice_weight=0.0, entropy_weight=0.0)
    with pytest.raises(ValueError, match=r"include_background must be false.* found True with mode 'regions'"):
        SegmentationLoss("regions", include_background=True)
    regions, classes = SegmentationLoss("regions"), SegmentationLoss("classes")
    logits = torch.zeros(2, 3, 4, 4, 4)
    for loss, wrong in [
        (regions, (logits, torch.zeros(2, 1, 4, 4, 4))),
        (regions, (logits, torch.zeros(2, 3, 4, 4, 5))),
        (regions, (logits, torch.zeros(1, 3, 4, 4, 4))),
        (classes, (logits, torch.zeros(2, 3, 4, 4, 4))),
        (classes, (logits[:, :1], torch.zeros(2, 1, 4, 4, 4))),
        (classes, (logits, torch.zeros(2, 4, 4, 4)[:, 0, 0])),
    ]:
        with pytest.raises(ValueError, match=r"needs logits .*LabelsToRegionsd"):
            loss(*wrong)


def test_it_has_no_state_and_can_be_copied():
    assert not copy.deepcopy(SegmentationLoss()).state_dict()


# --- classification ---------------------------------------------------------------------------------------------------

NAN = float("nan")
LABELS = {
    "binary": [[1, 0, NAN, 1], [NAN, NAN, NAN, NAN], [0, 1, 1, NAN]],
    "ordinal": [[0], [NAN], [4]],
    "classes": [[3], [NAN], [0]],
}


def brute_classification(logits, label, mode):
    """The mean over known entries, one by one in float64."""
    terms = []
    for row, known in zip(logits.tolist(), label.tolist(), strict=True):
        if mode == "classes":
            if not math.isnan(known[0]):
                terms.append(math.log(sum(math.exp(x) for x in row)) - row[int(known[0])])
            continue
        targets = known if mode == "binary" else [math.nan if math.isnan(known[0]) else known[0] > k for k in range(4)]
        for x, target in zip(row, targets, strict=True):
            if not math.isnan(target):
                p = 1 / (1 + math.exp(-x))
                terms.append(-math.log(p if target else 1 - p))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("mode", LABELS)
def test_classification_is_the_mean_over_known_entries(mode):
    logits = 2 * torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.tensor(LABELS[mode], dtype=torch.float64)
    loss = ClassificationLoss(mode)
    assert loss(logits, label).item() == pytest.approx(brute_classification(logits, label, mode), abs=1e-12)
    assert loss(logits.float(), label).dtype == torch.float32
    if mode != "binary":
        assert loss(logits, label[:, 0]).item() == loss(logits, label).item()


@pytest.mark.parametrize("mode", LABELS)
def test_classification_gradients_are_right_and_zero_where_nothing_is_known(mode):
    logits = 2 * torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    label = torch.tensor(LABELS[mode], dtype=torch.float64)
    logits.requires_grad_()
    ClassificationLoss(mode)(logits, label).backward()
    numeric = torch.zeros_like(logits)
    for place in [(b, k) for b in range(3) for k in range(4)]:
        moved = logits.detach().clone()
        moved[place] += 1e-6
        up = brute_classification(moved, label, mode)
        moved[place] -= 2e-6
        numeric[place] = (up - brute_classification(moved, label, mode)) / 2e-6
    torch.testing.assert_close(logits.grad, numeric, atol=1e-8, rtol=1e-6)
    hidden = label.isnan().expand(3, 4)
    assert torch.all(logits.grad[hidden] == 0), "exactly"
    assert torch.all(logits.grad[~hidden] != 0)


@pytest.mark.parametrize("mode", LABELS)
def test_without_any_known_label_the_loss_is_a_zero_that_can_be_trained_on(mode):
    logits = torch.randn(2, 4, requires_grad=True)
    label = torch.full((2, 4 if mode == "binary" else 1), NAN)
    loss = ClassificationLoss(mode)(logits, label)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 4))


def test_classification_under_autocast_and_with_metadata_is_plain_float():
    logits = MetaTensor(torch.zeros(2, 4, dtype=torch.bfloat16))
    loss = ClassificationLoss("ordinal")(logits, MetaTensor(torch.tensor([[1.0], [2.0]])))
    assert type(loss) is torch.Tensor
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("mode", "logits", "label", "said"),
    [
        ("ordinal", torch.zeros(2, 4), torch.tensor([[5.0], [0.0]]), "0 to 4, or NaN; found 5"),
        ("ordinal", torch.zeros(2, 4), torch.tensor([[1.5], [0.0]]), "found 1.5"),
        ("classes", torch.zeros(2, 4), torch.tensor([[4.0], [0.0]]), "0 to 3, or NaN; found 4"),
        ("binary", torch.zeros(2, 4), torch.full((2, 4), 2.0), "0 to 1, or NaN; found 2"),
        ("binary", torch.zeros(2, 4), torch.zeros(2, 1), r"label \(B, K\); found \(2, 4\) and \(2, 1\)"),
        ("ordinal", torch.zeros(2, 4), torch.zeros(2, 4), r"label \(B, 1\)"),
        ("ordinal", torch.zeros(2, 4, 1), torch.zeros(2, 1), "found"),
        ("classes", torch.zeros(2, 4), torch.zeros(3, 1), "found"),
    ],
)
def test_classification_refuses_what_does_not_fit(mode, logits, label, said):
    with pytest.raises(ValueError, match=said):
        ClassificationLoss(mode)(logits, label)


def test_classification_has_three_modes():
    with pytest.raises(ValueError, match=r"'ordinal'.*found 'grades'"):
        ClassificationLoss("grades")
