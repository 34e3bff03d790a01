"""What an audit found, as a table, a verdict and a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .countermeasures import MEANT_FOR
from .guessing import Answer

__all__ = ["BAR", "POWER", "Finding", "Report"]

BAR = 0.05
"""How far above chance the upper bound may lie."""

POWER = 0.2
"""How far above chance the audit must come once a counter-measure is off."""

_REASONS = {
    "level": "mean, spread and extremes",
    "distribution": "quantiles and histogram",
    "constant": "zeros and constant parts",
    "faces": "the faces of patches",
    "slope": "slopes along the axes",
    "sharpness": "sharpness along the axes",
}


@dataclass(frozen=True)
class Finding:
    """What was found on one kind of images.

    Attributes:
        images: name of the fixture, or ``own``.
        question: what was asked.
        chance: share of right answers without looking.
        answers: one for each way of guessing.
        groups: how often each kind of statistic alone is right, best first; {} if that was not asked.
        has_bar: whether a bar holds here: on fixtures, where there is no anatomy, and where there are classes.
    """

    images: str
    question: str
    chance: float
    answers: Sequence[Answer]
    groups: Mapping[str, float] = field(default_factory=dict)
    has_bar: bool = True

    @property
    def best(self) -> Answer:
        """The answer with the larger upper bound."""
        return max(self.answers, key=lambda answer: answer.high)

    @property
    def is_shortcut(self) -> bool:
        """Whether the upper bound lies above the bar."""
        return self.has_bar and self.best.high > self.chance + BAR

    def as_dict(self) -> dict[str, Any]:
        """Return everything by name, for JSON."""
        return {
            "images": self.images,
            "question": self.question,
            "chance": self.chance,
            "bar": self.chance + BAR if self.has_bar else None,
            "is_shortcut": self.is_shortcut if self.has_bar else None,
            "answers": [answer.as_dict() for answer in self.answers],
            "groups": dict(self.groups),
        }


@dataclass(frozen=True)
class Report:
    """An audit.

    Attributes:
        bundle: name of the bundle.
        question: what was asked, in words.
        findings: one for each kind of images.
        without: counter-measures that were switched off.
        seed: of volumes, draws and the forest.
        notes: what differs from training, as sentences.
    """

    bundle: str
    question: str
    findings: Sequence[Finding]
    without: Sequence[str] = ()
    seed: int = 0
    notes: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether no shortcut was found."""
        return not any(finding.is_shortcut for finding in self.findings)

    def has_power(self) -> dict[str, bool]:
        """Say for each counter-measure that was switched off whether the audit noticed, on the fixture it is for."""
        by_name = {finding.images: finding for finding in self.findings}
        return {
            name: max(answer.right for answer in found.answers) > found.chance + POWER
            for name in self.without
            if (found := by_name.get(MEANT_FOR[name])) is not None and found.has_bar
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything by name, for JSON."""
        return {
            "bundle": self.bundle,
            "question": self.question,
            "without": list(self.without),
            "seed": self.seed,
            "ok": self.ok,
            "has_power": self.has_power(),
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """Return the page that the command prints."""
        off = f", without {' and '.join(self.without)}" if self.without else ""
        head = f"{self.bundle}{off}: {self.question}"
        lines = [head, "", *self._table(), ""]
        for finding in self.findings:
            lines += _reasons(finding)
        lines += [*self.notes, *self._power()]
        return "\n".join([*lines, self._verdict()])

    def _table(self) -> list[str]:
        rows = [("images", "guessed by", "right", "chance", "at most", "bar", "samples", "volumes")]
        for finding in self.findings:
            bar = _percent(finding.chance + BAR) if finding.has_bar else "none"
            for answer in finding.answers:
                shares = (_percent(share) for share in (answer.right, finding.chance, answer.high))
                counts = (str(answer.samples), str(answer.units))
                rows.append((finding.images, answer.way, *shares, bar, *counts))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        pads = [str.ljust] * 2 + [str.rjust] * 6
        return [
            "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip()
            for row in rows
        ]

    def _power(self) -> list[str]:
        return [
            f"Power: with '{name}' off the audit {'notices it' if noticed else 'does not notice it'} on "
            f"'{MEANT_FOR[name]}' (more than {_percent(POWER)} above chance{'' if noticed else ' are needed'})."
            for name, noticed in self.has_power().items()
        ]

    def _verdict(self) -> str:
        judged = [finding for finding in self.findings if finding.has_bar]
        if not judged:
            why = "these images show anatomy" if self.findings[0].images == "own" else "these views have no classes"
            return f"verdict: none, for {why}, and no bar holds for them (see docs/audit.md)"
        found = [finding.images for finding in judged if finding.is_shortcut]
        if found:
            return f"verdict: shortcut found on {', '.join(found)}"
        return f"verdict: no shortcut found on {', '.join(finding.images for finding in judged)}"


def _reasons(finding: Finding) -> list[str]:
    if not finding.groups:
        return []
    parts = [f"{_REASONS[group]} {_percent(right)}" for group, right in list(finding.groups.items())[:3]]
    return [f"{finding.images}, by one kind of statistic alone: {', '.join(parts)}."]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
