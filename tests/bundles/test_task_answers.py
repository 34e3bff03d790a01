"""What the bundles' transforms show the network is what their labels say: worked out from the voxels alone.

tests/slow/test_mutants.py shows that each oracle of tests/fixtures/oracles.py finds the defects that it is made for.
"""

from __future__ import annotations

from collections.abc import Callable

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
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_answers(oracle: Callable[[str], None], bundle: str) -> None:
    oracle(bundle)
