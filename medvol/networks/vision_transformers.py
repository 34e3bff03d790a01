# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""The rows of the encoder table for MONAI's plain vision transformers; importing this module registers them.

Their encoder is the patch embedding with its positions, all blocks and the last norm: one map, the grid of the tokens
after the norm. It is what ``UNETR`` gives to the bottom of its decoder.

The class token of ``ViT(classification=True)`` is a parameter of the network itself and no part of the encoder: the map
is that of the same weights without it. Loading an encoder's file leaves it, and the classification head, as they are.
"""

from __future__ import annotations

from monai.networks.nets.unetr import UNETR
from monai.networks.nets.vit import ViT
from torch import nn

from .registry import EncoderRow, Stage, register_encoder
from .token_grid import TokenGrid

__all__: list[str] = []


def _stage(vit: ViT, prefix: str = "", grid: tuple[int, ...] | None = None) -> Stage:
    embedding = vit.patch_embedding
    layer = embedding.patch_embeddings
    if not isinstance(layer, nn.Conv2d | nn.Conv3d):
        raise ValueError(
            f"an encoder needs a transformer with proj_type='conv'; found {embedding.proj_type!r}; build it with "
            "proj_type='conv', which computes the same from the same number of weights"
        )
    size = tuple(int(s) for s in layer.stride)
    blocks = (f"{prefix}blocks.{n}" for n in range(len(vit.blocks)))
    paths = (f"{prefix}patch_embedding", *blocks, f"{prefix}norm")
    tokens = TokenGrid(size, embedding.position_embeddings.shape[1], grid)
    return Stage(paths, layer.out_channels, size, tokens=tokens)


def _vit_stages(network: ViT) -> list[Stage]:
    return [_stage(network)]


def _vit_inputs(network: ViT) -> list[str]:
    return ["patch_embedding.patch_embeddings"]


def _vit_outputs(network: ViT) -> list[str]:
    return ["classification_head"]


def _unetr_stages(network: UNETR) -> list[Stage]:
    return [_stage(network.vit, "vit.", tuple(int(n) for n in network.feat_size))]


def _unetr_inputs(network: UNETR) -> list[str]:
    # encoder1 lies outside of the encoder, but reads the image too
    paths = ["vit.patch_embedding.patch_embeddings", "encoder1.layer.conv1.conv"]
    residual = type(network.encoder1.layer).__name__ == "UnetResBlock"
    return [*paths, "encoder1.layer.conv3.conv"] if residual else paths


def _unetr_outputs(network: UNETR) -> list[str]:
    return ["out"]


register_encoder(ViT, EncoderRow(_vit_stages, _vit_inputs, _vit_outputs, full_size=False))
register_encoder(UNETR, EncoderRow(_unetr_stages, _unetr_inputs, _unetr_outputs))
