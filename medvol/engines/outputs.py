"""Lets MONAI's logging handlers read the output of a trainer that does not decollate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def unpack_single_outputs(handler: Any) -> None:
    """Let MONAI's logging handlers read a whole batch.

    ``from_engine("loss", first=True)``, their usual ``output_transform``, gives a value for decollated outputs, but a
    tuple with that value for a dict, which ``MLFlowHandler`` and ``StatsHandler`` do not take.
    """
    transform = getattr(handler, "output_transform", None)
    if callable(transform):
        handler.output_transform = _Unpacked(transform)


class _Unpacked:
    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __call__(self, output: Any) -> Any:
        value = self.transform(output)
        return value[0] if isinstance(value, tuple) and len(value) == 1 else value
