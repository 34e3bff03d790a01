"""What a block made is freed, and nothing else is touched."""

from __future__ import annotations

import gc
import weakref

import pytest

from medvol.bundles.freeing import freeing


class Circle:
    def __init__(self) -> None:
        self.self = self


def test_a_circle_is_freed_at_the_end() -> None:
    gc.disable()
    try:
        with freeing():
            inside = weakref.ref(Circle())
            with freeing():
                deeper = weakref.ref(Circle())
            assert deeper() is None
            assert inside() is None
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()


def test_an_error_passes_and_the_collector_goes_on() -> None:
    with pytest.raises(ValueError, match="no"), freeing():
        raise ValueError("no")
    assert gc.get_freeze_count() == 0


def test_what_somebody_has_frozen_stays_frozen() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    try:
        with freeing():
            pass
        assert gc.get_freeze_count() == before
    finally:
        gc.unfreeze()
