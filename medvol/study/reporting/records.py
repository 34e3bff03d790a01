"""What the runs of a study say about themselves: their data, code, machine and time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RunRecord", "read_records"]


@dataclass(frozen=True)
class RunRecord:
    """State and passport of a run that has ended.

    Attributes:
        key: of the planned run.
        state: content of ``state/<key>.json``.
        passport: content of ``passport.json``; empty where there is none.
    """

    key: str
    state: dict[str, Any]
    passport: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The data set that it was trained on: ``name``, ``hash``, ``synthetic``, ``licence`` and more."""
        return self.passport.get("data") or {}

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the code that ran, by name."""
        return self.passport.get("versions") or self.state.get("versions") or {}

    @property
    def machine(self) -> str:
        """Processor, cores and threads in words."""
        found = self.state.get("machine") or {}
        parts = [str(found.get("processor") or ""), *(
            f"{found[name]} {word}{'' if found[name] == 1 else 's'}"
            for name, word in (("cores", "core"), ("torch_threads", "thread")) if found.get(name)
        )]  # fmt: skip
        return ", ".join(part for part in parts if part)


def read_records(folder: Path, keys: Iterable[str]) -> dict[str, RunRecord]:
    """Return the records of the runs that have ended, by key.

    A file that cannot be read counts as empty: :func:`medvol.study.tables.table.collect` is who reports it.

    Args:
        folder: study folder.
        keys: of the planned runs, in their order.
    """
    records = {}
    for key in keys:
        state = _read(folder / "state" / f"{key}.json")
        if state:
            place = state.get("run_dir")
            records[key] = RunRecord(key, state, _read(folder / place / "passport.json") if place else {})
    return records


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
