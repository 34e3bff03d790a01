import itertools

import numpy as np
import pytest
import torch
from processes import in_processes

from medvol.losses import pairing, triplet
from medvol.losses.triplet import TripletLoss

PATIENTS = torch.tensor([4, 7, 4, 1])


def codes(seed=0, images=4, views=2, features=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, views, features, generator=generator, dtype=torch.float64)


def brute_force(z, patients, margin, mining, distance):
    """The definition, as a loop over triplets."""
    z, patients = z.numpy(), patients.tolist()
    views = list(itertools.product(range(len(z)), range(z.shape[1])))

    def apart(one, other):
        length = np.sqrt(((z[one] - z[other]) ** 2).sum())
        return length**2 if distance == "squared" else length

    hinges = []
    for anchor, positive in itertools.product(views, views):
        if anchor == positive or anchor[0] != positive[0]:
            continue
        near = apart(anchor, positive)
        far = [apart(anchor, other) for other in views if patients[other[0]] != patients[anchor[0]]]
        if mining == "hardest":
            far = [min(far)]
        if mining == "semihard":
            beyond = [d for d in far if d > near]
            far = [min(beyond)] if beyond else [max(far)]
        hinges += [max(0.0, near - d + margin) for d in far]
    return np.mean(hinges)


@pytest.mark.parametrize("mining", ["semihard", "all", "hardest"])
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
@pytest.mark.parametrize("views", [2, 3])
def test_equals_the_brute_force_loop(mining, distance, views):
    for seed, margin, patients in ((0, 0.3, PATIENTS), (1, 1.0, PATIENTS), (2, 2.0, torch.arange(4))):
        z = codes(seed, views=views)
        found = TripletLoss(margin, mining, distance)(z, patients)
        assert found.item() == pytest.approx(brute_force(z, patients, margin, mining, distance), rel=1e-12)


@pytest.mark.parametrize("mining", ["semihard", "all", "hardest"])
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
def test_gradient(mining, distance):
    z = codes().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: TripletLoss(1.0, mining, distance)(x, PATIENTS), z)


@pytest.mark.parametrize("mining", ["semihard", "all", "hardest"])
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_equal_codes_give_the_margin_and_no_gradient(mining, distance, margin):
    """Acceptance test 14; the root of zero has no infinite slope."""
    for dtype in (torch.float32, torch.float64):
        z = torch.full((4, 2, 3), 0.7, dtype=dtype, requires_grad=True)
        loss = TripletLoss(margin, mining, distance)(z, PATIENTS)
        assert loss.item() == torch.tensor(margin, dtype=dtype).item()
        with torch.autograd.set_detect_anomaly(True):
            loss.backward()
        assert torch.equal(z.grad, torch.zeros_like(z))


def test_two_equal_codes_among_others_have_a_finite_gradient():
    z = codes()
    z[1, 0] = z[0, 0]
    z[3, 1] = z[3, 0]
    z.requires_grad_()
    TripletLoss(1.0, "all")(z, PATIENTS).backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().max() > 0


def test_distances_are_exact_in_a_large_batch_far_from_zero():
    """From 26 views on PyTorch would by itself find distances from products, where single precision cancels."""
    z, patients = (codes(images=15) * 64).round() / 64 + 100, torch.arange(15)
    want = brute_force(z, patients, 1.0, "all", "euclidean")
    assert TripletLoss(1.0, "all")(z.float(), patients).item() == pytest.approx(want, rel=1e-5)


def test_a_negative_as_far_as_the_positive_is_not_semihard():
    z = torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]], [[6.0], [4.0]]], dtype=torch.float64)  # many equal distances
    for distance in ("euclidean", "squared"):
        found = TripletLoss(2.0, "semihard", distance)(z)
        want = brute_force(z, torch.arange(3), 2.0, "semihard", distance)
        assert found.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("mining", ["semihard", "all", "hardest"])
def test_three_processes_compute_the_loss_and_gradient_of_one(mining, monkeypatch):
    z, patients = codes(images=6).requires_grad_(), torch.tensor([5, 6, 7, 5, 8, 8])
    losses = in_processes(
        monkeypatch,
        [triplet, pairing],
        [lambda rows=slice(2 * k, 2 * k + 2): TripletLoss(1.0, mining)(z[rows], patients[rows]) for k in range(3)],
    )
    found = torch.autograd.grad(torch.stack(losses).mean(), z)
    want = brute_force(z.detach(), patients, 1.0, mining, "euclidean")
    assert [loss.item() for loss in losses] == pytest.approx([want] * 3, rel=1e-12)
    expected = torch.autograd.grad(TripletLoss(1.0, mining)(z, patients), z)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_defaults():
    want = brute_force(codes(), PATIENTS, 0.3, "semihard", "euclidean")
    assert TripletLoss()(codes(), PATIENTS).item() == pytest.approx(want, rel=1e-12)


def test_triplets_that_hold_cost_nothing():
    z = torch.eye(4, dtype=torch.float64)[:, None].repeat(1, 2, 1).requires_grad_()
    for mining in ("semihard", "all", "hardest"):
        loss = TripletLoss(1.0, mining)(z)
        assert loss.item() == pytest.approx(0.0, abs=1e-15)
        loss.backward()


def test_a_positive_is_of_the_image_and_a_negative_of_another_patient():
    """Image 2 is far from image 0, and both are of one patient: it must not be drawn near, nor pushed away."""
    z = torch.tensor([[[0.0], [0.1]], [[5.0], [5.1]], [[0.0], [0.1]]], dtype=torch.float64)
    near = TripletLoss(0.3, "all")(z, torch.tensor([1, 2, 1])).item()
    assert near == 0.0
    assert TripletLoss(0.3, "all")(z, torch.tensor([1, 2, 3])).item() > 0.1


def test_single_precision_at_least():
    z = codes().bfloat16()
    found = TripletLoss()(z, PATIENTS)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(TripletLoss()(z.double(), PATIENTS).item(), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert TripletLoss()(codes(), PATIENTS).item() == TripletLoss()(codes(), PATIENTS).item()


def test_errors():
    for margin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="margin must be positive"):
            TripletLoss(margin)
    with pytest.raises(ValueError, match="mining must be one of semihard, all, hardest; found 'semi-hard'"):
        TripletLoss(mining="semi-hard")
    with pytest.raises(ValueError, match="distance must be one of euclidean, squared; found 'cosine'"):
        TripletLoss(distance="cosine")
    with pytest.raises(ValueError, match="two patients or more"):
        TripletLoss()(codes(images=2), torch.tensor([3, 3]))
