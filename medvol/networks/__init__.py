# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Encoders out of library networks, pretext networks around them, and weight transfer."""

from .channels import ChannelMap
from .cpc import CPC
from .encoder import Encoder
from .groups import parameter_groups
from .patchwise import PatchEncoder
from .registry import (
    EncoderRow,
    Stage,
    encoder_keys,
    encoder_modules,
    known_networks,
    output_keys,
    register_encoder,
)
from .transfer import load_pretrained
from .weights import find_bundle, find_weights, read_weights, weights_hash

__all__ = [
    "CPC",
    "ChannelMap",
    "Encoder",
    "EncoderRow",
    "PatchEncoder",
    "Stage",
    "encoder_keys",
    "encoder_modules",
    "find_bundle",
    "find_weights",
    "known_networks",
    "load_pretrained",
    "output_keys",
    "parameter_groups",
    "read_weights",
    "register_encoder",
    "weights_hash",
]
