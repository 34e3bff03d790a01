"""Give back what a run took: memory, also of the GPU, and the workers of its data loaders."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import torch

__all__ = ["freeing"]


@contextlib.contextmanager
def freeing() -> Iterator[None]:
    """Free at the end what a block has made and nothing holds any more.

    Parsers, engines and handlers hold one another in circles, which the interpreter may leave for hours, and with them
    the workers of data loaders, the cached images and the memory of the GPU. What an error's traceback holds stays
    until the error is gone.

    Example:
        >>> with freeing():
        ...     circle = []
        ...     circle.append(circle)
        ...     del circle
    """
    whole = gc.get_freeze_count() == 0
    if whole:
        gc.freeze()  # looking through all that torch and MONAI brought along would take a third of a second
    try:
        yield
    finally:
        gc.collect()
        if whole:
            gc.unfreeze()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
