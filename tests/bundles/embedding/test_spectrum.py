"""The rank of vectors, by hand, and the signs of a collapse."""

from __future__ import annotations

import numpy as np
import pytest

from medvol.bundles.embedding.spectrum import scaled, spectrum, spectrum_sentences


def test_scaled_features_have_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(5, [1, 100, 1e-3], size=(50, 3))
    features = np.column_stack([features, np.full(50, 3.7)])
    found = scaled(features)
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(0), 1)


def test_rounding_of_equal_numbers_is_no_variation() -> None:
    features = np.array([[0.1 + 0.2, 1.0], [0.3, 2.0]])
    assert scaled(features).shape == (2, 1)
    assert spectrum(features).constant == 1


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    """Of k orthogonal directions of one length it is k."""
    features = np.zeros((2 * rank, 8))
    for i in range(rank):
        features[2 * i : 2 * i + 2, i] = 1, -1
    assert spectrum(features).effective_rank == pytest.approx(rank)


def test_effective_rank_is_the_exponential_of_the_entropy() -> None:
    features = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # singular values in the ratio 3 : 1
    shares = np.array([0.75, 0.25])
    assert spectrum(features).effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.ones((6, 4)), "all cases have the same"),
        (np.outer(np.arange(6.0), [1, 2, 3, 4]), "nearly all variation lies along one line"),
        (
            np.column_stack([np.random.default_rng(0).normal(size=(6, 3)), np.ones((6, 9))]),
            "9 of 12 features",
        ),
        (1000 + np.random.default_rng(0).normal(size=(9, 6)), "from their mean by 0."),
    ],
)
def test_a_collapse_is_told(features: np.ndarray, words: str) -> None:
    said, warning = spectrum_sentences(spectrum(features))
    assert words in warning
    assert "effective rank" in said


def test_healthy_vectors_give_no_warning() -> None:
    assert spectrum_sentences(spectrum(np.random.default_rng(0).normal(size=(20, 6))))[1] == ""
    assert spectrum_sentences(spectrum(np.ones((1, 4))))[1] == ""  # one case says nothing
