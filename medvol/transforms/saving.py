"""Write predicted label maps as images named like their cases."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform

__all__ = ["SavePredictiond"]


class SavePredictiond(MapTransform):
    """Save a label map as ``<output_dir>/<case>.nii.gz``: uint8, with its own affine, flat in one folder.

    MONAI's ``SaveImaged`` names a file after the *input file*, which is wrong for a case made of several files
    (``case_flair``), cuts everything after the first dot, and squeezes a depth of one away.

    Args:
        keys: label maps ``(1, *spatial)`` as ``MetaTensor`` on the grid to be written; unchanged.
        output_dir: folder, created when the first case is written.
        case_key: where the data item carries the name of its case.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: when called, if the case has no usable name, the map is not a ``MetaTensor`` ``(1, *spatial)``, or a
            value does not fit into uint8.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> saved = SavePredictiond("pred", folder)({"pred": MetaTensor(np.zeros((1, 2, 3, 4))), "case": "p01"})
        >>> [path.name for path in folder.iterdir()]
        ['p01.nii.gz']
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        case_key: str = "case",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)
        self.case_key = case_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Save every key."""
        sample = dict(data)
        case = sample.get(self.case_key)
        if not isinstance(case, str) or not case or Path(case).name != case or case in (".", ".."):
            raise ValueError(
                f"'{self.case_key}' must be a plain name of the case, but is {case!r}; "
                "let Manifest.items or folder_items make the data items"
            )
        for key in self.key_iterator(sample):
            label = sample[key]
            if not isinstance(label, MetaTensor) or label.shape[0] != 1:
                raise ValueError(
                    f"'{key}' must be a MetaTensor (1, *spatial), but is a {type(label).__name__} of shape "
                    f"{tuple(label.shape)}; convert it with RegionsToLabelsd or ClassesToLabelsd after Invertd"
                )
            if float(label.min()) < 0 or float(label.max()) > 255:
                raise ValueError(
                    f"'{key}' must hold integers in 0..255, but reaches from {float(label.min())} to "
                    f"{float(label.max())}; map the labels into that range first"
                )
            self.output_dir.mkdir(parents=True, exist_ok=True)
            values = label[0].cpu().numpy().astype(np.uint8)
            image = nibabel.Nifti1Image(values, to_affine_nd(3, label.affine.cpu().numpy()))
            image.set_sform(image.affine, code="scanner")
            image.set_qform(image.affine, code="scanner")
            image.header.set_xyzt_units("mm")
            # Under a temporary name first: a killed run leaves no torn image behind.
            partial = self.output_dir / f".partial-{case}.nii.gz"
            nibabel.save(image, partial)
            partial.replace(self.output_dir / f"{case}.nii.gz")
        return sample
