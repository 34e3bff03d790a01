"""What is wrong with a bundle, in three parts, and how a bundle refuses to start."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NoReturn

_LONGEST = 1200  # characters of a foreign message: torch and numpy can print a whole tensor


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a bundle.

    Attributes:
        expected: what the bundle needs.
        found: what is there instead, with its value.
        remedy: what to do.
        state: ``"error"``, which stops a run, or ``"warning"``, which does not.

    Example:
        >>> print(Problem("steps of at least 1", "0", "give more").text())
        expected: steps of at least 1
        found:    0
        remedy:   give more
    """

    expected: str
    found: str
    remedy: str
    state: str = "error"

    def text(self) -> str:
        """Return three lines, or more where a part has several."""
        lines = [f"{'expected:':<10}{self.expected}", f"{'found:':<10}{self.found}", f"{'remedy:':<10}{self.remedy}"]
        return "\n".join(textwrap.indent(line, " " * 10).strip() for line in lines)

    def as_dict(self) -> dict[str, str]:
        """Return the parts by name, for JSON."""
        return asdict(self)


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
    raise _refusal([Problem(expected, found, remedy)])


def refuse_errors(problems: Iterable[Problem]) -> None:
    """Refuse to start if there are errors among the problems; warnings pass.

    Raises:
        GuardError: names every error.

    Example:
        >>> refuse_errors([Problem("room on the disk", "little", "free some", "warning")])
    """
    errors = [problem for problem in problems if problem.state == "error"]
    if errors:
        raise _refusal(errors)


def innermost(error: BaseException) -> str:
    """Return the message at the bottom of a chain of exceptions, without any traceback that stands inside of it.

    MONAI wraps what a component says three or four times; a data loader hands on the traceback of its worker as text.

    Example:
        >>> try:
        ...     try:
        ...         raise ValueError("grid must fit; found 3; use 2")
        ...     except ValueError as error:
        ...         raise RuntimeError("failed to instantiate") from error
        ... except RuntimeError as error:
        ...     innermost(error)
        'grid must fit; found 3; use 2'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    if "Traceback (most recent call last)" in text:
        text = [line for line in text.splitlines() if line.strip()][-1].strip()
    if isinstance(error, KeyError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _refusal(problems: list[Problem]) -> GuardError:
    parts = [textwrap.indent(problem.text(), "  ") for problem in problems]
    return GuardError("\n".join(["medvol cannot start this bundle.", "\n\n".join(parts)]))
