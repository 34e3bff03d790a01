"""What on this machine may stand in the way of a run: versions, device, memory, folders, links, variables."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..showing.columns import line_width

__all__ = ["Diagnosis", "diagnose", "diagnosis_text"]


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    Attributes:
        part: what was looked at, such as ``cache``.
        state: ``ok``, ``warning`` (a run may suffer) or ``error`` (it will not work).
        text: the finding, a sentence.
        remedy: what to do, a sentence; empty where nothing is to be done.
    """

    part: str
    state: str
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values for JSON."""
        return asdict(self)


Examination = Callable[[], Iterator[Diagnosis]]


def diagnose() -> list[Diagnosis]:
    """Look at this machine and return what was found, part by part; nothing is changed and nothing is downloaded.

    Example:
        >>> diagnose()[0].part
        'python'
    """
    findings: list[Diagnosis] = []
    for group in ("packages", "hardware", "places"):
        try:
            examinations = importlib.import_module(f"medvol.bundles.doctor.{group}").EXAMINATIONS
        except Exception as error:  # a damaged torch must not keep the rest from being looked at
            findings.append(_failed(group, "error", error, "Install the package that is named there again."))
        else:
            findings += [finding for part, look in examinations for finding in _examine(part, look)]
    return findings


def _examine(part: str, look: Examination) -> list[Diagnosis]:
    """Whatever is odd on this machine, the other parts shall still be looked at."""
    found: list[Diagnosis] = []
    try:
        found.extend(look())
    except Exception as error:  # the doctor is called where things are broken
        found.append(_failed(part, "warning", error, "Look at this part of the machine by hand."))
    return found


def _failed(part: str, state: str, error: Exception, remedy: str) -> Diagnosis:
    reason = f"{type(error).__name__}: {error}".strip().rstrip(".")
    return Diagnosis(part, state, f"This could not be looked at ({reason}).", remedy)


def diagnosis_text(findings: Sequence[Diagnosis], width: int | None = None) -> str:
    """Return the findings as text, one paragraph each, and their number by state at the end.

    Args:
        findings: from :func:`diagnose`.
        width: characters in a line; default: 120, or those of a narrower terminal.

    Example:
        >>> print(diagnosis_text([Diagnosis("disk", "ok", "There are 70 GB free.")], width=60))
        ok       disk        There are 70 GB free.
        <BLANKLINE>
        1 ok, 0 warnings, 0 errors
    """
    width = width or line_width(120)
    lines = []
    for found in findings:
        head = f"{found.state:<9}{found.part:<12}"
        body = f"{found.text} {found.remedy}".strip()
        lines.append(textwrap.fill(body, max(40, width), initial_indent=head, subsequent_indent=" " * len(head)))
    counts = {state: sum(found.state == state for found in findings) for state in ("ok", "warning", "error")}
    total = ", ".join(f"{n} {state}{'' if state == 'ok' or n == 1 else 's'}" for state, n in counts.items())
    return "\n".join([*lines, "", total])
