"""Keep what a run prints in a file, so that a person sees the study and not the chatter of its runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

__all__ = ["output_into"]


@contextmanager
def output_into(file: str | os.PathLike[str]) -> Iterator[None]:
    r"""Append to a file what a block prints to the standard output and the standard error.

    What libraries written in C and the workers of data loaders print goes there, too.

    Args:
        file: the file; its folder is made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with output_into(Path(folder) / "a.log"):
        ...         print("hidden")
        ...     (Path(folder) / "a.log").read_text(encoding="utf-8")
        'hidden\n'
    """
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        try:
            with _descriptors(log), redirect_stdout(log), redirect_stderr(log):
                yield
        finally:
            _detach(log)


@contextmanager
def _descriptors(log: TextIO) -> Iterator[None]:
    """Let the descriptors 1 and 2 point to the log."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    saved = {}
    for descriptor in (1, 2):
        try:
            saved[descriptor] = os.dup(descriptor)
        except OSError:  # closed, as under some services
            continue
        os.dup2(log.fileno(), descriptor)
    try:
        yield
    finally:
        log.flush()
        for descriptor, before in saved.items():
            os.dup2(before, descriptor)
            os.close(before)


def _detach(log: TextIO) -> None:
    """Take away the handlers that a bundle's logging.conf bound to the log, which is closed now."""
    loggers = [logging.root, *(item for item in logging.root.manager.loggerDict.values())]
    for logger in loggers:
        for handler in list(getattr(logger, "handlers", ())):
            if getattr(handler, "stream", None) is log:
                logger.removeHandler(handler)
