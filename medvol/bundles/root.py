"""Which bundle is running, and where does it stand."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow


def running_workflow() -> ConfigWorkflow | None:
    """Find the ``ConfigWorkflow`` that evaluates the calling config expression, by walking up the call stack.

    MONAI gives expressions no handle on their workflow, and a bundle's folder cannot be written into its own config
    (``"."`` is the user's current folder).

    Returns:
        The innermost running workflow, or ``None`` outside of one.

    Example:
        >>> running_workflow() is None
        True
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigWorkflow) and "config_root_path" in owner.__dict__:
            return owner
        frame = frame.f_back
    return None


def bundle_root(default: str = ".") -> str:
    """Return the absolute folder of the running bundle, from any working directory.

    Args:
        default: what to return when no workflow is running.

    Example:
        >>> bundle_root("here")
        'here'
    """
    workflow = running_workflow()
    if workflow is None:
        return default
    folder = Path(workflow.config_root_path).absolute()
    return str(folder.parent if folder.name == "configs" else folder)


def config_files() -> tuple[str, ...]:
    """Return the config files that the running ``monai.bundle run`` was given, () when they cannot be known."""
    frame = inspect.currentframe()
    while frame is not None:
        files: Any = frame.f_locals.get("config_file")
        if files is not None and frame.f_code.co_name in ("create_workflow", "run", "load"):
            return tuple(str(f) for f in ([files] if isinstance(files, (str, os.PathLike)) else files))
        frame = frame.f_back
    return ()
