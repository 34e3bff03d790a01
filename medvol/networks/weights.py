# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Weights by name: find the file, read it safely, hash what is in it."""

from __future__ import annotations

import hashlib
import os
from difflib import get_close_matches
from pathlib import Path

import torch

__all__ = ["find_bundle", "find_weights", "is_scratch", "read_weights", "weights_hash"]

_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
_CONFIGS = ("train.json", "inference.json", "configs")
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_bundles" if (_PACKAGE / "_bundles").is_dir() else _PACKAGE.parent / "bundles"
"""Where the bundles lie that came with medvol: inside of the wheel, or beside the package in a source tree."""


def is_scratch(weights: str | os.PathLike[str] | None) -> bool:
    """Whether ``weights`` says "from scratch": None, "none", "null" or "".

    Example:
        >>> is_scratch("None"), is_scratch("cpc3d")
        (True, False)
    """
    return weights is None or (isinstance(weights, str) and weights.strip().lower() in ("", "none", "null"))


def find_bundle(name: str | os.PathLike[str]) -> Path:
    """The folder of a bundle, given its name, its folder or one of its config files.

    A bare name is looked for in ``./bundles``, then among the bundles that were installed with medvol.

    Args:
        name: "cpc3d", "bundles/cpc3d" or "bundles/cpc3d/train.json".

    Returns:
        The bundle's folder.

    Raises:
        FileNotFoundError: when there is no such bundle; the message lists those that exist.
    """
    path = Path(name)
    candidates = [path.parent if path.is_file() else path]
    if os.fspath(name) == path.name and not path.suffix:  # "./cpc3d" is a folder, and not looked for elsewhere
        candidates = [Path("bundles") / path, _INSTALLED / path, path]
    for folder in candidates:
        folder = folder.parent if folder.name == "configs" else folder
        if _is_bundle(folder):
            return folder
    known = sorted(_all_bundles())
    what = f"the folder {path} without {_CONFIGS[0]}" if path.is_dir() else f"{str(name)!r}, which is none"
    raise FileNotFoundError(
        f"a bundle's name, folder or config file is expected, found {what}."
        f"{_near(str(name), known)} Give one of: {', '.join(known) or 'none here: run beside bundles/'}."
    )


def find_weights(spec: str | os.PathLike[str] | None, eval_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """The weights file that a specification names.

    Args:
        spec: a path (exactly that file); ``cpc3d@latest``, the newest finished run of a bundle; ``cpc3d@<run>``, that
            run; ``cpc3d``, the bundle's released file ``models/model.pt``; None, "none", "null" or "" for scratch.
        eval_dir: where the bundle's runs lie, if not in ``<bundle>/eval``.

    Returns:
        The file, or None for scratch.

    Raises:
        FileNotFoundError: when nothing of that name exists; the message lists what does.

    Example:
        >>> find_weights("none") is None
        True
    """
    if is_scratch(spec):
        return None
    text = os.fspath(spec)
    path = Path(text)
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES:
        raise FileNotFoundError(
            f"weights expect an existing file, found nothing at {text}; {_inventory(text, eval_dir)}"
        )
    name, at, run = text.rpartition("@")
    if not at:
        return _released(text, eval_dir)
    bundle = find_bundle(name)
    runs = Path(eval_dir) if eval_dir is not None else bundle / "eval"
    run = _latest(name, runs, eval_dir) if run == "latest" else run
    path = runs / run / "model.pt"
    if len(Path(run).parts) != 1 or run == ".." or not path.is_file():
        raise FileNotFoundError(f"{text} expects a finished run, found no {path}; {_inventory(text, eval_dir)}")
    return path


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Reads a plain state dict on the CPU without ever executing what is in the file.

    Args:
        path: a file of ``torch.save(network.state_dict(), path)``, or ``.safetensors`` if that package is installed.

    Returns:
        Tensors by name; in a file of safetensors' ``save_model`` every name of a tensor that has two.

    Raises:
        ValueError: when the file holds anything else than tensors by name.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # foreign bytes make the restricted unpickler fail in any way
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"weights expect a state dict of tensors, found something else in {path} (not executed; {reason}); save it "
            "again with torch.save(network.state_dict(), path)."
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        found = f"a dict with {sorted(map(str, state))[:5]}" if isinstance(state, dict) else type(state).__name__
        raise ValueError(
            f"weights expect a state dict (tensors by name), found {found} in {path}; use the run's model.pt, or save "
            "the network's state_dict() alone."
        )
    return dict(state)


def weights_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's tensors: name, dtype, shape and bytes in sorted order, whatever the file's name and packing.

    Args:
        path: a weights file as for ``read_weights``.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(read_weights(path).items()):
        digest.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ValueError(
            f"reading {path} expects the package safetensors, found none; run pip install -e '.[export]' in "
            "medvol's folder, or use a .pt file."
        ) from error
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            notes = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"weights expect a safetensors file, found {error} in {path}; copy it again.") from error
    # `save_model` writes a tensor of two names once, and notes the other name with the one it stands under.
    return {**state, **{name: state[kept] for name, kept in notes.items() if name not in state and kept in state}}


def _released(text: str, eval_dir: str | os.PathLike[str] | None) -> Path:
    if Path(text).is_dir() and not _is_bundle(Path(text)):
        raise FileNotFoundError(
            f"weights expect a file or a bundle, found the folder {text}; name the file, as in {text}/model.pt."
        )
    path = find_bundle(text) / "models" / "model.pt"
    if not path.is_file():
        raise FileNotFoundError(f"{text} names released weights, found no {path}; {_inventory(text, eval_dir)}")
    return path


def _latest(name: str, runs: Path, eval_dir: str | os.PathLike[str] | None) -> str:
    latest = runs / "latest.txt"
    if not latest.is_file():
        raise FileNotFoundError(
            f"{name}@latest expects {latest}, found none: no run has finished; {_inventory(name, eval_dir)}"
        )
    return latest.read_text(encoding="utf-8").strip()


def _is_bundle(folder: Path) -> bool:
    return any((folder / config).exists() for config in _CONFIGS)


def _all_bundles() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (_INSTALLED, Path("bundles")):  # the current folder wins
        if root.is_dir():
            found.update({folder.name: folder for folder in sorted(root.iterdir()) if _is_bundle(folder)})
    return found


def _inventory(wanted: str, eval_dir: str | os.PathLike[str] | None) -> str:
    """The sentence that ends a refusal: what could have been meant, and everything that exists."""
    specs = []
    for name, folder in sorted(_all_bundles().items()):
        specs += [name] if (folder / "models" / "model.pt").is_file() else []
        specs += [f"{name}@{run}" for run in _finished(folder / "eval")]
    specs += (
        [str(Path(eval_dir) / run / "model.pt") for run in _finished(Path(eval_dir))] if eval_dir is not None else []
    )
    if not specs:
        return "no bundle here has finished runs or released weights; train one first, or give a path."
    return f"use one of: {', '.join(specs)}.{_near(wanted, specs)}"


def _finished(runs: Path) -> list[str]:
    return sorted(path.parent.name for path in runs.glob("*/model.pt"))


def _near(wanted: str, known: list[str]) -> str:
    near = get_close_matches(wanted, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""
