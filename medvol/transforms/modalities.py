"""Keep the channels that a data item asks for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

__all__ = ["SelectChannelsd"]


class SelectChannelsd(MapTransform):
    """Keep the channels whose indices the data item carries, in that order; change nothing if it carries none.

    A manifest names modalities; ``Manifest.items(modalities=...)`` translates the names into ``channels``, the
    positions in the file, so that no config ever counts channels. The entry is used up: a second ``SelectChannelsd``
    is the identity, and no stale index list reaches the batch.

    Args:
        keys: images ``(C, *spatial)``; each becomes ``(len(channels), *spatial)``.
        channels_key: where the data item carries its list of channel indices.
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: when called, if an index is not a channel of the image, or the list is empty or repeats one.

    Example:
        >>> SelectChannelsd("image")({"image": torch.arange(3.0).view(3, 1, 1), "channels": [2, 0]})["image"].flatten()
        tensor([2., 0.])
    """

    def __init__(self, keys: KeysCollection, channels_key: str = "channels", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels_key = channels_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply the selection to every key."""
        sample = dict(data)
        channels = sample.pop(self.channels_key, None)
        if channels is None:
            return sample
        channels = [int(channel) for channel in channels]
        for key in self.key_iterator(sample):
            image = sample[key]
            if not channels or len(set(channels)) < len(channels) or not set(channels) <= set(range(len(image))):
                raise ValueError(
                    f"'{self.channels_key}' must be distinct channel indices in 0..{len(image) - 1} of '{key}' with "
                    f"shape {tuple(image.shape)}, but is {channels}; check the modalities of the manifest"
                )
            if isinstance(image, torch.Tensor):
                sample[key] = image.index_select(0, torch.tensor(channels, device=image.device))
            else:
                sample[key] = image[channels]
        return sample
