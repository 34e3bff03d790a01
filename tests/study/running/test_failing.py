"""What a failed run says."""

from __future__ import annotations

from medvol.bundles.refusal import GuardError
from medvol.study.running.failing import diverged, text_of


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def wrapped(error: Exception) -> Exception:
    """As MONAI wraps it."""
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("failed to instantiate") from cause
    except RuntimeError as outer:
        return outer


def test_the_innermost_cause_is_the_sentence_and_the_place_stands_below() -> None:
    sentence, *below = text_of(wrapped(ValueError("the grid must fit;\nfound 3; use 2"))).split("\n")
    assert sentence == "the grid must fit; found 3; use 2"
    assert any("test_failing.py" in line for line in below)
    assert len(below) <= 6


def test_a_bare_error_says_its_kind() -> None:
    assert text_of(caught(KeyError("seed"))).startswith("KeyError: 'seed'")
    assert text_of(caught(ZeroDivisionError("by zero"))).startswith("ZeroDivisionError: by zero\n")
    assert text_of(caught(MemoryError())).startswith("MemoryError")


def test_a_refusal_is_one_sentence() -> None:
    error = GuardError("medvol cannot start this bundle.\n  expected: images\n  found:    none\n  remedy:   give some")
    assert text_of(error) == "medvol cannot start this bundle. expected: images found: none remedy: give some"


def test_divergence_is_seen_through_wraps() -> None:
    assert diverged(wrapped(FloatingPointError("expected a finite loss")))
    assert not diverged(wrapped(ValueError("expected a finite loss")))
    assert not diverged(None)
