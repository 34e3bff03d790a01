import math

import pytest
import torch

from medvol.metrics.retrieval import ContrastiveAccuracy


def case(seed=0, rows=40, codes=15, features=3):
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randn(rows, features, generator=generator)
    table = torch.randn(codes, features, generator=generator)
    positive = torch.randint(codes, (rows,), generator=generator)
    valid = torch.rand(rows, codes, generator=generator) > 0.5
    valid[torch.arange(rows), positive] = True
    positive[::5] = -100
    return predictions, table, positive, valid


def brute_force(cases):
    found, chance = [], []
    for predictions, codes, positive, valid in cases:
        for m in range(len(predictions)):
            if positive[m] < 0:
                continue
            scores = {n: float(predictions[m] @ codes[n]) for n in range(len(codes)) if valid[m, n]}
            best = [n for n, score in scores.items() if score == max(scores.values())]
            found.append(int(positive[m]) in best and 1 / len(best))
            chance.append(1 / len(scores))
    return sum(found) / len(found), sum(chance) / len(chance)


def test_equals_the_loop_over_two_batches_of_different_size():
    cases = [case(0), case(1, rows=7, codes=4)]
    accuracy = ContrastiveAccuracy()
    for outputs in cases:
        accuracy.update(outputs, None)
    found, chance = brute_force(cases)
    assert accuracy.compute() == pytest.approx({"accuracy": found, "chance": chance})


def test_equal_scores_give_exactly_chance():
    _, codes, positive, valid = case()
    accuracy = ContrastiveAccuracy()
    accuracy.update((torch.zeros(40, 3), codes, positive, valid), None)
    result = accuracy.compute()
    assert result["accuracy"] == pytest.approx(result["chance"], rel=1e-6)
    assert 1 / 15 < result["chance"] < 1


def test_perfect_and_always_wrong():
    codes, rows = torch.eye(6), torch.arange(6)
    everything = torch.ones(6, 6, dtype=torch.bool)
    for predictions, expected in ((codes, 1.0), (codes.roll(1, 0), 0.0)):
        accuracy = ContrastiveAccuracy()
        accuracy.update((predictions, codes, rows, everything), None)
        assert accuracy.compute() == {"accuracy": expected, "chance": pytest.approx(1 / 6)}


def test_a_better_code_that_is_no_candidate_does_not_count():
    valid = torch.tensor([[True, False, True]])
    accuracy = ContrastiveAccuracy()
    accuracy.update((torch.ones(1, 1), torch.tensor([[2.0], [9.0], [1.0]]), torch.tensor([0]), valid), None)
    assert accuracy.compute() == {"accuracy": 1.0, "chance": 0.5}


def test_reset_and_nothing_seen():
    accuracy = ContrastiveAccuracy()
    assert all(math.isnan(value) for value in accuracy.compute().values())
    predictions, codes, positive, valid = case()
    accuracy.update((predictions, codes, torch.full_like(positive, -100), valid), None)
    assert all(math.isnan(value) for value in accuracy.compute().values())
    accuracy.update(case(), None)
    assert not math.isnan(accuracy.compute()["accuracy"])
    accuracy.reset()
    assert math.isnan(accuracy.compute()["chance"])


def test_gradients_and_half_precision_are_left_behind():
    predictions, codes, positive, valid = case()
    accuracy = ContrastiveAccuracy()
    accuracy.update((predictions.bfloat16().requires_grad_(), codes.bfloat16(), positive, valid), None)
    expected = brute_force([(predictions.bfloat16().float(), codes.bfloat16().float(), positive, valid)])
    assert accuracy.compute()["accuracy"] == pytest.approx(expected[0])


def test_other_outputs_are_refused():
    with pytest.raises(ValueError, match=r"predictions, codes, positive and valid, found 3 tensors"):
        ContrastiveAccuracy().update(case()[:3], None)
