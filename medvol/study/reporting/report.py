"""The report of a study: one page to read, and the same numbers as Markdown, JSON and CSV."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvol.bundles.together import replace_together

from . import markdown, page
from .appendix import published_section, reading_section, recipe_section
from .curve_sections import convergence_section, tuning_section
from .document import Document, Section
from .findings import Findings, find
from .patient_sections import cases_section, patients_section
from .robustness_section import robustness_section
from .score_sections import differences_section, efficiency_section, given_section, scores_section
from .summary import answer, claims, notices, overview

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compose", "write_report"]


def write_report(
    folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, images: bool = True
) -> Path:
    """Write the report of a study, finished or not; equal results give equal bytes.

    ``report.html`` needs no other file and no network; beside it lie ``report.md``, ``report.json`` (all numbers but
    the scores of single cases), ``scores.csv``, ``verdicts.csv``, ``convergence.csv``, ``equivalence.csv``,
    ``robustness.csv``, ``runs.csv`` and every plot as PNG. All of them are written, or none.

    Args:
        folder: study folder.
        out: folder to write to; ``report`` in the study folder if not given.
        images: whether the page shows test cases, which are images of patients; no other file does.

    Returns:
        The page.

    Raises:
        FileNotFoundError: there is no study in the folder.
        ValueError: the study's files cannot be read, or ``out`` is a file.
        OSError: the files cannot be written; what was there before is there again.
    """
    folder = Path(folder)
    out = folder / "report" if out is None else Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder for the report; found the file {out}; give another one")
    findings = find(folder)
    document = compose(findings, images)
    files = {f"{name}.csv": _csv(frame) for name, frame in _frames(findings).items()}
    files |= {f"{picture.name}.png": picture.content for picture in document.pictures if not picture.private}
    files["report.json"] = _json(findings, [name for name in files if name.endswith(".png")])
    files["report.md"] = markdown.render(document).encode()
    files["report.html"] = page.render(document).encode()
    stale = [out / name for name in _earlier(out) if name not in files]
    replace_together({out / name: content for name, content in files.items()}, stale)
    return out / "report.html"


def compose(findings: Findings, images: bool = True) -> Document:
    """Say everything in the order in which it is read: the verdict first.

    Args:
        findings: results of a study.
        images: whether to show test cases.
    """
    sections: list[Section] = [
        differences_section(findings),
        scores_section(findings),
        efficiency_section(findings),
        convergence_section(findings),
        patients_section(findings),
        robustness_section(findings),
        tuning_section(findings),
        given_section(findings),
        *([cases_section(findings)] if images else []),
        published_section(findings),
        recipe_section(findings),
        reading_section(findings),
    ]
    filled = tuple(section for section in sections if section.parts)
    title = f"Study: {findings.study.name}"
    found = notices(findings)
    return Document(
        title, findings.study.question, answer(findings), found, claims(findings), overview(findings), filled
    )


def _frames(findings: Findings) -> dict[str, pd.DataFrame]:
    import pandas as pd

    fields = [verdict.as_dict() for verdict in findings.verdicts]
    return {
        "runs": findings.collected.runs,
        "scores": findings.collected.scores,
        "verdicts": pd.DataFrame(fields),
        "convergence": findings.convergence,
        "equivalence": findings.equivalence,
        "robustness": findings.robustness,
    }


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _json(findings: Findings, plots: list[str]) -> bytes:
    study = findings.study
    content = {
        "name": study.name,
        "question": study.question,
        "answer": answer(findings),
        "margin": study.margin,
        "problems": findings.collected.problems,
        "study": study.raw,
        # The scores of single cases can be hundreds of thousands; they are in scores.csv.
        **{name: _records(frame) for name, frame in _frames(findings).items() if name != "scores"},
        "tuning": _records(findings.collected.tuning),
        "plots": plots,
    }
    return (json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict(orient="records")


def _plain(value: Any) -> Any:
    """What JSON can hold: a number that is not finite is null."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _earlier(out: Path) -> list[str]:
    """The plots of a report that was written here before."""
    try:
        names = json.loads((out / "report.json").read_text(encoding="utf-8"))["plots"]
        return [name for name in names if Path(name).name == name and name.endswith(".png")]
    except (OSError, ValueError, KeyError, TypeError):
        return []
