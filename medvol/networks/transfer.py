# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Pre-trained weights into a library network: strict, by tensor, with a report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medvol.distributed import is_main
from medvol.passport import read_passport

from .channels import ChannelMap, read_adapt
from .classifier import Classifier
from .encoder import Encoder
from .registry import encoder_keys, input_paths, is_listed, output_keys
from .weights import find_weights, read_weights

__all__ = ["load_pretrained"]

SCOPES = {"encoder": "encoder", "all": "all but the output layer", "network": "every layer"}
"""What ``load_pretrained`` may be asked for, and how the report calls it."""


def load_pretrained(
    network: nn.Module,
    weights: str | os.PathLike[str] | None,
    scope: str = "encoder",
    adapt: Sequence[str] | Mapping[str, Any] | None = None,
) -> nn.Module:
    """Loads pre-trained weights into a network, completely or not at all, and prints what happened to the tensors.

    Strict: each tensor of the scope must be in the file with its shape (a tensor that the network lists under two names
    may have either), and the file may hold nothing that the network does not know. The one prefix stripped is
    ``module.``, if every name has it. On refusal nothing in the network has changed.

    Args:
        network: a library network of the encoder table, or an ``Encoder``; with scope "network", any module. Changed in
            place.
        weights: as for ``find_weights``: a path, "cpc3d@latest", "cpc3d@<run>", "cpc3d"; None, "none", "null" or ""
            leave the network as it is (scratch).
        scope: "encoder" loads the encoder and leaves the rest new; "all" loads everything but the output layer, for
            another label set; "network" loads everything, for an evaluation.
        adapt: modality names of the network's input channels, in order. The input layers are then mapped from the names
            in the file's passport (see ``ChannelMap``). ``{"modalities": [...], "missing": "mean" | "random" |
            "error"}`` says what a name takes that pre-training has not seen; the default is "mean". None: channels
            stay as they are in the file.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: when no such weights exist.
        ValueError: when the file does not fit: another architecture, a missing, misshapen or unknown tensor, channels
            that cannot be mapped, or something that is no plain state dict.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> net = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4))
        >>> load_pretrained(net, "none") is net
        BasicUNet: from scratch, no weights loaded
        True
    """
    if scope not in SCOPES:
        raise ValueError(f"scope expects one of {list(SCOPES)}, found {scope!r}; choose one of them.")
    path = find_weights(weights)
    if path is None:
        _say([f"{type(network).__name__}: from scratch, no weights loaded"])
        return network
    passport = read_passport(path) or {}
    plan = _Plan(network, path, scope)
    plan.match(_strip_module(read_weights(path)))
    channels = None if adapt is None else plan.adapt(*read_adapt(adapt), passport.get("modalities"))
    plan.check()
    with torch.no_grad():
        for name, value in plan.found.items():
            plan.tensors[name].copy_(value)
    _say(plan.report(passport, channels))
    return network


@dataclass
class _Plan:
    """What will be copied where, worked out and checked before the network is touched."""

    network: nn.Module
    path: Path
    scope: str
    found: dict[str, torch.Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    twofold: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = self.network.state_dict(keep_vars=True)
        self.names: dict[int, list[str]] = {}
        for name, tensor in self.tensors.items():
            self.names.setdefault(_identity(tensor), []).append(name)
        # by tensor, not by name: those of the encoder and of the output layer may have a second name outside of it
        if self.scope == "encoder":
            wanted = self._tensors(encoder_keys(self.network))
        else:
            wanted = self.names.keys() - self._tensors(output_keys(self.network) if self.scope == "all" else ())
        self.wanted = [identity for identity in self.names if identity in wanted]
        self.inputs = [f"{path}.weight" for path in input_paths(self.network)] if is_listed(self.network) else []

    def _tensors(self, names: Iterable[str]) -> set[int]:
        return {_identity(self.tensors[name]) for name in names}

    def match(self, file: Mapping[str, torch.Tensor]) -> None:
        """Finds every wanted tensor in the file, under any of its names."""
        for identity in self.wanted:
            names = self.names[identity]
            values = [file[name] for name in names if name in file]
            if not values:
                self.missing.append(names[0])
            elif not all(value.shape == values[0].shape and torch.equal(value, values[0]) for value in values):
                self.twofold.append(names[0])
            else:
                self.found[names[0]] = values[0]
        # An encoder takes the file of a whole network of its kind, whose other tensors it leaves aside.
        known = self.network._network_keys if isinstance(self.network, Encoder | Classifier) else self.tensors.keys()
        self.unknown = [name for name in file if name not in known]

    def adapt(self, target: tuple[str, ...], missing: str, source: Sequence[str] | None) -> ChannelMap | None:
        """Maps the input layers found in the file to the target's channels; returns the map that was used."""
        if not self.inputs:
            raise ValueError(
                f"adapt expects a network of the encoder table, found {type(self.network).__name__}, whose "
                "input layers are not known; register it with register_encoder, or leave adapt out."
            )
        channels = self.tensors[self.inputs[0]].shape[1]
        if len(target) != channels:
            raise ValueError(
                f"adapt expects one modality for each of the network's {channels} channels, found {list(target)}; "
                "name every channel."
            )
        if not source:
            return None  # equal counts then load in the file's order; check() refuses unequal ones
        mapping = ChannelMap(tuple(source), target, missing)
        if mapping.is_identity:
            return None
        if any(name not in self.tensors for name in self.inputs):
            raise ValueError(
                f"mapping {list(source)} to {list(target)} expects weights at every input layer, found an identity "
                "shortcut at the input; keep the file's channels, or pre-train with another first width."
            )
        for name in self.inputs:
            value = self.found.get(name)
            if value is None or _other_axes(value) != _other_axes(self.tensors[name]):
                continue  # missing or misshapen: for check()
            if value.shape[1] != len(source):
                raise ValueError(
                    f"the passport of {self.path} names {len(source)} modalities, found {value.shape[1]} channels in "
                    f"{name}; it belongs to other weights, copy the right one."
                )
            self.found[name] = mapping.apply(value, self.tensors[name])
            self.adapted.append(name)
        return mapping

    def check(self) -> None:
        """Refuses everything that does not fit, at once."""
        wrong = [name for name, value in self.found.items() if value.shape != self.tensors[name].shape]
        problems = [
            _count(self.missing, "missing"),
            _count([self._shapes(name) for name in wrong], "of another shape"),
            _count(self.unknown, "unknown to the network"),
            _count(self.twofold, "stored twice with different values"),
        ]
        if not any(problems):
            return
        remedy = "build the network as the pre-training run did (weights of another architecture are never loaded)."
        if wrong and not (self.missing or self.unknown or self.twofold) and set(wrong) <= set(self.inputs):
            remedy = (
                "if only the input channels differ, name them with adapt=[...] and keep passport.json, which names "
                "those of the file, beside it."
            )
        raise ValueError(
            f"load_pretrained(scope={self.scope!r}) expects the {len(self.wanted)} tensors of {self._title()} in "
            f"{self.path}, found {len(self.found) - len(wrong)}: {'; '.join(filter(None, problems))}; {remedy}"
        )

    def report(self, passport: Mapping[str, Any], channels: ChannelMap | None) -> list[str]:
        """The lines printed after loading."""
        data = passport.get("data") or {}
        synthetic = ", synthetic" if data.get("synthetic") else ""
        known = [f"{key} {passport[key]}" for key in ("bundle", "run") if passport.get(key) is not None]
        known += [f"data {data.get('name')} ({str(data.get('hash'))[:8]}{synthetic})"] if data else []
        known += [f"channels {'/'.join(passport.get('modalities') or ['unnamed'])}"]
        known += [f"{passport[key]} {key}" for key in ("steps", "examples") if passport.get(key) is not None]
        new = len(self.names) - len(self.found)
        lines = [
            f"{self._title()} from {self.path}: {len(self.found) - len(self.adapted)} tensors loaded, "
            f"{len(self.adapted)} adapted, {new} new",
            f"  {', '.join(known)}"
            if passport
            else "  no passport beside the file: run, data and channel names are unknown",
        ]
        return lines + [f"  adapted {name}: {channels}" for name in self.adapted]

    def _title(self) -> str:
        return f"{type(self.network).__name__}, {SCOPES[self.scope]}"

    def _shapes(self, name: str) -> str:
        return f"{name} {tuple(self.found[name].shape)} in the file, {tuple(self.tensors[name].shape)} in the network"


def _identity(tensor: torch.Tensor) -> int:
    return tensor.data_ptr() or id(tensor)  # an empty tensor has no address


def _other_axes(weight: torch.Tensor) -> tuple[int, ...]:
    """The shape without the axis of input channels."""
    return (*weight.shape[:1], *weight.shape[2:], weight.ndim)


def _count(names: Sequence[str], what: str) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown})" if names else ""


def _strip_module(file: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if all(name.startswith("module.") for name in file):
        return {name.removeprefix("module."): value for name, value in file.items()}
    return file


def _say(lines: Sequence[str]) -> None:
    if is_main():
        print("\n".join(lines))
