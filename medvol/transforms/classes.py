"""From a data set's label map to the class indices a network is trained on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

__all__ = ["LabelsToClassesd"]


class LabelsToClassesd(MapTransform):
    """Turn the integers of a data set's label map into class indices 0 to K - 1, by name.

    The inverse of :class:`medvol.transforms.ClassesToLabelsd` on label maps: index ``k`` is the label
    ``classes[k - 1]`` and 0 is background, whatever integers the files use.

    Args:
        keys: label maps ``(1, *spatial)``; each becomes ``(1, *spatial)``, float32, of whole numbers 0 to K - 1.
        label_map: label name -> integer in the files; 0 is background and need not be named.
        classes: names of the classes 1 to K - 1.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: if ``classes`` does not name every label once; when called, for a number that has no name.

    Example:
        >>> to_classes = LabelsToClassesd("label", {"anterior": 1, "posterior": 5}, ["posterior", "anterior"])
        >>> to_classes({"label": torch.tensor([[0, 1, 5]])})["label"]
        tensor([[0., 2., 1.]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_map: Mapping[str, int],
        classes: Sequence[str],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        labels = {name: int(value) for name, value in label_map.items() if int(value) != 0}
        if not labels or sorted(classes) != sorted(labels):
            raise ValueError(
                f"classes must name every label once, in channel order, but are {list(classes)} for the labels "
                f"{sorted(labels)}; leave background out"
            )
        self.integers = [0, *(labels[name] for name in classes)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            label = convert_to_tensor(sample[key], track_meta=False)
            index = torch.zeros_like(label, dtype=torch.float32)
            known = label == 0
            for k, integer in enumerate(self.integers):
                index[label == integer] = k
                known |= label == integer
            if not bool(known.all()):
                strange = torch.unique(label[~known]).tolist()
                raise ValueError(
                    f"'{key}' must hold the integers {self.integers}, but holds {strange}; use the label_map of this "
                    "data set, and mode='nearest' wherever labels are resampled"
                )
            sample[key] = convert_to_dst_type(index, sample[key], dtype=torch.float32)[0]
        return sample
