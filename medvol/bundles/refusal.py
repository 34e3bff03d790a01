"""How a bundle refuses to start."""

from __future__ import annotations

from typing import NoReturn


class GuardError(SystemExit):
    """A bundle refuses to start; uncaught, it prints its message and ends the command with status 1.

    It is a ``SystemExit`` because MONAI wraps every other exception of a config expression into a chain of four
    tracebacks, and the user's mistake would stand in the middle of it.
    """


def refuse(expected: str, found: str, remedy: str) -> NoReturn:
    """Raise a :class:`GuardError` in the project's three parts.

    Args:
        expected: what the bundle needs.
        found: what is there instead, with its value.
        remedy: what to do.

    Raises:
        GuardError: always.
    """
    parts = [f"expected: {expected}", f"found:    {found}", f"remedy:   {remedy}"]
    raise GuardError("\n  ".join(["medvol cannot start this bundle.", *parts]))
