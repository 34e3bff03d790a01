# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Parameter groups for fine-tuning: another learning rate for the encoder, no weight decay where it does harm."""

from __future__ import annotations

from typing import Any

from torch import nn

from . import library as library  # noqa: PLC0414  (fills the encoder table)
from .registry import encoder_modules, is_listed

__all__ = ["parameter_groups"]


def parameter_groups(
    network: nn.Module, learning_rate: float, encoder_scale: float = 1.0, weight_decay: float = 1e-2
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: another learning rate for the encoder, no weight decay for norms and biases.

    Args:
        network: a library network of the encoder table, an ``Encoder``, or a module that contains one of them.
        learning_rate: of everything outside of the encoder.
        encoder_scale: the encoder's learning rate as a multiple of ``learning_rate``.
        weight_decay: of every parameter with two or more axes.

    Returns:
        Up to four groups (encoder or rest, with or without decay), each with ``name``, ``params``, ``lr`` and
        ``weight_decay``; every trainable parameter is in exactly one, none is empty. A parameter that does not require
        a gradient now is in none: freeze after building the optimizer, not before.

    Raises:
        ValueError: when a rate is out of range, nothing is trainable, or another rate is asked for an encoder that is
            not there.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> net = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4))
        >>> [(g["name"], g["lr"], g["weight_decay"]) for g in parameter_groups(net, 0.5, encoder_scale=0.5)]
        [('encoder', 0.25, 0.01), ('encoder, no decay', 0.25, 0.0), ('rest', 0.5, 0.01), ('rest, no decay', 0.5, 0.0)]
    """
    if learning_rate <= 0 or encoder_scale < 0 or weight_decay < 0:
        raise ValueError(
            "learning_rate > 0, encoder_scale >= 0 and weight_decay >= 0 are expected, found "
            f"{learning_rate}, {encoder_scale}, {weight_decay}; correct the value."
        )
    listed = [network] if is_listed(network) else [module for module in network.modules() if is_listed(module)]
    encoder = {id(p) for net in listed for module in encoder_modules(net) for p in module.parameters()}
    if not encoder and encoder_scale != 1.0:
        raise ValueError(
            f"encoder_scale={encoder_scale} expects an encoder of the table, found none in {type(network).__name__}; "
            "register it with register_encoder, or leave encoder_scale at 1."
        )
    groups: dict[str, dict[str, Any]] = {}
    for part, rate in (("encoder", learning_rate * encoder_scale), ("rest", learning_rate)):
        groups[part] = {"name": part, "params": [], "lr": rate, "weight_decay": weight_decay}
        groups[f"{part}, no decay"] = {"name": f"{part}, no decay", "params": [], "lr": rate, "weight_decay": 0.0}
    for parameter in network.parameters():  # each once, also where two names share it
        if parameter.requires_grad:
            part = "encoder" if id(parameter) in encoder else "rest"
            groups[part if parameter.ndim > 1 else f"{part}, no decay"]["params"].append(parameter)
    filled = [group for group in groups.values() if group["params"]]
    if not filled:
        raise ValueError(f"trainable parameters are expected, found none in {type(network).__name__}; unfreeze some.")
    return filled
