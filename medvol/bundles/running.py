"""Run a bundle from Python, as ``python -m monai.bundle run`` does from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from . import opening
from .freeing import freeing


def run(bundle: str | Path, config: str = "train.json", **overrides: Any) -> Path | None:
    """Run one config of a bundle in this process, or skip it when that very run has finished.

    Neither the memory nor the workers of the run are left behind, unless it fails and somebody keeps the error.

    Args:
        bundle: a bundle's name, folder or config file.
        config: the config file inside of the bundle, with or without its suffix; ignored when ``bundle`` is a config
            file itself.
        **overrides: values for top-level or nested keys, as ``steps=2`` or ``**{"train::trainer::clip_norm": 1.0}``.

    Returns:
        The run's folder, ``None`` for a config without a run (inference, evaluation).

    Raises:
        FileNotFoundError: no such bundle, or no such config in it; the message names those there are.
        GuardError: when the bundle refuses to start.
    """
    # `config_files` looks for this very name in this function, as it finds it in MONAI's own `run`.
    config_file = str(opening.config_file(bundle, config))
    kind = "train" if "train" in Path(config_file).name else "infer"
    with freeing():
        return _run(config_file, kind, overrides)


def _run(file: str, kind: str, overrides: dict[str, Any]) -> Path | None:
    # A function of its own: the workflow ends with it, and can be freed.
    workflow = ConfigWorkflow(config_file=file, workflow_type=kind, **overrides)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except SystemExit as end:
        if end.code not in (0, None):
            raise
    folder = workflow.parser.config.get("run_dir")
    return None if folder is None else Path(folder)
