"""What the bundles' transforms show the network is what their labels say: worked out from the voxels alone.

The quicker oracles on some bundles. tests/slow/test_mutants.py runs all of them on all bundles, and shows that each
finds the defects that it is made for.
"""

from __future__ import annotations

from collections.abc import Callable

import loss_oracles
import oracles
import pytest


@pytest.mark.parametrize(
    ("oracle", "bundle"),
    [
        (oracles.location, "rpl3d"),
        (oracles.location, "rpl2d"),
        (oracles.puzzle, "jigsaw3d"),
        (oracles.puzzle, "jigsaw2d"),
        (oracles.rotation, "rotation2d"),
        (oracles.cut, "cpc2d"),
        (oracles.views, "exemplar3d"),
        (oracles.views, "exemplar2d"),
        (oracles.permutations, "jigsaw3d"),
        (oracles.permutations, "jigsaw2d"),
        (oracles.projector, "exemplar2d"),
        (loss_oracles.cross_entropy, ""),
        (loss_oracles.info_nce, ""),
        (loss_oracles.ntxent, ""),
        (loss_oracles.triplet, ""),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_answers(oracle: Callable[[str], None], bundle: str) -> None:
    oracle(bundle)
