"""Importers: what is known of a public set's folders, one file per layout, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import medvol

from ..datalist import did_you_mean
from ..manifest import Manifest

LAYOUTS: dict[str, str] = {
    "aptos": "medvol.data.layouts.aptos:import_aptos",
    "bids": "medvol.data.layouts.bids:import_bids",
    "brats": "medvol.data.layouts.brats:import_brats",
    "chestxray": "medvol.data.layouts.chestxray:import_chestxray",
    "chexpert": "medvol.data.layouts.chexpert:import_chexpert",
    "covidx": "medvol.data.layouts.covidx:import_covidx",
    "csv": "medvol.data.layouts.table:import_table",
    "ctrate": "medvol.data.layouts.ctrate:import_ctrate",
    "dicom": "medvol.data.layouts.dicom:import_dicom",
    "folder": "medvol.data.layouts.folder:import_folder",
    "medmnist": "medvol.data.layouts.medmnist:import_medmnist",
    "mimic": "medvol.data.layouts.mimic:import_mimic",
    "msd": "medvol.data.layouts.msd:import_msd",
    "mura": "medvol.data.layouts.mura:import_mura",
    "nnssl": "medvol.data.layouts.nnssl:import_nnssl",
    "nnunet": "medvol.data.layouts.nnunet:import_nnunet",
    "openi": "medvol.data.layouts.openi:import_openi",
    "radiographs": "medvol.data.layouts.radiographs:import_radiographs",
    "rsna": "medvol.data.layouts.rsna:import_rsna",
    "ukb": "medvol.data.layouts.ukb:import_ukb",
}

__all__ = ["LAYOUTS", "find_importer", "import_manifest"]


def find_importer(layout: str) -> Callable[..., Manifest]:
    """Return the function that imports a layout.

    Raises:
        ValueError: no layout is called so.

    Example:
        >>> find_importer("msd").__name__
        'import_msd'
    """
    if layout not in LAYOUTS:
        raise ValueError(
            f"a layout must be one that medvol can import; found '{layout}'; {did_you_mean(layout, sorted(LAYOUTS))}"
        )
    module, function = LAYOUTS[layout].split(":")
    return getattr(importlib.import_module(module), function)


def import_manifest(layout: str, folder: str | Path, *, name: str | None = None, **options: Any) -> Manifest:
    """Make the manifest of a folder that follows a known layout.

    Args:
        layout: a key of :data:`LAYOUTS`.
        folder: the folder with the data; the root of the manifest, unless the importer says otherwise.
        name: name of the manifest; None for the folder's name.
        **options: the options of that importer, by keyword.

    Returns:
        The manifest; the last step of its provenance names the layout, medvol's version and the options.

    Raises:
        ValueError: an unknown layout or option, a missing option, or what the importer refuses.
        FileNotFoundError: no such folder, or no file of that layout in it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "P1.nii.gz").touch()
        >>> manifest = import_manifest("folder", folder, name="own", modalities=["t1"], patient="case")
        >>> manifest.patients("training"), manifest.provenance[0]["options"]["patient"]
        (['P1'], 'case')
    """
    importer = find_importer(layout)
    _check_options(layout, importer, options)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the layout '{layout}' is imported from a folder; there is no folder {folder}; correct the path"
        )
    manifest = importer(folder, name=name, **options)
    step = {"step": "import", "layout": layout, "medvol": medvol.__version__, "options": _plain(options)}
    steps = list(manifest.provenance)
    # An importer may have noted what it found in a step of its own: one step tells both.
    if steps and steps[-1].get("step") == "import" and steps[-1].get("layout") == layout:
        step = {**step, **{key: value for key, value in steps.pop().items() if key not in step}}
    manifest.provenance[:] = [*steps, step]  # a new manifest would look at every one of perhaps a million items again
    return manifest


def _check_options(layout: str, importer: Callable[..., Manifest], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(importer).parameters.values()
    known = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "name"}
    for option in options:
        if option not in known:
            raise ValueError(
                f"the layout '{layout}' takes options of its own; found '{option}'; {did_you_mean(option, known)}"
            )
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if missing:
        raise ValueError(
            f"the layout '{layout}' needs {', '.join(known)}; missing: {', '.join(missing)}; give each by its name"
        )


def _plain(value: Any) -> Any:
    """Return an option as JSON can hold it, without the place on this machine."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, PurePath) or (isinstance(value, str) and Path(value).is_absolute()):
        return Path(value).name
    return value
