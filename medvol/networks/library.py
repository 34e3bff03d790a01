# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""The rows of the encoder table for MONAI's networks; importing this module registers them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from monai.networks.blocks.activation_checkpointing import ActivationCheckpointWrapper
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.efficientnet import EfficientNetBNFeatures
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE, FlexibleUNet
from monai.networks.nets.resnet import ResNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from torch import nn

from . import vision_transformers as vision_transformers  # noqa: PLC0414  (its rows)
from .registry import EncoderRow, Stage, register_encoder

__all__: list[str] = []


def _stride(stride: int | Sequence[int]) -> int | tuple[int, ...]:
    return tuple(int(s) for s in stride) if isinstance(stride, Sequence) else int(stride)


def _unet_walk(network: UNet) -> list[str]:
    """Paths of the down layers and of the bottom, following ``Sequential(down, SkipConnection(sub), up)``."""
    paths, path = [], "model"
    while True:
        block = network.get_submodule(path)
        if isinstance(block, ActivationCheckpointWrapper) and isinstance(block.module, nn.Sequential):
            path, block = f"{path}.module", block.module
        if not (isinstance(block, nn.Sequential) and len(block) == 3 and isinstance(block[1], SkipConnection)):
            return [*paths, path]
        paths.append(f"{path}.0")
        path = f"{path}.1.submodule"


def _unet_stages(network: UNet) -> list[Stage]:
    paths = _unet_walk(network)
    strides = [*network.strides[: len(paths) - 1], 1]  # the bottom does not downsample
    return [
        Stage((path,), channels, _stride(stride))
        for path, channels, stride in zip(paths, network.channels, strides, strict=True)
    ]


def _unet_inputs(network: UNet) -> list[str]:
    top = _unet_walk(network)[0]
    if isinstance(network.get_submodule(top), ActivationCheckpointWrapper):
        top = f"{top}.module"
    # ResidualUnit has two layers that read its input: the first unit and the shortcut (an Identity if shapes agree)
    return [f"{top}.conv.unit0.conv", f"{top}.residual"] if network.num_res_units > 0 else [f"{top}.conv"]


def _unet_outputs(network: UNet) -> list[str]:
    return ["model.2"]  # the topmost up layer works with out_channels throughout


def _basic_unet_stages(network: BasicUNet) -> list[Stage]:
    paths = ["conv_0", "down_1", "down_2", "down_3", "down_4"]
    twos = [network.conv_0, *(network.get_submodule(f"{path}.convs") for path in paths[1:])]
    widths = [two.get_submodule("conv_1.conv").out_channels for two in twos]
    return [Stage((path,), width, 1 if path == "conv_0" else 2) for path, width in zip(paths, widths, strict=True)]


def _basic_unet_inputs(network: BasicUNet) -> list[str]:
    return ["conv_0.conv_0.conv"]


def _basic_unet_outputs(network: BasicUNet) -> list[str]:
    return ["final_conv"]


def _dynunet_stages(network: DynUNet) -> list[Stage]:
    # adopted under these paths; ``skip_layers.*`` lists the same tensors a second time
    paths = ["input_block", *(f"downsamples.{n}" for n in range(len(network.downsamples))), "bottleneck"]
    return [
        Stage((path,), int(width), _stride(stride))
        for path, width, stride in zip(paths, network.filters, network.strides, strict=True)
    ]


def _dynunet_inputs(network: DynUNet) -> list[str]:
    paths = ["input_block.conv1.conv"]
    residual = type(network.input_block).__name__ == "UnetResBlock"
    return [*paths, "input_block.conv3.conv"] if residual else paths


def _dynunet_outputs(network: DynUNet) -> list[str]:
    return ["output_block", "deep_supervision_heads"]


def _segresnet_stages(network: SegResNet) -> list[Stage]:
    stem = ("convInit", "dropout") if network.dropout_prob is not None else ("convInit",)
    return [
        Stage(
            (*stem, "down_layers.0") if n == 0 else (f"down_layers.{n}",),
            network.init_filters * 2**n,
            1 if n == 0 else 2,
        )
        for n in range(len(network.down_layers))
    ]


def _segresnet_inputs(network: SegResNet) -> list[str]:
    return ["convInit.conv"]


def _segresnet_outputs(network: SegResNet) -> list[str]:
    return ["conv_final.2"]  # its norm (0) works on the decoder's width


def _segresnet_ds_stages(network: SegResNetDS) -> list[Stage]:
    if network.preprocess is not None and not isinstance(network.preprocess, nn.Module):
        raise ValueError(
            f"an encoder expects SegResNetDS.preprocess to be None or a torch.nn.Module, found {network.preprocess!r}; "
            "wrap the function in a module, or do this step in the transforms."
        )
    stem = ("encoder.conv_init",) if network.preprocess is None else ("preprocess", "encoder.conv_init")
    count, scales = len(network.encoder.layers), network.anisotropic_scales
    stages = []
    for n in range(count):
        before = stem if n == 0 else (f"encoder.layers.{n - 1}.downsample",)
        stride = 1 if n == 0 else _stride(scales[n - 1]) if scales else 2
        stages.append(Stage((*before, f"encoder.layers.{n}.blocks"), network.init_filters * 2**n, stride))
    return stages


def _segresnet_ds_inputs(network: SegResNetDS) -> list[str]:
    return ["encoder.conv_init"]


def _segresnet_ds_outputs(network: SegResNetDS) -> list[str]:
    # SegResNetDS2 has a second decoder
    ups = [path for path in ("up_layers", "up_layers_auto") if hasattr(network, path)]
    return [f"{path}.{n}.head" for path in ups for n in range(len(network.up_layers))]


def _channel_norm(x: torch.Tensor) -> torch.Tensor:
    """Layer norm without parameters over axis 1, as ``SwinTransformer.proj_out`` applies it to what it hands out."""
    return F.layer_norm(x.movedim(1, -1), [x.shape[1]]).movedim(-1, 1)


def _swin_stages(network: SwinUNETR) -> list[Stage]:
    swin, emit = network.swinViT, _channel_norm if network.normalize else None
    stages = [Stage(("swinViT.patch_embed", "swinViT.pos_drop"), swin.embed_dim, _stride(swin.patch_size), emit)]
    for n in range(1, 5):
        convolution = (f"swinViT.layers{n}c.0",) if swin.use_v2 else ()
        stages.append(Stage((*convolution, f"swinViT.layers{n}.0"), swin.embed_dim * 2**n, 2, emit, contiguous=True))
    return stages


def _swin_inputs(network: SwinUNETR) -> list[str]:
    # encoder1 lies outside of the encoder, but reads the image too
    return ["swinViT.patch_embed.proj", "encoder1.layer.conv1.conv", "encoder1.layer.conv3.conv"]


def _swin_outputs(network: SwinUNETR) -> list[str]:
    return ["out"]


def _flexible_stages(network: FlexibleUNet) -> list[Stage]:
    body, widths = network.encoder, FLEXUNET_BACKBONE.register_dict[network.backbone]["feature_channel"]
    if isinstance(body, EfficientNetBNFeatures):
        groups = _efficientnet_groups(body)
    else:
        pool = () if body.no_max_pool else ("maxpool",)
        groups = [("conv1", "bn1", "act"), (*pool, "layer1"), ("layer2",), ("layer3",), ("layer4",)]
    return [
        Stage(tuple(f"encoder.{path}" for path in group), width, 2) for group, width in zip(groups, widths, strict=True)
    ]


def _efficientnet_groups(body: EfficientNetBNFeatures) -> list[tuple[str, ...]]:
    # a map is handed out after the blocks listed in extract_stacks; _conv_head and _fc take no part in it
    groups: list[tuple[str, ...]] = []
    group = ["_conv_stem_padding", "_conv_stem", "_bn0", "_swish"]
    for n in range(len(body._blocks)):
        group.append(f"_blocks.{n}")
        if n + 1 in body.extract_stacks:
            groups.append(tuple(group))
            group = []
    return groups


def _flexible_inputs(network: FlexibleUNet) -> list[str]:
    return ["encoder._conv_stem" if isinstance(network.encoder, EfficientNetBNFeatures) else "encoder.conv1"]


def _flexible_outputs(network: FlexibleUNet) -> list[str]:
    return ["segmentation_head"]


def _resnet_stages(network: ResNet) -> list[Stage]:
    # maxpool is there even where the network's forward passes it by
    pool, halves = ((), 1) if network.no_max_pool else (("maxpool",), 2)
    stages = [Stage(("conv1", "bn1", "act"), network.conv1.out_channels, _stride(network.conv1.stride))]
    for n in range(1, 5):
        last = network.get_submodule(f"layer{n}")[-1]
        width = (last.conv3 if hasattr(last, "conv3") else last.conv2).out_channels
        before = pool if n == 1 else ()
        stages.append(Stage((*before, f"layer{n}"), width, halves if n == 1 else 2))
    return stages


def _resnet_inputs(network: ResNet) -> list[str]:
    return ["conv1"]


def _resnet_outputs(network: ResNet) -> list[str]:
    return ["fc"]


def _densenet_stages(network: DenseNet) -> list[Stage]:
    # the last map is what the network pools: after its norm, and after the rectifier among the class layers
    features, ends = network.features, ("features.norm5", "class_layers.relu")
    blocks = [name for name, _ in features.named_children() if name.startswith("denseblock")]
    stages = [Stage(("features.conv0", "features.norm0", "features.relu0"), features.conv0.out_channels, 2)]
    width = features.conv0.out_channels
    for n, block in enumerate(blocks, start=1):
        before = "features.pool0" if n == 1 else f"features.transition{n - 1}"
        if n > 1:
            width = network.get_submodule(before).conv.out_channels
        width += sum(layer.layers.conv2.out_channels for layer in network.get_submodule(f"features.{block}").children())
        after = ends if n == len(blocks) else ()
        stages.append(Stage((before, f"features.{block}", *after), width, 2))
    return stages


def _densenet_inputs(network: DenseNet) -> list[str]:
    return ["features.conv0"]


def _densenet_outputs(network: DenseNet) -> list[str]:
    return ["class_layers.out"]


register_encoder(UNet, EncoderRow(_unet_stages, _unet_inputs, _unet_outputs))
register_encoder(BasicUNet, EncoderRow(_basic_unet_stages, _basic_unet_inputs, _basic_unet_outputs))
register_encoder(DynUNet, EncoderRow(_dynunet_stages, _dynunet_inputs, _dynunet_outputs))
register_encoder(SegResNet, EncoderRow(_segresnet_stages, _segresnet_inputs, _segresnet_outputs))
register_encoder(SegResNetDS, EncoderRow(_segresnet_ds_stages, _segresnet_ds_inputs, _segresnet_ds_outputs))
register_encoder(SwinUNETR, EncoderRow(_swin_stages, _swin_inputs, _swin_outputs))
register_encoder(FlexibleUNet, EncoderRow(_flexible_stages, _flexible_inputs, _flexible_outputs))
register_encoder(ResNet, EncoderRow(_resnet_stages, _resnet_inputs, _resnet_outputs, full_size=False))
register_encoder(DenseNet, EncoderRow(_densenet_stages, _densenet_inputs, _densenet_outputs, full_size=False))
