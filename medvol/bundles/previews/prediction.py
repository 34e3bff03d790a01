"""One prediction of contrastive predictive coding: its target, and the patches that it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medvol.networks import CPC

__all__ = ["Prediction", "example_prediction"]


@dataclass(frozen=True)
class Prediction:
    """One of the predictions that a network makes in a grid of patches.

    Attributes:
        target: number of the patch whose code is predicted.
        source: number of the patch from whose place it is predicted.
        step: layers from the source to the target.
        least_step: the least such number along that axis, ``l_min``.
        axis: axis of the grid along which it looks.
        forward: whether it looks toward higher indices.
        layers: for every patch that the prediction reads, how many layers before the source it lies.
    """

    target: int
    source: int
    step: int
    least_step: int
    axis: int
    forward: bool
    layers: dict[int, int]


def example_prediction(network: CPC, foreground: Sequence[float]) -> Prediction:
    """Choose a telling prediction of a network, and find out which patches it reads.

    The choice: about a patch with tissue, along the last axis of the grid that has several patches, of the shortest
    legal step, from the largest context, near the middle, about as much tissue as possible. What the prediction reads
    is not worked out anew but measured: those patches whose code has a gradient.

    Args:
        network: the network, whose context and linear maps may be untrained; it is changed, so give a spare one.
        foreground: share of foreground voxels in each patch.

    Example:
        >>> from monai.networks.nets import UNet
        >>> from medvol.networks import Encoder
        >>> norm = ("group", {"num_groups": 1})
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,), norm=norm)
        >>> found = example_prediction(CPC(Encoder(net), grid=3, embedding=6, hidden=8), [1.0] * 9)
        >>> found.source, found.target, found.layers
        (4, 5, {0: 1, 3: 1, 4: 0, 6: 1})
    """
    grid, steps = network.grid, network.steps
    places = torch.cartesian_prod(*(torch.arange(cells) for cells in grid)).reshape(-1, len(grid))
    start, move = places[network.sources], places[network.targets] - places[network.sources]
    axes = move.abs().argmax(dim=1)  # (m,), along which each prediction looks
    share = torch.as_tensor(foreground, dtype=torch.float32)[network.targets]
    axis = max(number for number, cells in enumerate(grid) if cells > 1)
    shortest = (axes == axis) & (steps == steps[axes == axis].min())
    before = torch.where(move > 0, start, torch.tensor(grid) - 1 - start).gather(1, axes[:, None])[:, 0]
    aside = (start - (torch.tensor(grid) - 1) / 2).abs().scatter(1, axes[:, None], 0.0).sum(dim=1)
    tissue = share >= network.foreground_threshold
    ranks = zip(tissue.tolist(), shortest.tolist(), before.tolist(), (-aside).tolist(), share.tolist(), strict=True)
    chosen = max(enumerate(ranks), key=lambda one: one[1])[0]
    axis, forward = int(axes[chosen]), bool(move[chosen].sum() > 0)
    read = _patches_read(network, chosen)
    source = int(network.sources[chosen])
    back = (places[source, axis] - places[:, axis]) * (1 if forward else -1)
    return Prediction(
        target=int(network.targets[chosen]),
        source=source,
        step=int(steps[chosen]),
        least_step=int(steps[axes == axis].min()),
        axis=axis,
        forward=forward,
        layers={patch: int(back[patch]) for patch in read},
    )


class _Codes(nn.Module):
    """Stands for the patch encoder: the same codes for every image."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.codes = codes

    def forward(self, image: Tensor, tissue: Tensor) -> Tensor:
        """Return the codes ``(1, P, F)``."""
        return self.codes


def _patches_read(network: CPC, prediction: int) -> list[int]:
    """Return the patches that change one prediction."""
    generator = torch.Generator().manual_seed(0)
    features = network.background.numel()
    codes = torch.randn(1, len(network.candidates[0]), features, generator=generator).requires_grad_()
    network.patches = _Codes(codes)
    for linear in network.predict.values():  # they start at zero and would hide what they read
        nn.init.normal_(linear.weight, generator=generator)
    patch = network.patch_size or (1,) * len(network.grid)
    image = torch.zeros(1, codes.shape[1], 1, *patch)
    predictions = network(image, torch.ones(1, codes.shape[1]))[0]
    # weighted, because a normalization can make the plain sum of the features constant
    (predictions[prediction] * torch.randn(features, generator=generator)).sum().backward()
    return codes.grad[0].abs().sum(dim=-1).nonzero().flatten().tolist()
