"""The accuracy of a pretext task, with its chance and by axis."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medvol.metrics import ClassAccuracy


def test_against_a_loop() -> None:
    logits, label = torch.randn(50, 6), torch.randint(-1, 6, (5, 10))
    label[label < 0] = -100
    monitor = ClassAccuracy()
    for rows, classes in zip(logits.split(10), label, strict=True):
        monitor.update(rows, classes)
    pairs = [(row.argmax(), y) for row, y in zip(logits, label.flatten(), strict=True) if y >= 0]
    found = monitor.compute()
    assert found["accuracy"] == pytest.approx(np.mean([bool(a == y) for a, y in pairs]))
    assert found["chance"] == pytest.approx(1 / 6)
    assert found["counted"] == pytest.approx(len(pairs) / 50)


def test_equal_scores_are_chance() -> None:
    monitor = ClassAccuracy()
    monitor.update(torch.zeros(7, 10), torch.arange(7))
    assert monitor.compute()["accuracy"] == pytest.approx(0.1)


def test_reset_and_nothing() -> None:
    monitor = ClassAccuracy()
    monitor.update(torch.eye(3), torch.arange(3))
    monitor.reset()
    monitor.update(torch.eye(3), torch.full((3,), -100))
    found = monitor.compute()
    assert math.isnan(found["accuracy"])
    assert found["counted"] == 0
    assert math.isnan(ClassAccuracy((3, 3)).compute()["accuracy_axis_0"])


def test_one_axis_alone_shows() -> None:
    """A network that reads the height only: right along axis 2, guessing along the others."""
    grid = (3, 3, 3)
    places = np.delete(np.indices(grid).reshape(3, -1).T, 13, axis=0)  # of each class
    logits = torch.as_tensor(places[:, None, 2] == places[None, :, 2]).double()
    monitor = ClassAccuracy(grid)
    monitor.update(logits, torch.arange(26))
    found = monitor.compute()
    assert found["accuracy_axis_2"] == pytest.approx(1)
    same = [np.mean(places[:, None, axis] == places[None, :, axis]) for axis in range(3)]
    assert [found[f"chance_axis_{axis}"] for axis in range(3)] == pytest.approx(same)
    given = places[:, None, 2] == places[None, :, 2]
    guessed = (given * (places[:, None, 0] == places[None, :, 0])).sum() / given.sum()
    assert found["accuracy_axis_0"] == pytest.approx(guessed, abs=0.02)
    assert found["accuracy"] < 0.2


def test_axes_of_one_patch_are_not_judged() -> None:
    monitor = ClassAccuracy((1, 3, 3))
    monitor.update(torch.eye(8), torch.arange(8))
    assert sorted(monitor.compute()) == [
        "accuracy", "accuracy_axis_1", "accuracy_axis_2", "chance", "chance_axis_1", "chance_axis_2", "counted",
    ]  # fmt: skip


def test_another_grid_than_that_of_the_network() -> None:
    with pytest.raises(ValueError, match=r"expected 26 classes.*found 8"):
        ClassAccuracy((3, 3, 3)).update(torch.eye(8), torch.arange(8))
