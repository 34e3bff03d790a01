# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Encoders out of library networks, pretext networks around them, and weight transfer."""

from __future__ import annotations

import importlib
from typing import Any

# Names load on first use, so that a command that looks for a bundle or its weights does not wait for MONAI.
_PLACES = {
    "CPC": "cpc",
    "ChannelMap": "channels",
    "Classifier": "classifier",
    "Encoder": "encoder",
    "EncoderRow": "registry",
    "MaskedAutoencoder": "masked_autoencoder",
    "MaskedViT": "masked_vit",
    "PatchEncoder": "patchwise",
    "Projector": "projection",
    "Restoration": "restoration",
    "SetClassifier": "sets",
    "SimMIM": "simmim",
    "SparseAutoencoder": "sparse_autoencoder",
    "Stage": "registry",
    "encoder_keys": "registry",
    "encoder_modules": "registry",
    "find_bundle": "weights",
    "find_weights": "weights",
    "known_networks": "registry",
    "load_pretrained": "transfer",
    "output_keys": "registry",
    "parameter_groups": "groups",
    "read_weights": "weights",
    "register_encoder": "registry",
    "weights_hash": "weights",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'medvol.networks' has no attribute {name!r}")
    if _PLACES[name] != "weights":
        importlib.import_module("medvol.networks.library")  # fills the table that the others read
    value = getattr(importlib.import_module(f"medvol.networks.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
