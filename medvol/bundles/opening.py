"""Open a bundle's config outside of MONAI's runner, with overrides applied, for the tools that look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medvol.networks import find_bundle

from .keys import plain_values
from .plain import resolve_weights
from .reading import read_json

__all__ = ["KeyPlaceError", "OpenBundle", "config_file", "open_bundle", "read_json"]


class KeyPlaceError(ValueError):
    """A nested key leads to no place in a config.

    Args:
        message: what was expected, found, and to do.
        key: the key.
    """

    def __init__(self, message: str, key: str) -> None:
        self.key = key
        super().__init__(message)


@dataclass(frozen=True)
class OpenBundle:
    """A bundle's config, ready to resolve.

    Attributes:
        folder: the bundle's folder, absolute.
        file: the config file.
        original: the config as it stands in the file.
        parser: the config with the overrides and the metadata (``_meta_``) applied; nothing is built yet.
    """

    folder: Path
    file: Path
    original: dict[str, Any]
    parser: ConfigParser

    @property
    def name(self) -> str:
        """The bundle's name, that of its folder."""
        return self.folder.name

    @property
    def config(self) -> dict[str, Any]:
        """The config with the overrides applied."""
        return self.parser.config


def config_file(bundle: str | Path, config: str = "train.json") -> Path:
    """Return a config file of a bundle.

    Args:
        bundle: a bundle's name or folder, or one of its config files, which is then returned itself.
        config: name of the file; the suffix may be left out.

    Raises:
        FileNotFoundError: no such bundle, or no such file in it; the message names the nearest one, or those there are.
    """
    path = Path(bundle)
    if path.is_file():
        return path.absolute()
    folder = find_bundle(str(bundle))
    file = folder / (config if Path(config).suffix else f"{config}.json")
    if not file.is_file():
        known = sorted(p.name for p in folder.glob("*.json") if p.name != "metadata.json")
        raise FileNotFoundError(
            f"a config of the bundle {folder.name} is expected, found no {file.name}; give one of {', '.join(known)}"
        )
    return file.absolute()


def open_bundle(
    bundle: str | Path, config: str = "train.json", overrides: Mapping[str, Any] | None = None
) -> OpenBundle:
    """Open a config of a bundle as ``python -m monai.bundle run`` would, without building or checking anything.

    Args:
        bundle: a bundle's name, folder or config file.
        config: which config, where ``bundle`` is not itself a file.
        overrides: values by key; ``"train::trainer::clip_norm"`` reaches into the config.

    Raises:
        FileNotFoundError: no such bundle or config.
        ValueError: a file is not JSON.
        KeyPlaceError: a nested key leads nowhere.

    Example:
        >>> open_bundle("cpc3d", overrides={"steps": 3}).config["steps"]
        3
    """
    file = config_file(bundle, config)
    folder = file.parent.parent if file.parent.name == "configs" else file.parent
    original = read_json(file)
    parser = ConfigParser(json.loads(json.dumps(original)))
    metadata = folder / "metadata.json"
    if metadata.is_file():
        parser["_meta_"] = read_json(metadata)
    given = {**(overrides or {})}
    if "bundle_root" in original and "bundle_root" not in given:
        given["bundle_root"] = str(folder)  # the expression in the file asks the running workflow, and none is running
    for key, value in {**given, **plain_values(given)}.items():
        try:
            parser[key] = value
        except (KeyError, ValueError, IndexError) as error:
            raise KeyPlaceError(
                f"the key '{key}' must lead to a place in {file.name}; found none ({error}); "
                f"see 'python -m medvol show {folder.name}'",
                key,
            ) from error
    resolve_weights(parser)
    return OpenBundle(folder, file, original, parser)
