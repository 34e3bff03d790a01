"""What a network restored of one image beside what it got and what it was to restore, as planes to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from medvol.engines.mosaic import Panel
from medvol.figures import gray_range

__all__ = ["compare", "voxel_size"]


def compare(
    image: Tensor, label: Tensor, output: Tensor, mask: Tensor | None = None, activation: str | None = None
) -> list[Panel]:
    """Return what is shown of one sample: its first channel, in the slice with most foreground.

    The slice is one along the last axis, or along the axis of one voxel if there is one; it is drawn with its first
    axis to the right and its second one up. An image of two axes is drawn with rows and columns as in its file.

    * ``input``: the image that goes into the network; voxels that a mask hides are drawn as 0, whatever the network
      puts there. Without a mask its gray window is its own: a task may show and ask for other units;
    * ``hidden``: the image with hidden voxels tinted (only with a mask);
    * ``output``: all that the network returns; with a mask, nothing trains it where voxels are visible;
    * ``composite``: the output where voxels are hidden, the image elsewhere (only with a mask);
    * ``target``: the label, NaN where nothing is counted;
    * ``error``: the absolute difference of output and target; NaN where nothing is counted, and where the image is
      visible. Its mean stands below.

    Where the network tells classes (the label has one channel, the output another number), ``output`` is the class with
    the highest score, and instead of ``error`` there is ``wrong``, 1 where that class is not the label's.

    Args:
        image: ``(C, *spatial)``, what the network got.
        label: ``(C, *spatial)`` or, classes, ``(1, *spatial)``.
        output: ``(C, *spatial)``, or scores of classes ``(K, *spatial)``.
        mask: ``(1, *spatial)``, 1 = hidden.
        activation: what the loss does to the output first: None or "sigmoid".

    Raises:
        ValueError: when the arrays do not lie on the same voxels, or the activation is unknown.

    Example:
        >>> import torch
        >>> image = torch.ones(1, 4, 4, 4)
        >>> [panel.title for panel in compare(image, image, image)]
        ['input', 'output', 'target', 'error']
    """
    shapes = {tuple(array.shape[1:]) for array in (image, label, output, mask) if array is not None}
    if len(shapes) != 1 or image.ndim not in (3, 4):
        raise ValueError(
            f"image, label, output and mask must have the same two or three spatial axes; found {sorted(shapes)}; "
            "let the network return an image of the size that it gets"
        )
    if activation not in (None, "sigmoid"):
        raise ValueError(f"activation must be None or 'sigmoid'; found {activation!r}; use that of the loss")
    classes = len(output) if len(label) == 1 and len(output) != 1 else 0
    if classes:
        output = output.argmax(0, keepdim=True)
    elif activation is not None:
        output = output.float().sigmoid()
    place = _slice(label[0] > 0 if classes else _foreground(label[0]))
    seen, target, restored = (_plane(array[0], place) for array in (image, label, output))
    hidden = None if mask is None else _plane(mask[0], place) > 0.5
    counted = ~np.isnan(target) if hidden is None else ~np.isnan(target) & hidden
    miss = np.nan_to_num(np.abs(restored - target), nan=np.inf)
    error = np.where(counted, miss > 0 if classes else miss, np.nan)
    gray = gray_range([seen if classes or np.isnan(target).all() else target])
    levels = (0.0, classes - 1.0) if classes else gray
    own = gray_range([seen]) if hidden is None else gray
    panels = [Panel("input", seen if hidden is None else np.where(hidden, 0.0, seen), own)]
    panels += [] if hidden is None else [Panel("hidden", seen, gray, tint=hidden)]
    panels += [Panel("output", restored, levels)]
    panels += [] if hidden is None else [Panel("composite", np.where(hidden, restored, seen), levels)]
    panels += [Panel("target", target, levels)]
    sort = "share" if classes else "mean"
    words = f"{sort} {error[counted].mean():.3g}" if counted.any() else "nothing counted here"
    if classes:
        return [*panels, Panel("wrong", error, (0.0, 1.0), words=words)]
    return [*panels, Panel("error", error, (0.0, (gray[1] - gray[0]) / 4), colored=True, words=words)]


def _normal(shape: Sequence[int]) -> int | None:
    """Return the axis that slices are cut across; None for an image of two axes."""
    if len(shape) == 2:
        return None
    return next((axis for axis in (2, 1, 0) if shape[axis] == 1), 2)


def voxel_size(spacing: Sequence[float], shape: Sequence[int]) -> tuple[float, float]:
    """Return (row, column) millimeters of a voxel as :func:`compare` draws it.

    Args:
        spacing: millimeters per axis.
        shape: spatial shape of the image.

    Example:
        >>> voxel_size((1.0, 2.0, 5.0), (64, 64, 1))
        (2.0, 1.0)
    """
    normal = _normal(shape)
    if normal is None:
        return spacing[0], spacing[1]
    across, up = (size for axis, size in enumerate(spacing) if axis != normal)
    return up, across


def _foreground(label: Tensor) -> Tensor:
    """Return what differs from the corner, if that is a background: a value of at least a hundredth of the voxels."""
    background = label == label.flatten()[0]
    return ~label.isnan() & (~background if background.float().mean() >= 0.01 else True)


def _slice(inside: Tensor) -> tuple[int, int] | None:
    """Return the axis and the number of the slice with most voxels of a region, the middle one of equally full ones."""
    normal = _normal(inside.shape)
    if normal is None:
        return None
    counts = inside.movedim(normal, 0).flatten(1).sum(1)
    fullest = (counts == counts.max()).nonzero().flatten()
    return normal, int(fullest[(len(fullest) - 1) // 2])


def _plane(values: Tensor, place: tuple[int, int] | None) -> np.ndarray:
    """Return rows from the top, and columns."""
    if place is None:
        return values.detach().float().cpu().numpy()
    return values.detach().select(*place).float().cpu().numpy().T[::-1]
