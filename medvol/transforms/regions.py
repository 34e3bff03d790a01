"""Between the integers of a data set's label map and the channels a network is trained on."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

__all__ = ["ClassesToLabelsd", "LabelsToRegionsd", "RegionsToLabelsd"]


def _region_integers(regions: Mapping[str, Sequence[str]], label_map: Mapping[str, int]) -> dict[str, list[int]]:
    """Resolve each region's label names to the integers of one data set.

    The same reading stands in ``medvol/metrics/segmentation.py``: rooms do not import each other, a test compares them.
    """
    labels = {name: int(integer) for name, integer in label_map.items() if int(integer) != 0}
    if len(set(labels.values())) != len(labels):
        raise ValueError(f"label_map must give each name its own integer, but is {dict(label_map)}; merge the names")
    known = {name for names in regions.values() for name in names}
    forgotten = [name for name in labels if name not in known]
    if forgotten:
        raise ValueError(
            f"every label must belong to a region, but {forgotten} of label_map are in none of "
            f"{ {region: list(names) for region, names in regions.items()} }; add them to a region or correct the name"
        )
    integers = {region: [labels[name] for name in names if name in labels] for region, names in regions.items()}
    empty = [region for region, found in integers.items() if not found]
    if empty or not integers:
        raise ValueError(
            f"every region needs a label of the data set, but {empty} have none of {list(labels)}; "
            "remove the region or use the label_map of this data set"
        )
    return integers


def _label_dtype(integers: Sequence[int]) -> torch.dtype:
    """Return the smallest integer type that holds all labels."""
    return torch.uint8 if max(integers) < 256 else torch.int32


class LabelsToRegionsd(MapTransform):
    """Turn an integer label map into one binary channel per named region; regions may overlap.

    The channels stand in the order of ``regions``, and the integers come from the data set's ``label_map`` by name:
    nothing depends on whether enhancing tumor is 3 or 4 (MONAI's ``ConvertToMultiChannelBasedOnBratsClasses`` has the
    fixed order TC, WT, ET and cannot read the decathlon's labels). Names that the data set lacks are skipped.

    Args:
        keys: label maps ``(1, *spatial)``; each becomes ``(R, *spatial)``, float32, of zeros and ones.
        label_map: label name -> integer in the files; 0 is background.
        regions: region name -> label names.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: if a region has no label of the data set or a label is in no region; when called, if the label map
            has another number of channels than one or holds a number without a name.

    Example:
        >>> regions = {"WT": ["edema", "enhancing"], "ET": ["enhancing"]}
        >>> to_regions = LabelsToRegionsd("label", {"edema": 2, "enhancing": 4}, regions)
        >>> to_regions({"label": torch.tensor([[0, 2, 4]])})["label"]
        tensor([[0., 1., 1.],
                [0., 0., 1.]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_map: Mapping[str, int],
        regions: Mapping[str, Sequence[str]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_map = dict(label_map)
        self.integers = _region_integers(regions, label_map)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            label = convert_to_tensor(sample[key], track_meta=False)
            if label.shape[0] != 1:
                raise ValueError(
                    f"'{key}' must be a label map (1, *spatial), but has the shape {tuple(label.shape)}; "
                    "apply LabelsToRegionsd once, after EnsureChannelFirstd"
                )
            strange = sorted(set(torch.unique(label).tolist()) - {0, *self.label_map.values()})
            if strange:
                raise ValueError(
                    f"'{key}' must hold 0 and the integers of label_map {self.label_map}, but holds {strange}; use the "
                    "label_map of this data set, and mode='nearest' wherever labels are resampled"
                )
            channels = [torch.isin(label, torch.tensor(found).to(label)) for found in self.integers.values()]
            sample[key] = convert_to_dst_type(torch.cat(channels), sample[key], dtype=torch.float32)[0]
        return sample


class RegionsToLabelsd(MapTransform):
    """Turn nested region probabilities into the data set's integer label map.

    Regions are painted from the largest to the smallest; a voxel takes the label that distinguishes the innermost
    region above ``threshold`` from the region inside it (Isensee et al. 2021, "nnU-Net for brain tumor segmentation",
    https://arxiv.org/abs/2011.00848, section 3). A voxel in an inner but in no outer region counts as inside both.
    Where two or more labels lie between two regions, the first one in the region's list is painted: the regions, and so
    the scores, do not depend on that choice.

    Args:
        keys: ``(R, *spatial)`` in the order of ``regions``; each becomes ``(1, *spatial)``, uint8.
        label_map: label name -> integer in the files; 0 is background.
        regions: region name -> label names; each region must contain the next smaller one.
        threshold: a voxel belongs to a region above it: 0.5 for probabilities, 0.0 for logits.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: if the regions are not strictly nested, or for the reasons of :class:`LabelsToRegionsd`; when
            called, if the number of channels is not the number of regions.

    Example:
        >>> regions = {"WT": ["edema", "enhancing"], "ET": ["enhancing"]}
        >>> to_labels = RegionsToLabelsd("pred", {"edema": 2, "enhancing": 4}, regions)
        >>> to_labels({"pred": torch.tensor([[0.1, 0.9, 0.8], [0.2, 0.3, 0.7]])})["pred"]
        tensor([[0, 2, 4]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_map: Mapping[str, int],
        regions: Mapping[str, Sequence[str]],
        threshold: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        integers = _region_integers(regions, label_map)
        names = sorted(integers, key=lambda region: -len(integers[region]))
        for outer, inner in itertools.pairwise(names):
            if not set(integers[inner]) < set(integers[outer]):
                raise ValueError(
                    f"regions must be strictly nested, but {inner} = {integers[inner]} does not lie inside {outer} = "
                    f"{integers[outer]}; drop one of them, or train exclusive classes and use ClassesToLabelsd"
                )
        inside = {outer: integers[inner] for outer, inner in itertools.pairwise(names)}
        rest = {name: [value for value in integers[name] if value not in inside.get(name, [])] for name in names}
        # (channel, integer), outermost region first.
        self.paint = [(list(integers).index(name), rest[name][0]) for name in names]
        self.dtype = _label_dtype([value for _, value in self.paint])
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            scores = convert_to_tensor(sample[key], track_meta=False)
            if scores.shape[0] != len(self.paint):
                raise ValueError(
                    f"'{key}' must have one channel per region, {len(self.paint)}, but has the shape "
                    f"{tuple(scores.shape)}; give the network out_channels={len(self.paint)}"
                )
            label = torch.zeros_like(scores[:1], dtype=self.dtype)
            for channel, value in self.paint:
                label[0][scores[channel] > self.threshold] = value
            sample[key] = convert_to_dst_type(label, sample[key], dtype=self.dtype)[0]
        return sample


class ClassesToLabelsd(MapTransform):
    """Turn scores of exclusive classes into the data set's integer label map: the integer of the largest channel.

    Args:
        keys: probabilities or logits ``(K, *spatial)``; each becomes ``(1, *spatial)``, uint8. Channel 0 is background.
        label_map: label name -> integer in the files; 0 is background and need not be named.
        classes: names of channels 1 to K - 1; all labels, ordered by their integers, if not given.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: if ``classes`` is not an ordering of the labels; when called, if the number of channels is not K.

    Example:
        >>> to_labels = ClassesToLabelsd("pred", {"anterior": 1, "posterior": 5})
        >>> to_labels({"pred": torch.tensor([[0.8, 0.1, 0.2], [0.1, 0.8, 0.3], [0.1, 0.1, 0.5]])})["pred"]
        tensor([[0, 1, 5]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_map: Mapping[str, int],
        classes: Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        labels = {name: int(value) for name, value in label_map.items() if int(value) != 0}
        classes = sorted(labels, key=labels.__getitem__) if classes is None else list(classes)
        if not labels or sorted(classes) != sorted(labels):
            raise ValueError(
                f"classes must name every label once, in channel order, but are {classes} for the labels "
                f"{sorted(labels)}; leave background out"
            )
        self.integers = [0, *(labels[name] for name in classes)]
        self.dtype = _label_dtype(self.integers)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            scores = convert_to_tensor(sample[key], track_meta=False)
            if scores.shape[0] != len(self.integers):
                raise ValueError(
                    f"'{key}' must have background and one channel per label, {len(self.integers)}, but has the shape "
                    f"{tuple(scores.shape)}; give the network out_channels={len(self.integers)}"
                )
            table = torch.tensor(self.integers, dtype=self.dtype, device=scores.device)
            sample[key] = convert_to_dst_type(table[scores.argmax(0, keepdim=True)], sample[key], dtype=self.dtype)[0]
        return sample
