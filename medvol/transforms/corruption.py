"""Corrupted copies of test images, in five fixed severities, the same for every network that is tested."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import convert_to_dst_type
from numpy.random import RandomState
from torch import Tensor

from .degrading import bias_field, blur, gamma, low_resolution, noise
from .kspace import ghosting, motion, spike
from .rigid import turn, warp
from .scan import Scan, read_scan

__all__ = ["CORRUPTIONS", "SPATIAL_CORRUPTIONS", "STRENGTHS", "Corruptiond"]

_CHANGES: dict[str, Callable[[Scan, Any, RandomState], Tensor]] = {
    "noise": noise, "blur": blur, "bias_field": bias_field, "gamma": gamma, "motion": motion, "ghosting": ghosting,
    "spike": spike, "low_resolution": low_resolution,
}  # fmt: skip

STRENGTHS: Mapping[str, tuple[Any, ...]] = MappingProxyType({
    "noise": (0.04, 0.08, 0.12, 0.18, 0.26),  # s.d. / range; MedMNIST-C, gaussian_noise
    "blur": (0.8, 1.6, 2.4, 3.2, 4.0),  # s.d. in mm; ROOD-MRI, Smoothing
    "bias_field": (0.2, 0.4, 0.6, 0.8, 1.0),  # BrainWeb's non-uniformity (20 %, 40 %), continued
    "gamma": (1.3, 1.4, 1.6, 1.8, 2.0),  # power or its inverse; MedMNIST-C, gamma_corr_up of the CT sets
    # Degrees and mm as in ROOD-MRI; share of lines before the patient moved.
    "motion": ((1.0, 2.0, 0.5), (2.0, 4.0, 0.4), (3.0, 6.0, 0.3), (4.0, 8.0, 0.2), (5.0, 10.0, 0.1)),
    "ghosting": (0.2, 0.4, 0.6, 0.8, 1.0),  # share of every 4th line; TorchIO's range ends at 1
    "spike": (0.1, 0.2, 0.3, 0.4, 0.6),  # amplitude / range
    "low_resolution": (2.0, 3.0, 4.0, 5.0, 6.0),  # times the voxel size; ROOD-MRI: 2.8 to 10 along one axis
    "rotation": (6.0, 12.0, 18.0, 24.0, 30.0),  # degrees; ROOD-MRI, Affine
    "scaling": (1.05, 1.1, 1.15, 1.2, 1.25),  # factor or its inverse; within nnU-Net's 0.7 to 1.4
})  # fmt: skip
"""Strength of every corruption at severity 1 to 5, in the unit of the function that applies it."""

CORRUPTIONS = tuple(STRENGTHS)
"""Names of the corruptions."""

SPATIAL_CORRUPTIONS = ("rotation", "scaling")
"""Those that move the anatomy; the others leave it where it is."""


class Corruptiond(MapTransform, InvertibleTransform):
    """Corrupt an image in one of ten ways, in one of five severities, always the same way for the same case.

    Robustness to typical losses of quality and changes of geometry is measured as the drop of a score against clean
    images (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261). Corruptions and strengths follow tables
    for medical images where there are any: MedMNIST-C (Di Salvo et al. 2024, https://arxiv.org/abs/2406.17536) and
    ROOD-MRI (Boone et al. 2023, https://arxiv.org/abs/2203.06060); ``STRENGTHS`` says which. Motion,
    ghosting and spikes follow TorchIO (Pérez-García et al. 2021, https://doi.org/10.1016/j.cmpb.2021.106236), which is
    not needed for them.

    **Place.** After loading and turning to an orientation, before a change of spacing and before any normalization:
    strengths are relative to the range between the 1st and 99th percentile of each channel's foreground, or in mm.

    **Randomness** comes from the name of the case and the corruption alone, never from a global generator: every arm,
    seed, process and machine sees the same image. Directions are the same at all severities of a case; only their size
    grows. One geometry, field or movement holds for all channels of a case.

    **Background.** Where a channel without negative values is exactly 0, it stays 0, noise included: 0 is what skull
    stripping or a scanner's mask left, after the artifact had arisen. Rotation and scaling move the background along.

    **Rotation and scaling** move the image on its own grid, about its middle, and leave its affine as it is: the
    patient lay otherwise. They are recorded, so that MONAI's ``Invertd`` moves a prediction back to the place of the
    untouched reference; what had left the field of view comes back as 0. Beyond its edge, an image counts as continued
    with the value at the edge.

    Axes of one voxel are left out of everything, so a plane and a volume of depth one are treated alike. Integers
    become 32-bit floating point. A channel without contrast has no range, and stays as it is under noise, gamma and
    spikes.

    Args:
        keys: images ``(C, *spatial)`` with 2 or 3 spatial axes.
        corruption: one of ``CORRUPTIONS``.
        severity: 1 (slight) to 5 (severe).
        seed_key: where the data item carries the name of its case; without one the image's file name counts. Folders
            in front of a name do not matter.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if the corruption or severity does not exist; when called, if the case has no name, or an image is
            no ``(C, *spatial)``, holds NaN or infinite values, or has fewer than two axes longer than one voxel.

    Example:
        >>> item = {"image": torch.rand(1, 8, 8, 8), "case": "p01"}
        >>> first, again = (Corruptiond("image", "noise", severity=3)(item)["image"] for _ in range(2))
        >>> first.shape, torch.equal(first, again), torch.equal(first, item["image"])
        (torch.Size([1, 8, 8, 8]), True, False)
    """

    def __init__(
        self,
        keys: KeysCollection,
        corruption: str,
        severity: int = 1,
        seed_key: str = "case",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not isinstance(corruption, str) or corruption not in CORRUPTIONS:
            near = difflib.get_close_matches(str(corruption), CORRUPTIONS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "choose one of these"
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}; found {corruption!r}; {hint}")
        if isinstance(severity, bool) or not isinstance(severity, int) or not 1 <= severity <= 5:
            raise ValueError(
                f"severity must be 1 (slight), 2, 3, 4 or 5 (severe); found {severity!r}; give one of these, or leave "
                "the corruption out for clean images"
            )
        self.corruption = corruption
        self.severity = severity
        self.seed_key = seed_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Corrupt every key."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            image = sample[key] if isinstance(sample[key], Tensor) else torch.as_tensor(sample[key])
            case = self._case(sample.get(self.seed_key), image)
            values, kept = _plain(image, key, case)
            shape = tuple(image.shape)
            spacing = tuple(size for size, long in zip(_spacing(image), kept, strict=True) if long)
            draw = RandomState(_seed(case, self.corruption))
            strength = STRENGTHS[self.corruption][self.severity - 1]
            if self.corruption in SPATIAL_CORRUPTIONS:
                matrix = _matrix(self.corruption, strength, draw, spacing)
                changed = warp(values, matrix)
            else:
                scan = read_scan(values, spacing)
                changed = _CHANGES[self.corruption](scan, strength, draw).masked_fill_(scan.background, 0)
            sample[key] = _like(changed.reshape(shape), image)
            if self.corruption in SPATIAL_CORRUPTIONS:
                record = {"matrix": matrix.tolist(), "mode": "bilinear"}
                sample[key] = self.push_transform(sample[key], orig_size=shape[1:], extra_info=record)
        return sample

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move every key back, as ``Invertd`` asks for it; nothing else of a corruption can be undone.

        Args:
            data: ``(K, *spatial)`` on the grid of the corrupted image, as ``MetaTensor`` with its record.
        """
        sample = dict(data)
        if self.corruption not in SPATIAL_CORRUPTIONS:
            return sample
        for key in self.key_iterator(sample):
            record = self.pop_transform(sample[key])["extra_info"]
            moved = sample[key]
            long = [size for size in moved.shape[1:] if size > 1]
            values = moved.detach().as_tensor().reshape(moved.shape[0], *long)
            values = values if values.is_floating_point() else values.float()
            back = warp(values, np.linalg.inv(record["matrix"]), mode=record["mode"], padding="zeros")
            sample[key] = _like(back.reshape(moved.shape), moved)
        return sample

    def _case(self, name: Any, image: Tensor) -> str:
        if name is None and isinstance(image, MetaTensor):
            name = image.meta.get("filename_or_obj")
        plain = re.split(r"[\\/]", str(name))[-1] if name is not None else ""
        if not plain:
            raise ValueError(
                f"'{self.seed_key}' must be the name of the case, which its random numbers are drawn from; found "
                f"{name!r}, and an image without a file name; let Manifest.items make the data items"
            )
        return plain


def _seed(case: str, corruption: str) -> int:
    """Return a number that is the same in every process and on every machine, unlike that of ``hash``."""
    return int.from_bytes(hashlib.sha256(f"{corruption}/{case}".encode()).digest()[:4], "big")


def _matrix(corruption: str, strength: float, draw: RandomState, spacing: tuple[float, ...]) -> np.ndarray:
    if corruption == "rotation":
        return turn(strength, draw, spacing)
    return np.eye(len(spacing)) * (1.0 / strength if draw.uniform() < 0.5 else strength)


def _plain(image: Tensor, key: Hashable, case: str) -> tuple[Tensor, list[bool]]:
    """Return an image as floating point without its axes of one voxel, and which axes are longer."""
    kept = [size > 1 for size in image.shape[1:]]
    if image.ndim not in (3, 4) or sum(kept) < 2:
        raise ValueError(
            f"'{key}' must be an image (C, *spatial) with 2 or 3 spatial axes, two of them longer than one voxel; "
            f"found the shape {tuple(image.shape)} in case '{case}'; correct the file, or leave the case out"
        )
    values = image.detach().cpu()
    values = values.as_tensor() if isinstance(values, MetaTensor) else values
    values = values if values.dtype in (torch.float32, torch.float64) else values.float()
    wrong = int((~torch.isfinite(values)).sum())
    if wrong:
        raise ValueError(
            f"'{key}' must hold finite numbers; found {wrong} voxels of case '{case}' that are NaN or infinite; repair "
            "the file, or leave the case out"
        )
    return values.reshape(image.shape[0], *(size for size in image.shape[1:] if size > 1)), kept


def _spacing(image: Tensor) -> tuple[float, ...]:
    num_axes = image.ndim - 1
    if not isinstance(image, MetaTensor):
        return (1.0,) * num_axes
    spacing = affine_to_spacing(image.affine.cpu().numpy(), r=num_axes, dtype=float, suppress_zeros=False)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(
            f"the affine must give every voxel a size above 0 mm; found {spacing.tolist()}; correct the image's header"
        )
    return tuple(spacing.tolist())


def _like(values: Tensor, image: Tensor) -> Tensor:
    """Return values as the kind of tensor that an image is, with its record, place and type."""
    dtype = image.dtype if image.is_floating_point() else torch.float32
    values = values.as_tensor() if isinstance(values, MetaTensor) else values  # its record would win
    return convert_to_dst_type(values, image, dtype=dtype)[0]
