"""The error of reconstructions over the voxels that count, against a loop."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor

from medvol.losses.restoration import RestorationLoss

GENERATOR = torch.Generator().manual_seed(0)
SHAPE = (2, 2, 4, 3, 5)
X, CLEAN = (torch.randn(SHAPE, generator=GENERATOR, dtype=torch.float64) for _ in range(2))
MASK = (torch.rand(2, 1, 4, 3, 5, generator=GENERATOR) < 0.7).float()
LABEL = CLEAN.masked_fill(torch.rand(SHAPE, generator=GENERATOR) < 0.2, math.nan)
HIDDEN = MASK.bool().expand(SHAPE)
COUNTED = HIDDEN & ~LABEL.isnan()


def by_hand(x: torch.Tensor, label: torch.Tensor, mask: torch.Tensor | None, norm: str, sigmoid: bool) -> float:
    hidden = (torch.ones(label.shape) if mask is None else mask.expand(label.shape)).flatten().tolist()
    errors = []
    for value, y, m in zip(x.flatten().tolist(), label.flatten().tolist(), hidden, strict=True):
        if m == 1 and not math.isnan(y):
            answer = 1 / (1 + math.exp(-value)) if sigmoid else value
            errors.append((answer - y) ** 2 if norm == "l2" else abs(answer - y))
    return sum(errors) / len(errors)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("label", [CLEAN, LABEL], ids=["clean", "with NaN"])
def test_against_a_loop(norm: str, activation: str | None, masked: bool, label: torch.Tensor) -> None:
    want = by_hand(X, label, MASK if masked else None, norm, activation == "sigmoid")
    found = RestorationLoss(norm, activation)((X, MASK) if masked else X, label)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_the_gradient_is_finite_and_zero_exactly_where_nothing_counts(norm: str, activation: str | None) -> None:
    x, label = X.clone().requires_grad_(), LABEL.clone().requires_grad_()
    criterion = RestorationLoss(norm, activation)
    criterion((x, MASK), label).backward()
    for gradient in (x.grad, label.grad):
        assert gradient.isfinite().all()
        assert torch.equal(gradient == 0, ~COUNTED)
    small, inside = X[:1, :, :2, :2, :2].clone().requires_grad_(), (slice(1), slice(None), *[slice(2)] * 3)
    assert torch.autograd.gradcheck(lambda part: criterion((part, MASK[inside]), LABEL[inside]), (small,))


def test_the_first_loss_of_an_answer_of_zero() -> None:
    found = RestorationLoss()((torch.zeros(SHAPE), MASK), CLEAN.float())
    assert found.item() == pytest.approx(CLEAN[HIDDEN].square().mean().item(), rel=1e-6)


def test_visible_voxels_do_not_matter() -> None:
    other = torch.where(HIDDEN, X, 1e6)
    assert RestorationLoss()((other, MASK), LABEL) == RestorationLoss()((X, MASK), LABEL)
    assert RestorationLoss()((X, MASK), torch.where(HIDDEN, LABEL, 1e6)) == RestorationLoss()((X, MASK), LABEL)


@pytest.mark.parametrize("label", [torch.full(SHAPE, math.nan), torch.where(HIDDEN, math.nan, CLEAN)])
def test_nothing_counted_is_zero_with_a_graph(label: torch.Tensor) -> None:
    x = X.clone().requires_grad_()
    loss = RestorationLoss()((x, MASK), label)
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()


def test_a_single_voxel_that_counts() -> None:
    only = torch.arange(CLEAN.numel()).reshape(SHAPE) == int(COUNTED.flatten().nonzero()[3])
    found = RestorationLoss()((X, MASK), LABEL.masked_fill(~only, math.nan))
    assert found.item() == pytest.approx(float((X - CLEAN)[only].square()), rel=1e-12)


def test_micro_batches_of_a_step_weigh_alike() -> None:
    """Each is divided by its own number of voxels: not the mean over the voxels of both."""
    other = torch.where(torch.arange(SHAPE[-1]) < 2, LABEL, math.nan)  # counts fewer voxels
    counts = [int((HIDDEN & ~label.isnan()).sum()) for label in (LABEL, other)]
    assert counts[1] < counts[0] * 0.6, "the test has power"
    x, criterion = X.clone().requires_grad_(), RestorationLoss()
    for label in (LABEL, other):
        (criterion((x, MASK), label) / 2).backward()  # as the trainer divides by the number of micro-batches
    errors = [torch.where(HIDDEN & ~label.isnan(), X - CLEAN, 0.0) for label in (LABEL, other)]
    want = sum(2 * error / count for error, count in zip(errors, counts, strict=True)) / 2
    torch.testing.assert_close(x.grad, want)


def test_half_precision_is_computed_in_single() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = RestorationLoss("l2", "sigmoid")((X.bfloat16(), MASK.bfloat16()), LABEL.float())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(X.bfloat16().double(), LABEL, MASK, "l2", True), rel=1e-5)
    assert RestorationLoss()((X.float(), MASK), LABEL).dtype == torch.float32, "as the reconstruction, not as the label"
    huge = torch.full(SHAPE, 300.0).half()  # its square is beyond half precision
    assert RestorationLoss()(huge, torch.zeros(SHAPE)).item() == 90000


def test_a_slice_is_a_volume_of_depth_one() -> None:
    x, mask, label = X[..., :1], MASK[..., :1], LABEL[..., :1]
    assert RestorationLoss()((x, mask), label) == RestorationLoss()((x[..., 0], mask[..., 0]), label[..., 0])


def test_labels_with_metadata_and_masks_of_booleans() -> None:
    found = RestorationLoss()([X, MASK.bool()], MetaTensor(LABEL))
    assert type(found) is torch.Tensor
    assert found == RestorationLoss()((X, MASK), LABEL)


def test_voxels_of_another_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the loss of one process with the voxels of both; the gradient is doubled, for DDP halves it."""
    other = torch.tensor([7.0, 6.0], dtype=torch.float64)  # the sum of its errors, and how many voxels
    monkeypatch.setattr("medvol.losses.restoration.all_sum", lambda own: own + other)
    monkeypatch.setattr("medvol.losses.restoration.world_size", lambda: 2)
    x, count = X.clone().requires_grad_(), int(COUNTED.sum())
    loss = RestorationLoss()((x, MASK), LABEL)
    loss.backward()
    assert loss.item() == pytest.approx((count * by_hand(X, LABEL, MASK, "l2", False) + 7) / (count + 6), rel=1e-12)
    want = torch.where(COUNTED, 2 * (X - CLEAN) * 2 / (count + 6), 0.0)
    torch.testing.assert_close(x.grad, want)


@pytest.mark.parametrize(
    ("output", "label", "words"),
    [
        ((X, MASK), CLEAN[:1], r"shape of the reconstruction \(2, 2, 4, 3, 5\); found \(1, 2, 4, 3, 5\)"),
        (X, CLEAN[:, :1], "found \\(2, 1, 4, 3, 5\\); give the network as many output channels"),
        (X, None, "found None"),
        ((X, MASK[..., :1]), CLEAN, r"mask must have the shape \(2, 1, 4, 3, 5\); found \(2, 1, 4, 3, 1\)"),
        ((X, MASK.expand(SHAPE)), CLEAN, r"found \(2, 2, 4, 3, 5\); return it as"),
        ((X, MASK.transpose(2, 4)), CLEAN, r"found \(2, 1, 5, 3, 4\)"),
        ((X, MASK, MASK), CLEAN, "a pair of it and the mask; found Tensor and Tensor and Tensor"),
        ((X, None), CLEAN, "found Tensor and NoneType"),
    ],
)
def test_what_does_not_fit(output: object, label: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RestorationLoss()(output, label)


def test_unknown_options() -> None:
    with pytest.raises(ValueError, match="norm must be one of l2, l1; found 'mse'"):
        RestorationLoss("mse")
    with pytest.raises(ValueError, match="activation must be one of None, sigmoid; found 'softmax'"):
        RestorationLoss(activation="softmax")
