import math

import numpy as np
import pytest
import torch
from processes import in_processes

from medvol.losses import InfoNCELoss, infonce


def case(seed=0, rows=12, codes=10, features=4, requires_grad=False):
    """Predictions, codes, positive and valid with some left out and some candidates missing, double precision."""
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    table = torch.nn.functional.normalize(torch.randn(codes, features, generator=generator, dtype=torch.float64))
    positive = torch.randint(codes, (rows,), generator=generator)
    valid = torch.rand(rows, codes, generator=generator) > 0.4
    valid[torch.arange(rows), positive] = True
    positive[::4] = -100
    return predictions.requires_grad_(requires_grad), table.requires_grad_(requires_grad), positive, valid


def brute_force(predictions, codes, positive, valid, temperature):
    losses = []
    for m in range(len(predictions)):
        if positive[m] < 0:
            continue
        scores = {
            n: math.exp(sum(float(a * b) for a, b in zip(predictions[m], codes[n], strict=True)) / temperature)
            for n in range(len(codes))
            if valid[m, n]
        }
        losses.append(-math.log(scores[int(positive[m])] / sum(scores.values())))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_brute_force_loop(temperature, seed):
    outputs = case(seed)
    assert InfoNCELoss(temperature)(outputs).item() == pytest.approx(brute_force(*outputs, temperature), rel=1e-12)


def test_gradient():
    predictions, codes, positive, valid = case(requires_grad=True)

    def loss(p, c):
        return InfoNCELoss(0.5)((p, c, positive, valid))

    assert torch.autograd.gradcheck(loss, (predictions, codes))
    loss(predictions, codes).backward()
    assert codes.grad.abs().sum() > 0
    assert (predictions.grad[positive < 0] == 0).all()


def test_does_not_depend_on_the_order_of_the_batch():
    predictions, codes, positive, valid = case()
    rows, columns = torch.randperm(12), torch.randperm(10)
    moved = torch.where(positive < 0, -100, torch.argsort(columns)[positive.clamp(min=0)])
    shuffled = (predictions[rows], codes[columns], moved[rows], valid[rows][:, columns])
    assert InfoNCELoss()(shuffled).item() == pytest.approx(InfoNCELoss()(case()).item(), rel=1e-12)


def test_equal_scores_give_the_log_of_the_candidates():
    _, codes, positive, valid = case()
    expected = valid[positive >= 0].sum(1).double().log().mean()
    for predictions in (torch.zeros(12, 4, dtype=torch.float64),):
        assert InfoNCELoss()((predictions, codes, positive, valid)).item() == pytest.approx(expected.item(), rel=1e-14)
    same = torch.ones(10, 4, dtype=torch.float64)
    assert InfoNCELoss()((torch.randn(12, 4), same, positive, valid)).item() == pytest.approx(
        expected.item(), rel=1e-12
    )


def test_excluded_codes_do_not_count():
    predictions, codes, positive, valid = case()
    lone = ~valid.any(0)
    valid[:, 3] = False
    positive = torch.where(positive == 3, -100, positive)
    before = InfoNCELoss()((predictions, codes, positive, valid)).item()
    codes = codes.clone()
    codes[3] = 1e3
    codes[lone] = 1e3
    assert InfoNCELoss()((predictions, codes, positive, valid)).item() == before


def test_all_left_out_is_zero_with_a_graph():
    predictions, codes, positive, valid = case(requires_grad=True)
    for candidates in (valid, torch.zeros_like(valid)):
        loss = InfoNCELoss()((predictions, codes, torch.full_like(positive, -100), candidates))
        assert loss.item() == 0.0
        loss.backward()
        assert torch.equal(predictions.grad, torch.zeros_like(predictions))
        assert torch.equal(codes.grad, torch.zeros_like(codes))


def test_a_left_out_row_without_candidates_gives_no_nan():
    predictions, codes, positive, valid = case(requires_grad=True)
    valid[positive < 0] = False
    with torch.autograd.set_detect_anomaly(True):  # not even inside the backward pass
        InfoNCELoss()((predictions, codes, positive, valid)).backward()
    assert torch.isfinite(predictions.grad).all()
    assert torch.isfinite(codes.grad).all()


def test_a_single_prediction_that_counts():
    predictions, codes, positive, valid = case()
    positive[torch.arange(12) != 5] = -100
    outputs = predictions, codes, positive, valid
    assert InfoNCELoss()(outputs).item() == pytest.approx(brute_force(*outputs, 0.1), rel=1e-12)


@pytest.mark.parametrize("counts", [(5, 9), (5, 2, 9)])
def test_processes_compute_the_loss_and_gradient_of_one(counts, monkeypatch):
    """Of other processes all codes join that may be met there; the numbers of predictions differ."""
    parts = []
    for seed, rows in enumerate(counts):
        predictions, codes, positive, valid = case(seed, rows, codes=3, requires_grad=True)
        valid[:, 0] = False  # a code that none may meet
        parts.append((predictions, codes, torch.where(positive == 0, -100, positive), valid))
    inputs = [x for part in parts for x in part[:2]]
    losses = in_processes(monkeypatch, [infonce], [lambda part=part: InfoNCELoss(0.3)(part) for part in parts])
    found = torch.autograd.grad(torch.stack(losses).mean(), inputs)

    predictions, codes = (torch.cat([part[k] for part in parts]) for k in (0, 1))
    positive = torch.cat([torch.where(part[2] < 0, -100, part[2] + 3 * rank) for rank, part in enumerate(parts)])
    valid = torch.cat([part[3].any(0) for part in parts]).repeat(len(predictions), 1)
    for rank, rows in enumerate(torch.arange(len(predictions)).split(counts)):
        valid[rows, 3 * rank : 3 * rank + 3] = parts[rank][3]
    whole = predictions, codes, positive, valid
    want = brute_force(predictions.detach(), codes.detach(), positive, valid, 0.3)
    assert [loss.item() for loss in losses] == pytest.approx([want] * len(counts), rel=1e-12)
    torch.testing.assert_close(found, torch.autograd.grad(InfoNCELoss(0.3)(whole), inputs), rtol=1e-10, atol=1e-12)


def test_single_precision_at_least():
    predictions, codes, positive, valid = case()
    half = InfoNCELoss()((predictions.bfloat16(), codes.bfloat16(), positive, valid))
    assert half.dtype == torch.float32
    expected = InfoNCELoss()((predictions.bfloat16().double(), codes.bfloat16().double(), positive, valid))
    assert expected.dtype == torch.float64
    assert half.item() == pytest.approx(expected.item(), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = InfoNCELoss()((predictions.float(), codes.float(), positive, valid))
    assert inside.item() == pytest.approx(InfoNCELoss()(case()).item(), rel=1e-5)


def test_large_scores_do_not_overflow():
    predictions, codes, positive, valid = case()
    assert math.isfinite(InfoNCELoss(0.01)((predictions.float() * 1e4, codes.float(), positive, valid)).item())


def test_default():
    assert InfoNCELoss()(case()).item() == pytest.approx(brute_force(*case(), 0.1), rel=1e-12)


def test_the_label_is_not_used():
    assert torch.equal(InfoNCELoss()(case(), None), InfoNCELoss()(case(), torch.zeros(3)))


def test_errors():
    predictions, codes, positive, valid = case()
    for wrong in (
        (predictions[:5], codes, positive, valid),
        (predictions[:, :3], codes, positive, valid),
        (predictions, codes[:5], positive, valid),
        (predictions, codes, positive, valid[:5]),
        (predictions[0], codes, positive, valid),
    ):
        with pytest.raises(
            ValueError, match=r"predictions \(M, F\), codes \(N, F\), positive \(M,\) and valid \(M, N\)"
        ):
            InfoNCELoss()(wrong)
    with pytest.raises(ValueError, match=r"valid to be boolean, found torch.float32"):
        InfoNCELoss()((predictions, codes, positive, valid.float()))
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive temperature"):
            InfoNCELoss(temperature)
