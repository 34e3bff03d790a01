"""Find, guard and run bundles."""

from __future__ import annotations

from .guard import GuardError, guard
from .identity import run_hash
from .root import bundle_root, running_workflow
from .run import run

__all__ = ["GuardError", "bundle_root", "guard", "run", "run_hash", "running_workflow"]
