"""Cross-entropy with samples left out, against a loop."""

from __future__ import annotations

import math

import pytest
import torch

from medvol.losses import MaskedCrossEntropyLoss

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=GENERATOR, dtype=torch.float64)
LABEL = torch.randint(5, (3, 4), generator=GENERATOR)
LABEL[0, 1] = LABEL[2, 2] = -100


def by_hand(logits: torch.Tensor, label: torch.Tensor) -> float:
    losses = []
    for row, y in zip(logits.tolist(), label.flatten().tolist(), strict=True):
        if y >= 0:
            losses.append(math.log(sum(math.exp(value) for value in row)) - row[y])
    return sum(losses) / len(losses)


def test_against_a_loop() -> None:
    assert MaskedCrossEntropyLoss()(LOGITS, LABEL).item() == pytest.approx(by_hand(LOGITS, LABEL), rel=1e-12)


def test_gradient_and_none_for_those_left_out() -> None:
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: MaskedCrossEntropyLoss()(x, LABEL), (logits,))
    MaskedCrossEntropyLoss()(logits, LABEL).backward()
    assert ((logits.grad == 0).all(dim=1) == (LABEL.flatten() < 0)).all()


def test_nothing_counted_is_zero_with_a_graph() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = MaskedCrossEntropyLoss()(logits, torch.full((12,), -100))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_label_smoothing_is_that_of_torch() -> None:
    kept = LABEL.flatten() >= 0
    want = torch.nn.functional.cross_entropy(LOGITS[kept], LABEL.flatten()[kept], label_smoothing=0.1)
    assert MaskedCrossEntropyLoss(0.1)(LOGITS, LABEL).item() == pytest.approx(want.item(), rel=1e-12)


def test_half_precision_is_computed_in_single() -> None:
    loss = MaskedCrossEntropyLoss()(LOGITS.bfloat16(), LABEL)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(LOGITS.bfloat16().double(), LABEL), rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "label", "words"),
    [
        (LOGITS.T, LABEL, r"logits \(M, K\) and M labels, found \(5, 12\) and \(3, 4\)"),
        (LOGITS, LABEL[0], r"found \(12, 5\) and \(4,\)"),
        (LOGITS, LABEL + 5, "labels from 0 to 4, or -100, found"),
        (LOGITS, torch.full((12,), -1), "found -1"),
        (LOGITS, torch.full((12,), 5), "found 5"),
    ],
)
def test_what_does_not_fit(logits: torch.Tensor, label: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MaskedCrossEntropyLoss()(logits, label)


def test_no_share() -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        MaskedCrossEntropyLoss(1.0)


def test_one_row_that_counts() -> None:
    label = torch.full((12,), -100)
    label[5] = 3
    assert MaskedCrossEntropyLoss()(LOGITS, label).item() == pytest.approx(by_hand(LOGITS[5:6], label[5:6]), rel=1e-12)


def test_rows_of_another_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the loss of one process with the rows of both; the gradient is doubled, for DDP halves it."""
    other = torch.tensor([7.0, 6.0], dtype=torch.float64)  # the sum of its losses, and how many rows
    monkeypatch.setattr("medvol.losses.masked.all_sum", lambda own: own + other)
    monkeypatch.setattr("medvol.losses.masked.world_size", lambda: 2)
    logits = LOGITS.clone().requires_grad_()
    loss = MaskedCrossEntropyLoss()(logits, LABEL)
    loss.backward()
    total = 10 * by_hand(LOGITS, LABEL)
    assert loss.item() == pytest.approx((total + 7) / 16, rel=1e-12)
    alone = LOGITS.clone().requires_grad_()
    (torch.nn.functional.cross_entropy(alone, LABEL.flatten(), reduction="sum") * 2 / 16).backward()
    torch.testing.assert_close(logits.grad, alone.grad)
