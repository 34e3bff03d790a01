"""What an audit found, as a table, a verdict and a record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .countermeasures import MEANT_FOR
from .guessing import Answer

__all__ = ["BAR", "POWER", "Finding", "Report"]

BAR = 0.05
"""How far above chance the upper bound may lie."""

POWER = 0.2
"""How far above chance the lower bound must lie once a counter-measure is off."""

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
        scored: patches that were needed to ask this, if the answers count something else.
    """

    images: str
    question: str
    chance: float
    answers: Sequence[Answer]
    groups: Mapping[str, float] = field(default_factory=dict)
    has_bar: bool = True
    scored: int | None = None

    @property
    def best(self) -> Answer:
        """The answer with the larger upper bound."""
        return max(self.answers, key=lambda answer: answer.high)

    @property
    def is_shortcut(self) -> bool:
        """Whether an answer is right more often than by chance, and its upper bound lies above the bar."""
        return self.has_bar and any(a.low > self.chance and a.high > self.chance + BAR for a in self.answers)

    @property
    def is_settled(self) -> bool:
        """Whether this is a shortcut, or all upper bounds are below the bar; else there were too few samples."""
        return self.is_shortcut or not self.has_bar or self.best.high <= self.chance + BAR

    @property
    def samples_needed(self) -> int:
        """About how many samples settle the question, however it turns out; 0 where it is settled.

        An interval narrower than 5 points cannot both hold chance and reach above the bar. Its width goes with the root
        of the number.
        """
        if self.is_settled:
            return 0
        widest = max(self.answers, key=lambda answer: answer.high - answer.low)
        scored = widest.samples if self.scored is None else self.scored
        return 100 * math.ceil(1.1 * scored * ((widest.high - widest.low) / BAR) ** 2 / 100)  # 1.1: it is an estimate

    def as_dict(self) -> dict[str, Any]:
        """Return everything by name, for JSON."""
        return {
            "images": self.images,
            "question": self.question,
            "chance": self.chance,
            "bar": self.chance + BAR if self.has_bar else None,
            "is_shortcut": self.is_shortcut if self.has_bar else None,
            "is_settled": self.is_settled if self.has_bar else None,
            "samples_needed": self.samples_needed,
            "answers": [answer.as_dict() for answer in self.answers],
            "groups": dict(self.groups),
        }


@dataclass(frozen=True)
class Report:
    """An audit.

    Attributes:
        bundle: name of the bundle.
        question: what was asked, in words.
        findings: one for each kind of images, and two of a jigsaw.
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
        """Whether no shortcut was found, and there were samples enough to say so."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """Of the command: 1 if a shortcut was found, 3 if there were too few samples to say, else 0."""
        if any(finding.is_shortcut for finding in self.findings):
            return 1
        return 0 if all(finding.is_settled for finding in self.findings) else 3

    def has_power(self) -> dict[str, bool]:
        """Say for each counter-measure that was switched off whether the audit noticed, on the fixture it is for."""
        judged = [finding for finding in self.findings if finding.has_bar]
        found = {name: [one for one in judged if one.images == MEANT_FOR[name]] for name in self.without}
        return {
            name: any(answer.low > one.chance + POWER for one in several for answer in one.answers)
            for name, several in found.items()
            if several
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
            lines += self._reasons(finding)
        lines += [*self.notes, *self._power()]
        return "\n".join([*lines, self._verdict()])

    def _table(self) -> list[str]:
        rows = [("images", "guessed by", "right", "chance", "at least", "at most", "bar", "samples", "volumes")]
        for finding in self.findings:
            bar = _percent(finding.chance + BAR) if finding.has_bar else "none"
            for answer in finding.answers:
                shares = (_percent(share) for share in (answer.right, finding.chance, answer.low, answer.high))
                counts = (str(answer.samples), str(answer.units))
                rows.append((self._name(finding), answer.way, *shares, bar, *counts))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        pads = [str.ljust] * 2 + [str.rjust] * 7
        return [
            "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip()
            for row in rows
        ]

    def _power(self) -> list[str]:
        return [
            f"Power: with '{name}' off the audit {'notices it' if noticed else 'does not notice it'} on "
            f"'{MEANT_FOR[name]}' ('at least' {'lies' if noticed else 'must lie'} more than {100 * POWER:.0f} points "
            "above chance)."
            for name, noticed in self.has_power().items()
        ]

    def _verdict(self) -> str:
        judged = [finding for finding in self.findings if finding.has_bar]
        if not judged:
            why = "these images show anatomy" if self.findings[0].images == "own" else "these views have no classes"
            return f"verdict: none, for {why}, and no bar holds for them (see docs/audit.md)"
        parts = [f"shortcut found on {names}"] if (names := self._names(f for f in judged if f.is_shortcut)) else []
        if open_ones := [finding for finding in judged if not finding.is_settled]:
            needed = max(finding.samples_needed for finding in open_ones)
            parts.append(f"not settled on {self._names(open_ones)}: too few samples, about {needed} are enough")
        return f"verdict: {'; '.join(parts) or f'no shortcut found on {self._names(judged)}'}"

    def _names(self, findings: Iterable[Finding]) -> str:
        return ", ".join(self._name(finding) for finding in findings)

    def _name(self, finding: Finding) -> str:
        several = len({one.question for one in self.findings}) > 1
        return f"{finding.images} ({finding.question})" if several else finding.images

    def _reasons(self, finding: Finding) -> list[str]:
        if not finding.groups:
            return []
        parts = [f"{_REASONS[group]} {_percent(right)}" for group, right in list(finding.groups.items())[:3]]
        return [f"{self._name(finding)}, by one kind of statistic alone: {', '.join(parts)}."]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
