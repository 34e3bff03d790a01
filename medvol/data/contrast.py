"""The four images of a phantom patient: tissue mix, tumor signal, coil bias and Rician noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .anatomy import Array
from .deformation import smooth_noise

MODALITIES = ("flair", "t1", "t1ce", "t2")
# Columns CSF, gray, white, necrosis, edema, enhancing; chosen by eye after real images, about 1 at the brightest.
SIGNAL = {
    "flair": (0.14, 0.56, 0.46, 0.42, 0.95, 0.78),
    "t1": (0.30, 0.66, 0.86, 0.38, 0.56, 0.62),
    "t1ce": (0.30, 0.68, 0.86, 0.34, 0.56, 1.40),
    "t2": (1.15, 0.62, 0.44, 0.98, 0.88, 0.66),
}
_TEXTURE = {"flair": -0.25, "t1": 1.0, "t1ce": 0.9, "t2": -0.5}  # how much of the T1 average's fine contrast shows


def render(
    rng: np.random.Generator,
    modality: str,
    fractions: Sequence[Array],
    texture: Array,
    axes: Sequence[Array],
    inside: np.ndarray,
) -> Array:
    """Make one image.

    Args:
        rng: source of signal variation, bias field, scale and noise.
        modality: one of `MODALITIES`.
        fractions: six arrays `(N,)`, parts of each brain voxel in the order of `SIGNAL`.
        texture: `(N,)` fine contrast in units of white matter.
        axes: voxel centers in mm, `(X,)`, `(Y,)`, `(Z,)`.
        inside: `(N,)` flat indices of the brain's voxels.

    Returns:
        `(N,)` float32, positive; white matter lies near a scale that differs by patient and modality, as in MR.
    """
    signal = np.array(SIGNAL[modality]) * (1 + rng.normal(0, [0.04, 0.04, 0.04, 0.10, 0.06, 0.08]))
    image = np.float32(_TEXTURE[modality]) * texture
    for part, value in zip(fractions, signal, strict=True):
        image += part * np.float32(value)
    image *= 1 + sum(fractions[3:]) * smooth_noise(rng, axes, (20, 7), (0.06, 0.08)).ravel()[inside]
    bias = smooth_noise(rng, axes, (90,), (0.10,)).ravel()[inside]
    image = np.maximum(image, 0) * np.exp(bias)
    noise = np.float32(rng.uniform(0.012, 0.03))
    # The magnitude of a complex signal with normal noise in both channels is Rician (Gudbjartsson & Patz 1995, eq. 1).
    image += noise * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.hypot(image, noise * rng.standard_normal(image.shape, dtype=np.float32))
    return image * np.float32(rng.uniform(300, 900))
