"""Is a run that lies in its place the one that the study asks for, made by the code that runs now?"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvol.passport import compare_passports, read_passport

__all__ = [
    "Identity",
    "OtherCodeError",
    "OtherRecipeError",
    "identity_of",
    "read_begun",
    "read_finished",
    "require_same",
    "shortened",
]

_SHOWN = 3  # differing keys in a message


class OtherCodeError(ValueError):
    """A run was made by other versions of medvol, torch or MONAI."""


class OtherRecipeError(ValueError):
    """A run was made with other settings, data or starting weights."""


@dataclass(frozen=True)
class Identity:
    """What a run would be if it started now.

    Attributes:
        hash: the run's hash.
        recipe: its config, with the hashes of what it names.
        versions: of medvol, its code, torch and MONAI.
    """

    hash: str
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]


def identity_of(bundle: str | os.PathLike[str], overrides: Mapping[str, Any]) -> Identity:
    """Return the identity that a training run would get, without starting it.

    Args:
        bundle: a bundle's name or folder; the config is ``train.json``.
        overrides: values by key.

    Raises:
        FileNotFoundError: no such bundle, manifest or weights.
        ValueError: a nested key leads nowhere, or a file is damaged.

    Example:
        >>> identity_of("unet_brats", {"steps": 3, "mlflow": False}).recipe["steps"]
        3
    """
    from medvol.bundles.identity import recipe, run_hash, versions
    from medvol.bundles.keys import plain_values
    from medvol.bundles.opening import open_bundle

    opened = open_bundle(bundle, "train.json", overrides)
    for key, value in plain_values(opened.config).items():  # as the guard does before it computes the hash
        opened.parser[key] = value
    return Identity(run_hash(opened.config), recipe(opened.config), versions())


def read_finished(run_dir: Path) -> dict[str, Any] | None:
    """Return the passport of a finished run, or None if there is none.

    Raises:
        ValueError: the passport is damaged, or the weights are not those that it speaks of.
    """
    model = run_dir / "model.pt"
    passport = read_passport(run_dir) if run_dir.is_dir() else None
    if passport is None or not model.is_file():
        return None
    if passport.get("weights") != hashlib.sha256(model.read_bytes()).hexdigest():
        raise ValueError(
            f"{model} must hold the weights that its passport speaks of; found other bytes; remove the folder "
            f"{run_dir} to train it again"
        )
    return passport


def read_begun(run_dir: Path) -> dict[str, Any] | None:
    """Return the note that a run leaves when it begins, or None if there is none.

    Raises:
        ValueError: the note is damaged.
    """
    note = run_dir / "run.json"
    if not note.is_file():
        return None
    try:
        record = json.loads(note.read_text(encoding="utf-8"))
        return {"hash": record["hash"], "recipe": record["recipe"], "versions": record["versions"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"the note {note} must say which run was begun there; found {type(error).__name__}: {error}; remove the "
            f"folder {run_dir} to train it again"
        ) from error


def require_same(found: Mapping[str, Any], wanted: Identity, run_dir: Path, accept_other_code: bool = False) -> None:
    """Check that a run is the one that is wanted.

    Args:
        found: its passport, or the note that it left when it began.
        wanted: what would be run now.
        run_dir: its folder, for the message.
        accept_other_code: whether other versions will do.

    Raises:
        OtherRecipeError: settings, data or starting weights differ; the message names the first ones.
        OtherCodeError: versions differ alone.
    """
    kept = found.get("recipe") or {}
    if kept != wanted.recipe:
        raise OtherRecipeError(
            f"the run '{run_dir.name}' must be the one that the study asks for; found another under its name, with "
            f"{_differences(kept, wanted.recipe)}; choose another --out, or remove {run_dir} to train it anew"
        )
    if found.get("hash") == wanted.hash or accept_other_code:
        return
    differing = _differences(found.get("versions") or {}, wanted.versions)
    raise OtherCodeError(
        f"the run '{run_dir.name}' must come from the code that runs now; found it made by {differing}; keep it with "
        f"--accept_other_code, or remove {run_dir} to train it anew"
    )


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    differing = compare_passports(dict(found), dict(wanted))
    shown = [
        f"{key} {shortened(one)} and not {shortened(other)}" for key, (one, other) in list(differing.items())[:_SHOWN]
    ]
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return ", ".join(shown) + more


def shortened(value: Any) -> str:
    """Return a value of a recipe as a message shows it.

    Example:
        >>> shortened([8, 16]), shortened("a3e33a2e" * 8)
        ('[8, 16]', 'a3e33a2e')
    """
    text = json.dumps(value, default=str)
    is_hash = isinstance(value, str) and len(value) == 64
    return value[:8] if is_hash else text if len(text) <= 60 else f"{text[:57]}..."
