"""What a trained network brings along into an evaluation or an inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medvol.networks import find_weights
from medvol.passport import read_passport

NOT_INHERITED = frozenset(
    "imports bundle_root output_dir cache_dir manifest dataset_dir weights pretrained data network_def network unet "
    "inferer preprocessing postprocessing initialize run finalize".split()
)
"""Keys of a training recipe that say where it ran or what it was built of, not how the network wants its input."""


def inherited(config: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    """Return the values that the weights' passport puts in the place of a config's defaults.

    Modalities, spacing, widths and the like of the training replace a *default* of the config, never a value that the
    user gave; so an evaluation pre-processes as the training did.

    Args:
        config: the config with the overrides applied.
        original: the config as it stands in its file.

    Example:
        >>> inherited({"weights": None, "spacing": 1.0}, {"spacing": 1.0})
        {}
    """
    try:
        path = find_weights(config["weights"])
        passport = (read_passport(path) if path else None) or {}
    except (OSError, ValueError, TypeError):
        return {}  # reported by the check of the weights, with what exists
    known = {**passport.get("recipe", {}), "label_map": (passport.get("data") or {}).get("label_map")}
    known |= {"run_name": passport.get("run"), "arm": passport.get("arm"), "seed": passport.get("seed")}
    return {
        key: known[key]
        for key, value in config.items()
        if known.get(key) is not None and key not in NOT_INHERITED and value == original.get(key, value)
    }


def fill_inherited(parser: ConfigParser, original: dict[str, Any]) -> dict[str, Any]:
    """Put into a config what the passport of its weights brings along.

    Args:
        parser: the config with the overrides applied; changed in place.
        original: the config as it stands in its file.

    Returns:
        The values by key; none for a config without the key ``weights``.

    Example:
        >>> fill_inherited(ConfigParser({"weights": None, "spacing": 1.0}), {"spacing": 1.0})
        {}
    """
    values = inherited(parser.config, original) if "weights" in parser.config else {}
    for key, value in values.items():
        parser[key] = value
    return values


def section_folder(section: str, corruption: str | None = None, severity: int | None = None) -> str:
    """Return the name of the folder, inside of a run's, that holds the scores on a section of the manifest.

    Args:
        section: the section.
        corruption: how its images were corrupted, or None.
        severity: how severely.

    Example:
        >>> section_folder("test"), section_folder("test", "noise", 3)
        ('test', 'test-noise-3')
    """
    return f"{section}-{corruption}-{severity}" if corruption else section


def results_dir(weights: str, name: str, corruption: str | None = None, severity: int = 1) -> str:
    """Return the folder for results beside a weights file: ``<folder of the weights>/<name>``.

    Scores of corrupted images get a folder of their own, of :func:`section_folder`.

    Args:
        weights: a path or a weights name such as ``"unet_brats@latest"``.
        name: the folder's name, such as the evaluated section.
        corruption: how the images were corrupted, or None.
        severity: how severely.
    """
    path = find_weights(weights)
    folder = section_folder(name, corruption, severity)
    return str((Path.cwd() if path is None else path.parent) / folder)
