"""Find, guard, run and inspect bundles; preview, embed, export, pack and fetch what they make."""

from __future__ import annotations

import importlib
from typing import Any

# Names load on first use: the command line parses its words before torch is needed.
_PLACES = {
    "GuardError": "refusal",
    "bundle_root": "root",
    "guard": "guarding",
    "passport": "runs",
    "results_dir": "inherit",
    "run": "running",
    "run_hash": "identity",
    "running_workflow": "root",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'medvol.bundles' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"medvol.bundles.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
