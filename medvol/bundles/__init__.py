"""Find, guard and run bundles."""

from __future__ import annotations

from .guard import guard
from .identity import run_hash
from .inherit import results_dir
from .refusal import GuardError
from .root import bundle_root, running_workflow
from .run import run
from .runs import passport

__all__ = ["GuardError", "bundle_root", "guard", "passport", "results_dir", "run", "run_hash", "running_workflow"]
