# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Input channels of a pre-trained network, mapped to those of another one by modality name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["ChannelMap"]

_POLICIES = ("mean", "random", "error")


@dataclass(frozen=True)
class ChannelMap:
    """How the weights of the source channels become those of the target channels.

    A target channel takes the weights of the source channel of its name. If n target channels bear one name, each takes
    1/n of them, so that the response to a repeated input equals that to a single one. A name that the source lacks
    takes, by ``missing``: "mean", the mean over all source channels (1/n again for n channels of that name; the size of
    the response is *not* preserved); "random", the network's own initial weights; "error", a refusal.

    Args:
        source: names of the channels in the file, in order.
        target: names of the channels of the network, in order.
        missing: what a target channel takes whose name the source lacks.

    Raises:
        ValueError: when a name is missing under "error", or differs from a source name by case only.

    Example:
        >>> channels = ChannelMap(("t1", "flair"), ("flair", "t1", "flair"))
        >>> channels.matrix(torch.float32)
        tensor([[0.0000, 0.5000],
                [1.0000, 0.0000],
                [0.0000, 0.5000]])
        >>> print(channels)
        flair <- flair / 2, t1 <- t1, flair <- flair / 2
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    missing: str = "mean"

    def __post_init__(self) -> None:
        if self.missing not in _POLICIES:
            raise ValueError(f"missing expects one of {_POLICIES}, found {self.missing!r}; choose one of them.")
        absent = [name for name in self.target if name not in self.source]
        folded = {name.casefold(): name for name in self.source}
        for name in absent:
            if name.casefold() in folded:
                other = folded[name.casefold()]
                raise ValueError(f"modality names are exact: the file has {other!r}, found {name!r}; write {other!r}.")
        if absent and self.missing == "error":
            raise ValueError(
                f"every modality must be among those of pre-training, {list(self.source)}, found {absent}; use these "
                'names, or missing="mean".'
            )

    @property
    def is_identity(self) -> bool:
        """Whether the target has the source's channels in the source's order."""
        return self.source == self.target

    def matrix(self, dtype: torch.dtype) -> torch.Tensor:
        """Shares of the source channels in each target channel, ``(target, source)``; a "random" row is zero."""
        rows = torch.zeros(len(self.target), len(self.source), dtype=dtype)
        for t, name in enumerate(self.target):
            count = self.target.count(name)
            if name in self.source:
                rows[t] = torch.tensor([float(other == name) for other in self.source], dtype=dtype) / count
            elif self.missing == "mean":
                rows[t] = 1.0 / (len(self.source) * count)
        return rows

    def apply(self, weight: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Maps the weight of an input layer.

        Args:
            weight: the file's weight, ``(out, source, *kernel)``.
            current: the network's own weight, ``(out, target, *kernel)``.

        Returns:
            The new weight, shaped like ``current``.
        """
        mapped = torch.einsum("os...,ts->ot...", weight.double(), self.matrix(torch.float64)).to(weight.dtype)
        if self.missing == "random":
            new = [t for t, name in enumerate(self.target) if name not in self.source]
            mapped[:, new] = current.detach().cpu()[:, new].to(weight.dtype)
        return mapped

    def __str__(self) -> str:
        parts = []
        for name in self.target:
            count = self.target.count(name)
            share = f" / {count}" if count > 1 else ""
            if name in self.source:
                parts.append(f"{name} <- {name}{share}")
            elif self.missing == "mean":
                parts.append(f"{name} <- mean({', '.join(self.source)}){share}")
            else:
                parts.append(f"{name} <- initial weights")
        return ", ".join(parts)


def read_adapt(adapt: Sequence[str] | Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Target names and policy of a loader's ``adapt`` argument.

    Raises:
        ValueError: when it is neither a list of names nor a dict with ``modalities`` and at most ``missing`` besides.

    Example:
        >>> read_adapt({"modalities": ["t1"], "missing": "error"})
        (('t1',), 'error')
    """
    names, missing = adapt, "mean"
    if isinstance(adapt, Mapping):
        if set(adapt) - {"modalities", "missing"} or "modalities" not in adapt:
            raise ValueError(
                f"adapt expects the keys 'modalities' and 'missing', found {sorted(map(str, adapt))}; drop the others."
            )
        names, missing = adapt["modalities"], adapt.get("missing", "mean")
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f'adapt expects a list of modality names, found {names!r}; write it as ["t1", "flair"].')
    return tuple(names), missing
