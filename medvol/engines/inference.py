"""Test-time flips around any inferer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer

__all__ = ["FlipInferer"]


class FlipInferer(Inferer):
    """Average the predictions of another inferer over all flips of some spatial axes, the identity included.

    With n axes the network runs 2^n times. Outputs are averaged as they come: logits for a network that ends in logits
    (as nnU-Net does), so put the activation into the postprocessing. Do not flip the left-right axis where the classes
    have a side.

    Args:
        inferer: any MONAI inferer whose result is one tensor on the grid of its input; ``SimpleInferer`` by default.
        axes: spatial axes to flip, 0 is the first after the channel axis; none: the plain inferer.

    Raises:
        ValueError: if an axis is negative or repeated; when called, if the input has no such axis, or the output is not
            one tensor of the input's spatial shape.

    Example:
        >>> mean = FlipInferer(axes=(0, 1))
        >>> mean(torch.arange(4.0).view(1, 1, 2, 2), torch.nn.Identity())
        tensor([[[[0., 1.],
                  [2., 3.]]]])
    """

    def __init__(self, inferer: Inferer | None = None, axes: Sequence[int] = ()) -> None:
        super().__init__()
        axes = [int(axis) for axis in axes]
        if len(set(axes)) < len(axes) or any(axis < 0 for axis in axes):
            raise ValueError(
                f"axes must be distinct spatial axes from 0, but are {axes}; write (0, 1, 2) for all three of a volume"
            )
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.axes = axes
        self.flips = [
            [axis + 2 for axis in chosen]
            for count in range(len(axes) + 1)
            for chosen in itertools.combinations(axes, count)
        ]

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the mean prediction ``(B, K, *spatial)`` of ``inputs`` ``(B, C, *spatial)``.

        Further arguments go to the network unflipped.
        """
        if self.axes and max(self.axes) + 2 >= inputs.ndim:
            raise ValueError(
                f"axes must be below the number of spatial axes, {inputs.ndim - 2}, but are {self.axes}; "
                f"the input has the shape {tuple(inputs.shape)}, remove the axes that it lacks"
            )
        total = None
        for flip in self.flips:
            output = self.inferer(inputs.flip(flip) if flip else inputs, network, *args, **kwargs)
            if not isinstance(output, torch.Tensor) or output.shape[2:] != inputs.shape[2:]:
                found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                raise ValueError(
                    f"the network must return one tensor on its input's grid {tuple(inputs.shape[2:])} to be flipped "
                    f"back, but returned {found}; use the plain inferer"
                )
            output = output.flip(flip) if flip else output
            # The first term is the identity: its metadata (Invertd needs them) stay on the sum.
            total = output.clone() if total is None else total.add_(output)
        return total.div_(len(self.flips)) if len(self.flips) > 1 else total
