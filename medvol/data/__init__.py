"""Data: manifests and how to make, check and split them; the seeded stream with its cache and shards; the phantom."""

from __future__ import annotations

import importlib
from typing import Any

# Names load on first use, so that a command that only reads a manifest does not wait for torch.
_PLACES = {
    "Case": "case",
    "Manifest": "manifest",
    "StreamDataset": "datasets",
    "StreamSampler": "stream",
    "cache_root": "cache",
    "check_disjoint": "splits",
    "collate_stream": "datasets",
    "fold_manifests": "manifest_splits",
    "folder_items": "folder",
    "inference_items": "folder",
    "load_manifest": "manifest",
    "make_case": "case",
    "order_patients": "splits",
    "phantom_manifest": "phantom",
    "split_manifest": "manifest_splits",
    "split_patients": "splits",
    "stream_loader": "datasets",
    "subset_patients": "splits",
    "write_manifest": "manifest",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'medvol.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"medvol.data.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
