"""medvol: self-supervised pre-training for 3D medical images on MONAI, with radiographs as volumes of one slice.

A method is a transform, a network and a loss; a bundle in ``bundles/`` is the sentence that joins them.

Example:
    >>> import medvol
    >>> medvol.__version__.count(".")
    2
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "transforms", "networks", "losses", "engines", "data", "metrics", "bundles", "distributed", "passport", "figures",
    "writing", "study",
)  # fmt: skip

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> ModuleType:
    # Rooms load on first use: a config says "$import medvol" once and `medvol.data` costs nothing until it is read.
    if name in _ROOMS:
        return importlib.import_module(f"medvol.{name}")
    raise AttributeError(f"module 'medvol' has no attribute {name!r}")
