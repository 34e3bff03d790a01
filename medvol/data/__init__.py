"""Data: manifests, splits, the seeded stream with its cache, folders for inference, and the phantom."""

from .cache import cache_root
from .datasets import StreamDataset, collate_stream, stream_loader
from .folder import folder_items, inference_items
from .manifest import Manifest, load_manifest, write_manifest
from .phantom import Case, make_case, phantom_manifest
from .splits import check_disjoint, order_patients, split_patients, subset_patients
from .stream import StreamSampler

__all__ = [
    "Case",
    "Manifest",
    "StreamDataset",
    "StreamSampler",
    "cache_root",
    "check_disjoint",
    "collate_stream",
    "folder_items",
    "inference_items",
    "load_manifest",
    "make_case",
    "order_patients",
    "phantom_manifest",
    "split_patients",
    "stream_loader",
    "subset_patients",
    "write_manifest",
]
