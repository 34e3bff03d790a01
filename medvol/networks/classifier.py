# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""An encoder with a linear head: one vector of logits for a whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .registry import EncoderRow, Stage, find_stages, input_paths, register_encoder

if TYPE_CHECKING:
    from .encoder import Encoder

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Pools the encoder's coarsest map over all spatial axes and classifies it with one linear layer.

    The encoder's parts are held under the library network's own names, as :class:`Encoder` holds them, and beside them
    only ``head``. So the weights of a pretext run over the same library network load with ``scope="encoder"``, and the
    encoder's tensors of a trained classifier load into the library network again. Over a MONAI ``ResNet`` or
    ``DenseNet`` it computes what the network itself computes, with ``head`` in the place of its last layer.

    Args:
        encoder: an ``Encoder`` in 2D or 3D; its modules are shared, not copied.
        num_outputs: number of logits, K.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: channels of the input.

    Shapes:
        images ``(B, in_channels, *spatial)``; logits ``(B, K)``.

    Raises:
        ValueError: when ``encoder`` is no ``Encoder``, has a part called ``head``, or ``num_outputs`` is smaller than
            1; when called, as :meth:`Encoder.pyramid`.

    Example:
        >>> from monai.networks.nets import ResNet
        >>> from medvol.networks import Encoder
        >>> net = ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], spatial_dims=2, feed_forward=False)
        >>> Classifier(Encoder(net), num_outputs=4)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 4])
    """

    _encoder: Encoder

    def __init__(self, encoder: Encoder, num_outputs: int) -> None:
        super().__init__()
        if not hasattr(encoder, "pyramid"):
            raise ValueError(
                f"encoder must be a medvol.networks.Encoder; found {type(encoder).__name__}; wrap the library network "
                "as Encoder(network)"
            )
        if isinstance(num_outputs, bool) or not isinstance(num_outputs, int) or num_outputs < 1:
            raise ValueError(f"num_outputs must be 1 or more; found {num_outputs!r}; give the number of logits")
        for name, part in encoder.named_children():
            if name == "head":
                raise ValueError(
                    "the encoder's parts must leave the name 'head' to the classifier; found it among them; cut the "
                    "encoder with until="
                )
            self.add_module(name, part)
        self.head = nn.Linear(encoder.channels[-1], num_outputs)
        # Past nn.Module: registered, it would list every tensor a second time.
        self.__dict__["_encoder"] = encoder
        self.spatial_dims, self.in_channels = encoder.spatial_dims, encoder.in_channels

    @property
    def _network_keys(self) -> frozenset[str]:
        """Names that a file may hold: those of the library network, and the head's."""
        return self._encoder._network_keys | frozenset(self.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, K)`` of images ``(B, in_channels, *spatial)``."""
        return self.head(self._encoder.pyramid(x)[-1].flatten(2).mean(-1))


def _stages_of(network: Classifier) -> list[Stage]:
    return find_stages(network._encoder)


def _inputs_of(network: Classifier) -> list[str]:
    return input_paths(network._encoder)


def _outputs_of(network: Classifier) -> list[str]:
    return ["head"]


register_encoder(Classifier, EncoderRow(_stages_of, _inputs_of, _outputs_of, full_size=False))
