"""What must hold of the share of an image that a pre-training hides."""

from __future__ import annotations

from collections.abc import Iterator

from ..opening import OpenBundle
from ..refusal import Problem

__all__ = ["mask_rule"]


def mask_rule(opened: OpenBundle) -> Iterator[Problem]:
    """A network that encodes visible tokens alone gets as many of each sample: one share, not a range of them."""
    network, ratio = opened.config.get("network"), opened.config.get("mask_ratio")
    if not isinstance(network, dict) or not str(network.get("_target_", "")).endswith("MaskedViT"):
        return
    if isinstance(ratio, (list, tuple)):
        expected = "one 'mask_ratio', for all samples of a batch need as many visible tokens"
        yield Problem(expected, f"the range {list(ratio)}", "give one number, such as --mask_ratio 0.75")
