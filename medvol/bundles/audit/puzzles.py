"""A jigsaw's own question: which of the listed orders do all of its patches stand in."""

from __future__ import annotations

import numpy as np
from monai.bundle import ConfigParser
from monai.transforms import Compose

from .guessing import CLASSIFIERS, Answer, Table, log_chances, share_interval
from .task import CHAIN

__all__ = ["guess_orders", "listed_permutations"]

_PUZZLES = 100  # of each draw; its patches are described once, so that another order of them costs next to nothing


def listed_permutations(parser: ConfigParser) -> np.ndarray | None:
    """Return the permutations ``(P, N)`` that a task's chain of transforms chooses from, None where it lists none.

    Args:
        parser: of a bundle that :func:`medvol.bundles.audit.task.find_task` has been through.
    """
    chain = parser.get_parsed_content(CHAIN)
    parts = chain.flatten().transforms if type(chain) is Compose else [chain]
    for part in parts:
        rows = getattr(part, "permutations", None)
        if rows is not None and np.ndim(rows) == 2 and len(rows) > 1:
            return np.asarray(rows, int)
    return None


def guess_orders(train: Table, test: Table, permutations: np.ndarray, seed: int) -> Answer:
    """Let the logistic regression of the cells name the permutation of whole puzzles.

    A network sees all patches of a puzzle and needs to tell few permutations apart, so that slight hints of each patch
    add up. Here the logarithms of the chances of all places are summed for every listed permutation, and the one with
    the largest sum is the answer. Every draw is asked in up to 100 of the listed orders. The answers of one draw
    resemble each other, and a draw takes many patches, so each half of the volumes is asked by what the other taught.

    Args:
        train: patches and their cells, of one half of the volumes.
        test: of the other half; draws of which a patch was left out are no puzzles.
        permutations: ``(P, N)``, the cell of the patch at each place.
        seed: of which permutations are asked, where more than 100 are listed.

    Raises:
        ValueError: complete draws are of fewer than 10 volumes.

    Example:
        >>> cells, volumes = np.tile(np.arange(3), 40), np.repeat(np.arange(40), 3)
        >>> known = Table(np.eye(3)[cells], cells, volumes, ["level"] * 3, draws=volumes)
        >>> guess_orders(known, known, np.array([[0, 1, 2], [1, 2, 0]]), seed=0).right
        1.0
    """
    asked = np.random.RandomState(seed).permutation(len(permutations))[:_PUZZLES]
    hits, units = zip(*(_hits(*halves, permutations, asked) for halves in ((train, test), (test, train))), strict=True)
    volumes = np.concatenate([units[0], units[1] + 1 + max(units[0], default=0)])  # each half counts its own from 0
    right = np.concatenate(hits)
    low, high = share_interval(right, volumes)
    return Answer(CLASSIFIERS[0], float(right.mean()), low, high, len(right), len(np.unique(volumes)))


def _hits(train: Table, test: Table, permutations: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every puzzle of one half whether it is solved, 0.0 or 1.0, and the number of its volume."""
    count = permutations.shape[1]
    log = log_chances(train, test, count)  # (n, N)
    hits, units = np.zeros(0), np.zeros(0, int)
    for draw in np.unique(test.draws):
        rows = np.flatnonzero(test.draws == draw)
        if len(rows) == count:
            by_cell = log[rows[np.argsort(test.labels[rows])]]  # (N, N): cell of the patch, and cell that is guessed
            # (puzzles, P): of the patches of each puzzle, how likely each listed permutation makes their places
            scores = sum(by_cell[permutations[asked, place]][:, permutations[:, place]] for place in range(count))
            hits = np.append(hits, scores.argmax(axis=1) == asked)
            units = np.append(units, np.full(len(asked), test.units[rows[0]]))
    return hits, units
