"""The identity of a run: one hash over everything that can change its result, and nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import monai
import torch

import medvol
from medvol.data import load_manifest
from medvol.data.shards import Shards
from medvol.networks import find_weights, weights_hash

LEFT_OUT = frozenset(
    "run_name restart mlflow tracking reconstructions num_workers device bundle_root cache_dir output_dir".split()
)
"""Keys that change where or how fast a run happens, never what comes out of it."""

_FILLED_IN = frozenset("run_dir passport _meta_ tracking_uri experiment_name save_execute_config is_not_rank0".split())
_MANIFEST_KEYS, _WEIGHT_KEYS, _SHARD_KEYS = ("manifest",), ("pretrained", "weights"), ("shards",)


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return the SHA-256 over the names and bytes of medvol's own ``*.py`` files, in sorted order.

    Example:
        >>> len(code_hash())
        64
    """
    digest = hashlib.sha256()
    root = Path(medvol.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def recipe(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with every path replaced by the hash of what it names, without the keys that do not matter.

    Args:
        config: the config after overrides, as plain JSON values.

    Raises:
        FileNotFoundError: when a manifest, a weights file or shards do not exist.
    """
    kept = {k: v for k, v in config.items() if k not in LEFT_OUT | _FILLED_IN}
    kept = json.loads(json.dumps(kept, default=str))  # tuples from the command line equal lists from the file
    for key in _MANIFEST_KEYS:
        if kept.get(key) is not None:
            kept[key] = load_manifest(kept[key], config.get("dataset_dir")).hash
            kept["dataset_dir"] = None  # the manifest's hash stands for the files, wherever they lie
    for key in _WEIGHT_KEYS:
        if key in kept:
            path = find_weights(kept[key])
            kept[key] = None if path is None else weights_hash(path)
    for key in _SHARD_KEYS:
        if kept.get(key) is not None:
            kept[key] = Shards(kept[key]).hash
    return _without_trackers(kept)


def _without_trackers(config: dict[str, Any]) -> dict[str, Any]:
    """Drop the handlers that ``--tracking mlflow`` appended."""
    for part in ("train", "validate"):
        handlers = config.get(part, {}).get("handlers") if isinstance(config.get(part), dict) else None
        if isinstance(handlers, list):
            config[part]["handlers"] = [h for h in handlers if not str(h.get("_target_", "")).endswith("MLFlowHandler")]
    return config


def versions() -> dict[str, str]:
    """Return the versions that enter a run's identity."""
    return {"medvol": medvol.__version__, "code": code_hash(), "torch": torch.__version__, "monai": monai.__version__}


def run_hash(config: dict[str, Any]) -> str:
    """Return the SHA-256 that identifies a run.

    Two equal hashes mean the same resolved config, data, starting weights, medvol source, torch and MONAI; it does
    not depend on the folder of bundle, data or weights, nor on the keys in ``LEFT_OUT``.

    Args:
        config: the config after overrides.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> run_hash({"steps": 1}) == run_hash({"steps": 1, "num_workers": 4, "run_name": "again"})
        True
    """
    text = json.dumps({"recipe": recipe(config), "versions": versions()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
