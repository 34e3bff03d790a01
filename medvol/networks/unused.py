# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Parameters of library networks that nothing reads."""

from __future__ import annotations

from monai.networks.blocks.transformerblock import TransformerBlock
from monai.networks.nets.efficientnet import EfficientNetBNFeatures
from torch import nn

__all__ = ["freeze_unused"]


def freeze_unused(network: nn.Module) -> None:
    """Takes the parameters that no forward pass reads out of the training.

    MONAI's ``TransformerBlock`` owns a norm for cross-attention also where it has none, and the EfficientNet inside of
    ``FlexibleUNet`` keeps the layers that would tell classes. Distributed training stops at parameters that never get a
    gradient.

    Args:
        network: changed in place: ``requires_grad`` of those parameters; names and values stay.

    Example:
        >>> block = TransformerBlock(hidden_size=8, mlp_dim=8, num_heads=2)
        >>> freeze_unused(block)
        >>> [name for name, p in block.named_parameters() if not p.requires_grad]
        ['norm_cross_attn.weight', 'norm_cross_attn.bias']
    """
    for module in network.modules():
        if isinstance(module, TransformerBlock) and not module.with_cross_attention:
            module.norm_cross_attn.requires_grad_(False)
        if isinstance(module, EfficientNetBNFeatures):
            for layer in (module._conv_head, module._bn1, module._fc):
                layer.requires_grad_(False)
