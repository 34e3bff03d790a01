"""Does pre-training help, how much, how sure, how fast: plan, run, tabulate, judge and report bundle runs."""

from __future__ import annotations

import importlib
from typing import Any

# Names load on first use: the command line parses its words before torch is needed.
_PLACES = {
    "Study": "planning.design",
    "collect": "tables.table",
    "judge": "judging.verdict",
    "load_study": "planning.reading",
    "make_plan": "planning.plan",
    "run_study": "running.run",
    "write_report": "reporting.report",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'medvol.study' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"medvol.study.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
