import itertools
import math

import numpy as np
import pytest
import torch

from medvol.metrics.views import ViewRetrieval


def codes(seed=0, images=6, views=2, features=4):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(images, views, features, generator=generator)
    return z + 1.5 * torch.randn(images, 1, features, generator=generator)


def brute_force(batches):
    found, chance, right, unit = [], [], [], []
    for z, patients in batches:
        z = z.double().numpy()
        patients = list(range(len(z))) if patients is None else patients.tolist()
        places = list(itertools.product(range(len(z)), range(z.shape[1])))
        for anchor in places:
            apart = {other: np.linalg.norm(z[anchor] - z[other]) for other in places}
            own = [p for p in places if p[0] == anchor[0] and p != anchor]
            other = [p for p in places if patients[p[0]] != patients[anchor[0]]]
            unit.append(z[anchor] / np.linalg.norm(z[anchor]))
            if not own or not other:
                continue
            least = min(apart[p] for p in own + other)
            best = [p for p in own + other if apart[p] == least]
            found.append(sum(p in own for p in best) / len(best))
            chance.append(len(own) / len(own + other))
            right += [1.0 if apart[p] < apart[n] else 0.5 if apart[p] == apart[n] else 0.0 for p in own for n in other]
    spread = np.std(unit, axis=0).mean() * np.sqrt(len(unit[0]))
    return {"top1": np.mean(found), "chance": np.mean(chance), "triplet_accuracy": np.mean(right), "spread": spread}


def test_equals_the_loop_over_batches_of_different_size():
    batches = [
        (codes(0), torch.tensor([3, 4, 3, 5, 5, 5])),
        (codes(1, images=3, views=3), torch.tensor([1, 2, 3])),
        (codes(2, images=4), None),
        (codes(3, images=2), torch.tensor([7, 7])),  # a single patient: nothing to judge but the spread
    ]
    retrieval = ViewRetrieval()
    for z, patients in batches:
        retrieval.update(z, patients)
    found, expected = retrieval.compute(), brute_force(batches)
    assert found == pytest.approx(expected, rel=1e-6)
    assert 0.3 < found["top1"] < 1  # neither all nor nothing


def test_equal_codes_give_exactly_chance_and_no_spread():
    """Acceptance test 17: the alarm rings."""
    retrieval = ViewRetrieval()
    retrieval.update(torch.full((5, 2, 8), 0.3))
    found = retrieval.compute()
    assert found["top1"] == pytest.approx(found["chance"], rel=1e-12)
    assert found["chance"] == pytest.approx(1 / 9)
    assert found["triplet_accuracy"] == 0.5
    assert found["spread"] < 1e-6
    assert retrieval.alarm({**found, "loss": 1.0}).startswith(
        "embeddings are nearly one and the same: their spread is 0.000"
    )
    assert retrieval.alarm({"spread": 0.1}) is None
    assert retrieval.alarm({"spread": float("nan")}) is None, "nothing was seen"


def test_codes_in_all_directions_have_the_spread_one():
    retrieval = ViewRetrieval()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        retrieval.update(7 * torch.randn(50, 2, 16, generator=generator))
    assert retrieval.compute()["spread"] == pytest.approx(1.0, abs=0.02)
    nearly = ViewRetrieval()
    nearly.update(torch.ones(50, 2, 16) + 0.05 * torch.randn(50, 2, 16, generator=generator))
    assert nearly.compute()["spread"] < 0.1


def test_perfect_and_always_wrong():
    table = torch.eye(6)
    for other, top1, accuracy in ((table, 1.0, 1.0), (table.roll(1, 0), 0.0, None)):
        retrieval = ViewRetrieval()
        retrieval.update(torch.stack([table, other], dim=1))
        found = retrieval.compute()
        assert found["top1"] == top1
        assert accuracy is None or found["triplet_accuracy"] == accuracy
        assert found["chance"] == pytest.approx(1 / 11)


def test_a_nearer_view_of_the_patients_other_image_does_not_count():
    z = torch.tensor([[[0.0], [1.0]], [[0.1], [9.0]], [[5.0], [5.0]]])
    for patients, found in (([1, 1, 2], 1.0), ([1, 3, 2], 0.0)):
        retrieval = ViewRetrieval()
        retrieval.update(z[:, :, :], torch.tensor(patients))
        distances = retrieval.compute()
        assert (distances["top1"] > 0.5) == bool(found)


def test_reset_and_nothing_seen():
    retrieval = ViewRetrieval()
    assert all(math.isnan(value) for value in retrieval.compute().values())
    retrieval.update(codes(), torch.zeros(6, dtype=torch.long))
    found = retrieval.compute()
    assert math.isnan(found["top1"])
    assert math.isnan(found["triplet_accuracy"])
    assert found["spread"] > 0
    retrieval.reset()
    assert math.isnan(retrieval.compute()["spread"])


def test_gradients_and_half_precision_are_left_behind():
    z = codes().bfloat16()
    retrieval = ViewRetrieval()
    retrieval.update(z.clone().requires_grad_(), None)
    assert retrieval.compute() == pytest.approx(brute_force([(z, None)]), rel=1e-6)


def test_other_outputs_are_refused():
    for output, label in ((torch.zeros(4, 3), None), ((torch.zeros(1),), None), (codes(), torch.arange(5))):
        with pytest.raises(ValueError, match=r"embeddings \(B, V, F\) and patients \(B,\); found .*Projector"):
            ViewRetrieval().update(output, label)
