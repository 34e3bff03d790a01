"""What a failed run says: one sentence, and below it where it arose."""

from __future__ import annotations

import traceback

__all__ = ["diverged", "text_of"]

_LINES = 6  # of the traceback


def text_of(error: BaseException) -> str:
    r"""Return an error as one sentence, and below it the end of its traceback, if it has one worth showing.

    Example:
        >>> text_of(SystemExit("cannot start\n\n  expected: images\n  found:    none"))
        'cannot start expected: images found: none'
    """
    from medvol.bundles.refusal import innermost

    sentence = " ".join(innermost(error).split())
    if isinstance(error, SystemExit):  # a refusal says all in its sentence
        return sentence
    while error.__cause__ is not None:
        error = error.__cause__
    if type(error).__name__ not in sentence and not isinstance(error, (ValueError, OSError)):
        sentence = f"{type(error).__name__}: {sentence}"
    lines = "".join(traceback.format_tb(error.__traceback__)).splitlines()[-_LINES:]
    return "\n".join([sentence, *lines])


def diverged(error: BaseException | None) -> bool:
    """Return whether loss or gradients were no longer finite.

    Example:
        >>> diverged(FloatingPointError("expected a finite loss")), diverged(ValueError("no"))
        (True, False)
    """
    while error is not None:
        if isinstance(error, FloatingPointError):
            return True
        error = error.__cause__ or error.__context__
    return False
