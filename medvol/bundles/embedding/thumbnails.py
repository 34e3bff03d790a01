"""A small slice of every embedded case, as an address that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch

from medvol.figures import gray_range

__all__ = ["Thumbnails", "spread"]

_SIDE = 96  # pixels of the longer side
_MOST, _MOST_BYTES = 500, 3_500_000


class Thumbnails:
    """Small pictures of cases, made one after the other, so that no volume is kept.

    A picture is the middle slice across the last axis of the first channel, as the network gets it, in true
    proportions. A volume of anatomical axes lies with the left of the body on the left and the front up.

    Args:
        places: the cases there are; of more than 500, every n-th gets a picture.
        spacing: voxel size in millimeters along each axis, None if unknown.
        is_anatomical: whether the image's axes are right, anterior, superior; a plane is otherwise rows and columns.

    Attributes:
        pictures: data addresses by place.

    Example:
        >>> thumbnails = Thumbnails([0], (1.0, 1.0, 1.0), is_anatomical=True)
        >>> thumbnails.add(0, torch.rand(1, 8, 9, 7))
        >>> thumbnails.pictures[0][:11]
        'data:image/'
    """

    def __init__(self, places: Sequence[int], spacing: Sequence[float] | None, is_anatomical: bool) -> None:
        self.chosen = {places[i] for i in spread(len(places), _MOST)}
        self.spacing = None if spacing is None else tuple(float(size) for size in spacing)
        self.is_anatomical = is_anatomical
        self.pictures: dict[int, str] = {}
        self._bytes = 0

    def add(self, place: int, image: torch.Tensor) -> None:
        """Make the picture of an image ``(C, *spatial)``, if its case is among the chosen."""
        if place not in self.chosen or self._bytes > _MOST_BYTES:
            return
        plane = image[0].detach().cpu().numpy()
        plane = plane[..., plane.shape[-1] // 2] if plane.ndim == 3 else plane
        is_volume = image.ndim == 4
        sizes = (1.0, 1.0) if self.spacing is None or len(self.spacing) != image.ndim - 1 else self.spacing[:2]
        if is_volume or self.is_anatomical:  # axis 0 runs to the right, axis 1 to the front: rows from the top
            plane, sizes = plane.T[::-1], sizes[::-1]
        picture = _picture(plane, sizes)
        self._bytes += len(picture)
        self.pictures[place] = picture


def spread(count: int, most: int) -> list[int]:
    """Return the places of at most ``most`` of ``count`` things, evenly spaced.

    Example:
        >>> spread(5, 3), spread(2, 3)
        ([0, 2, 4], [0, 1])
    """
    return list(range(count)) if count <= most else np.linspace(0, count - 1, most).round().astype(int).tolist()


def _picture(plane: np.ndarray, sizes: Sequence[float]) -> str:
    from PIL import Image, features

    low, high = gray_range([plane])
    gray = np.clip((np.nan_to_num(plane) - low) / max(high - low, 1e-12), 0, 1)
    image = Image.fromarray((gray * 255).round().astype(np.uint8))
    rows, columns = plane.shape[0] * sizes[0], plane.shape[1] * sizes[1]
    scale = _SIDE / max(rows, columns)
    image = image.resize((max(round(columns * scale), 1), max(round(rows * scale), 1)), Image.Resampling.BILINEAR)
    content = io.BytesIO()
    kind = "webp" if features.check("webp") else "png"
    image.save(content, kind.upper(), **({"quality": 80, "method": 4} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
