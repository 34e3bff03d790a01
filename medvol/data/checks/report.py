"""What a verification found, as text, JSON and one page of HTML."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .finding import KINDS, SEVERITIES, Finding

_REMEDIES = 3  # different remedies that the text shows of one kind


@dataclass(frozen=True)
class Report:
    """The findings on one manifest.

    Attributes:
        name: the manifest's.
        findings: the worst first, then by kind, in the manifest's order.
        counts: how many ``files``, ``items`` and ``patients`` were looked at, in how many ``seconds``.
        checksums: SHA-256 of every file that was read, by its path in the manifest.

    Example:
        >>> report = Report("demo", [], {"files": 2, "items": 2, "patients": 1, "seconds": 0.1})
        >>> report.verdict
        'demo: no error, no warning, no note in 2 files of 2 items from 1 patient (0.1 s): ready for training'
    """

    name: str
    findings: list[Finding]
    counts: dict[str, float]
    checksums: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = list(KINDS)
        rank = {kind: i for i, kind in enumerate(kinds)}
        ordered = sorted(
            self.findings,
            key=lambda one: (SEVERITIES.index(one.problem.severity), rank.get(one.problem.kind, len(kinds))),
        )
        object.__setattr__(self, "findings", ordered)

    @property
    def errors(self) -> list[Finding]:
        """The findings that forbid training."""
        return [finding for finding in self.findings if finding.problem.severity == "error"]

    @property
    def exit_code(self) -> int:
        """1 if there are errors, else 0."""
        return int(bool(self.errors))

    @property
    def verdict(self) -> str:
        """One line: how much was found in how much, and what follows."""
        severities = Counter(finding.problem.severity for finding in self.findings)
        found = ", ".join(_counted(severities[severity], severity) for severity in SEVERITIES)
        files, items, patients = (_counted(int(self.counts.get(f"{word}s", 0)), word) for word in _SEEN)
        advice = "ready for training"
        if severities["error"]:
            advice = "not ready for training"
        elif severities["warning"]:
            advice = "ready for training once the warnings are understood"
        seconds = self.counts.get("seconds", 0.0)
        return f"{self.name}: {found} in {files} of {items} from {patients} ({seconds:.1f} s): {advice}"

    def groups(self) -> dict[tuple[str, str], list[Finding]]:
        """Return the findings by (severity, kind), the worst first."""
        groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in self.findings:
            groups[finding.problem.severity, finding.problem.kind].append(finding)
        return dict(groups)

    def text(self, limit: int = 5) -> str:
        """Return the report for a terminal: the verdict, then each kind with its first places and the remedy.

        Args:
            limit: places shown of each kind; 0 for all.
        """
        lines = [self.verdict]
        for (severity, kind), findings in self.groups().items():
            lines += ["", f"{severity.upper()} {kind}: {_counted(len(findings), 'finding')} ({KINDS.get(kind, kind)})"]
            shown = findings[: limit or None]
            lines += [f"  {_place(one)}: {one.problem.found} (expected: {one.problem.expected})" for one in shown]
            if len(findings) > len(shown):
                lines.append(f"  ... and {len(findings) - len(shown)} more")
            lines += [f"  -> {remedy}" for remedy in _unique(one.problem.remedy for one in findings)[:_REMEDIES]]
        return "\n".join(lines)

    def json(self) -> str:
        """Return the report as a JSON object: ``manifest``, ``verdict``, ``counts``, ``severities``, ``findings``."""
        severities = {s: sum(one.problem.severity == s for one in self.findings) for s in SEVERITIES}
        content = {
            "manifest": self.name,
            "verdict": self.verdict,
            "counts": self.counts,
            "severities": severities,
            "findings": [self._row(finding) for finding in self.findings],
        }
        return json.dumps(content, indent=1)

    def html(self) -> str:
        """Return the report as one HTML page that needs no other file and no network."""
        from .page import render  # jinja2 loads only where it is used

        return render(self)

    @staticmethod
    def _row(finding: Finding) -> dict[str, Any]:
        place = {"section": finding.section, "case": finding.case, "file": finding.file}
        problem = finding.problem
        what = {"severity": problem.severity, "kind": problem.kind}
        return {**what, **place, "expected": problem.expected, "found": problem.found, "remedy": problem.remedy}


_SEEN = ("file", "item", "patient")


def _counted(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'s' * (count > 1)}"


def _place(finding: Finding) -> str:
    return " ".join(part for part in (finding.section, finding.case, finding.file) if part) or "manifest"


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
