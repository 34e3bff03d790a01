"""The supply of batches: where a loader begins, and what to say when it ends too early."""

from __future__ import annotations

from collections.abc import Iterable


def start_at(loader: Iterable, micro_batch: int) -> None:
    """Let a loader begin after the first ``micro_batch`` micro-batches.

    Args:
        loader: with a ``stream`` that has a ``start_batch``; any loader can begin at 0.
        micro_batch: micro-batches to leave out.

    Raises:
        ValueError: when the loader cannot begin in the middle.

    Example:
        >>> start_at([1, 2, 3], 0)
    """
    stream = getattr(loader, "stream", None)
    if stream is not None:
        stream.start_batch = micro_batch
    elif micro_batch > 0:
        raise ValueError(
            f"expected a loader with a .stream, to continue after batch {micro_batch}, found {type(loader).__name__}; "
            "use medvol.data.stream_loader, or start anew with --restart True"
        )


def refuse_dry_loader(step: int, steps: int) -> None:
    """Say that a loader gave too few batches.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        f"expected batches for {steps} optimizer steps, found that the loader ended at step {step}; "
        "give a loader that is not empty and can be iterated again (no generator)"
    )
