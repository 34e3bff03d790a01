"""medvol.engines.supply"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medvol.engines.supply import refuse_dry_loader, start_at


def test_a_stream_starts_anywhere():
    loader = SimpleNamespace(stream=SimpleNamespace(start_batch=0))
    start_at(loader, 7)
    assert loader.stream.start_batch == 7
    start_at(loader, 0)  # a new training on an old loader
    assert loader.stream.start_batch == 0


def test_other_loaders_start_at_the_beginning_only():
    start_at([1, 2], 0)
    with pytest.raises(ValueError, match=r"a loader with a \.stream, to continue after batch 1, found list; use"):
        start_at([1, 2], 1)


def test_dry_loader():
    with pytest.raises(ValueError, match="batches for 6 optimizer steps, found that the loader ended at step 2; give"):
        refuse_dry_loader(2, 6)
