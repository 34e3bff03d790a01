import math

import numpy as np
import pytest
import torch
from processes import in_processes

from medvol.losses import ntxent, pairing
from medvol.losses.ntxent import NTXentLoss

PATIENTS = torch.tensor([4, 7, 4, 1, 9])


def codes(seed=0, images=5, views=2, features=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, views, features, generator=generator, dtype=torch.float64)


def brute_force(z, patients, temperature):
    """The definition, as a loop over ordered pairs."""
    z, patients = z.numpy(), patients.tolist()
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    losses = []
    for i in range(len(z)):
        for a in range(z.shape[1]):
            against = sum(
                math.exp(float(unit[i, a] @ unit[k, c]) / temperature)
                for k in range(len(z))
                if patients[k] != patients[i]
                for c in range(z.shape[1])
            )
            for b in range(z.shape[1]):
                if b != a:
                    own = math.exp(float(unit[i, a] @ unit[i, b]) / temperature)
                    losses.append(-math.log(own / (own + against)))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("patients", [PATIENTS, torch.arange(5)])
def test_equals_the_brute_force_loop(temperature, views, patients):
    z = codes(views=views)
    assert NTXentLoss(temperature)(z, patients).item() == pytest.approx(brute_force(z, patients, temperature), 1e-12)


def test_two_views_of_every_patient_are_the_loss_of_simclr():
    """Chen et al. 2020, equation 1: cross-entropy over all other views of the batch."""
    unit = torch.nn.functional.normalize(codes().flatten(0, 1), dim=1)
    scores = (unit @ unit.T / 0.2).fill_diagonal_(float("-inf"))
    partner = torch.arange(10) ^ 1
    expected = torch.nn.functional.cross_entropy(scores, partner)
    assert NTXentLoss(0.2)(codes()).item() == pytest.approx(expected.item(), rel=1e-12)


def test_gradient():
    z = codes().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: NTXentLoss(0.5)(x, PATIENTS), z)


def test_equal_codes_give_the_log_of_the_candidates():
    assert NTXentLoss()(torch.ones(5, 2, 4, dtype=torch.float64)).item() == pytest.approx(math.log(9), rel=1e-14)
    three = NTXentLoss()(torch.ones(5, 3, 4, dtype=torch.float64)).item()
    assert three == pytest.approx(math.log(3 * 4 + 1), rel=1e-14)


def test_order_length_and_names_do_not_matter():
    z, expected = codes(), NTXentLoss()(codes(), PATIENTS).item()
    order = torch.tensor([3, 0, 4, 1, 2])
    for same, patients in (
        (z[order], PATIENTS[order]),
        (z.flip(1), PATIENTS),
        (z * torch.rand(5, 2, 1, dtype=torch.float64).add(0.1), PATIENTS),
        (z, PATIENTS * 10 + 3),
    ):
        assert NTXentLoss()(same, patients).item() == pytest.approx(expected, rel=1e-12)


def test_another_image_of_the_patient_is_neither_right_nor_wrong():
    """Views of the same patient's other image move neither the loss of the others nor take a gradient from it."""
    z = codes().requires_grad_()
    other = torch.tensor([4, 7, 4, 1, 9])
    unit = torch.nn.functional.normalize(z.flatten(0, 1), dim=1)
    pair = pairing.pair_views(z, other, normalize=True)
    own = NTXentLoss()._own(pair._replace(own=pair.own[:2], positive=pair.positive[:2], negative=pair.negative[:2]))
    own.backward()
    assert z.grad[2].abs().max() == 0  # image 2 is of the same patient as image 0, the anchor
    assert all(z.grad[k].abs().max() > 0 for k in (0, 1, 3, 4))
    assert unit.shape == (10, 4)


def test_single_precision_at_least():
    z = codes().float()
    expected = NTXentLoss()(z.bfloat16().double(), PATIENTS).item()
    found = NTXentLoss()(z.bfloat16(), PATIENTS)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert NTXentLoss()(z, PATIENTS).item() == pytest.approx(NTXentLoss()(codes(), PATIENTS).item(), rel=1e-5)
    assert math.isfinite(NTXentLoss(0.001)(z, PATIENTS).item())


def test_three_processes_compute_the_loss_and_gradient_of_one(monkeypatch):
    """Acceptance test S6 without processes; tests/slow has the real ones."""
    z, patients = codes(images=6).requires_grad_(), torch.tensor([5, 6, 7, 5, 8, 8])
    losses = in_processes(
        monkeypatch,
        [ntxent, pairing],
        [lambda rows=slice(2 * k, 2 * k + 2): NTXentLoss(0.3)(z[rows], patients[rows]) for k in range(3)],
    )
    found = torch.autograd.grad(torch.stack(losses).mean(), z)
    assert [loss.item() for loss in losses] == pytest.approx([brute_force(z.detach(), patients, 0.3)] * 3, rel=1e-12)
    expected = torch.autograd.grad(NTXentLoss(0.3)(z, patients), z)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_default():
    assert NTXentLoss()(codes(), PATIENTS).item() == pytest.approx(brute_force(codes(), PATIENTS, 0.1), rel=1e-12)


def test_errors():
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature must be positive"):
            NTXentLoss(temperature)
    with pytest.raises(ValueError, match="two patients or more"):
        NTXentLoss()(codes(images=2), torch.tensor([3, 3]))
