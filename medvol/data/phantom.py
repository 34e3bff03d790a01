"""The data set that is always there: simulated glioma patients, made on first use and kept in the cache."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nibabel as nib
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from .anatomy import check_spacing, load_template, tumor_sites
from .cache import cache_root
from .case import VERSION, Case, make_case
from .contrast import MODALITIES
from .tumor import EDEMA, ENHANCING, NECROSIS

__all__ = ["VERSION", "Case", "make_case", "phantom_manifest"]

DESCRIPTION = (
    "Simulated gliomas on randomly deformed copies of one average brain, made by medvol.data.phantom version {version} "
    "at {spacing} mm with seed {seed}. For smoke tests, demonstrations and timing; it says nothing about how well a "
    "method works on patients. Grown on the ICBM 152 nonlinear symmetric 2009a template maps as shipped with nilearn "
    "(Fonov et al. 2011, https://doi.org/10.1016/j.neuroimage.2010.07.033; Collins et al. 1999). {licence}"
)
LICENSE = (
    "ICBM 152 template: Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological "
    "Institute, McGill University. Permission to use, copy, modify, and distribute this software and its documentation "
    "for any purpose and without fee is hereby granted, provided that the above copyright notice appear in all copies. "
    "The authors and McGill University make no representations about the suitability of this software for any purpose. "
    'It is provided "as is" without express or implied warranty. The authors are not responsible for any data loss, '
    "equipment damage, property loss, or injury to subjects or patients resulting from the use or misuse of this "
    "software package."
)


def phantom_manifest(
    num_cases: int = 24,
    spacing: float = 2.0,
    seed: int = 0,
    workers: int | None = None,
    root: str | os.PathLike | None = None,
) -> Path:
    """Make the phantom data set unless it is there, and return its manifest.

    Cases are written in the BraTS layout (`phantom_000/phantom_000_flair.nii.gz` ..., int16, labels uint8). Each
    appears whole or not at all and the manifest comes last, so a killed run is resumed where it stopped; a second
    process waits for the first. Cases are made in threads: numpy, scipy and zlib release the interpreter's lock, and no
    new process has to import the caller's main module again.

    Args:
        num_cases: number of patients, at least 3; a sixth each for validation and test.
        spacing: voxel size in mm, 1 to 6 in whole numbers.
        seed: names the patients; the first cases of a larger set are those of a smaller one.
        workers: number of threads; None means one per processor that this process may use.
        root: folder to put the data set's folder in, instead of `medvol.data.cache.cache_root()`.

    Returns:
        Path of `manifest.json`, in the decathlon datalist form.

    Raises:
        ValueError: an argument is out of range.
        FileNotFoundError: the template is missing, see `anatomy.template_folder`.
        OSError: the folder cannot be written or the disk is full; what was finished stays.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     phantom_manifest(3, spacing=6, root=folder).parent.name
        'phantom-v1-6mm-3cases-seed0'
    """
    step = check_spacing(spacing)
    for name, value, least in (("num_cases", num_cases, 3), ("seed", seed, 0), ("workers", workers, 1)):
        if value is not None and (value != int(value) or value < least):
            raise ValueError(
                f"{name} must be a whole number of at least {least}; found {value!r}; change it in the call"
            )
    folder = Path(root or cache_root()) / f"phantom-v{VERSION}-{step}mm-{num_cases}cases-seed{seed}"
    manifest = folder / "manifest.json"
    names = [f"phantom_{number:03d}" for number in range(num_cases)]
    if _finished(manifest, names):
        return manifest
    load_template(
        step
    )  # here, so that a missing template is reported before a folder is made, and once for all threads
    tumor_sites()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not _finished(manifest, names):
                _write_cases(folder, names, step, seed, workers or _num_processors())
                _write_manifest(manifest, names, step, seed)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the phantom needs a folder to write, with about {num_cases * 13 // step**3 + 1} MB free; found {error} "
            f"at {folder}; free the space, or set the environment variable MEDVOL_CACHE to another folder",
        ) from error
    return manifest


def _finished(manifest: Path, names: list[str]) -> bool:
    """Say whether the manifest and every case's folder are there."""
    return manifest.is_file() and all((manifest.parent / name).is_dir() for name in names)


def _num_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_cases(folder: Path, names: list[str], spacing: int, seed: int, workers: int) -> None:
    """Make the cases that are missing, in threads, with a progress bar."""
    missing = [number for number, name in enumerate(names) if not (folder / name).is_dir()]
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(names), initial=len(names) - len(missing), desc="phantom", unit="case") as bar,
    ):
        try:
            for done in as_completed([pool.submit(_write_case, folder, names[n], (seed, n), spacing) for n in missing]):
                done.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_case(folder: Path, name: str, seed: tuple[int, int], spacing: int) -> None:
    """Write one case into a temporary folder, then give it its name."""
    case = make_case(seed, spacing)
    part = folder / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)  # left by a killed run; the lock is ours
    part.mkdir()
    for modality, image in zip(MODALITIES, case.images, strict=True):
        # Rounded up: a dark voxel of the brain stays apart from the background.
        _save(part / f"{name}_{modality}.nii.gz", np.ceil(np.minimum(image, 32767)).astype(np.int16), case.affine)
    _save(part / f"{name}_seg.nii.gz", case.label, case.affine)
    part.replace(folder / name)


def _save(path: Path, volume: NDArray, affine: NDArray[np.float64]) -> None:
    """Write `(X, Y, Z)` as compressed NIfTI in MNI space."""
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    nib.save(image, path)


def _write_manifest(path: Path, names: list[str], spacing: int, seed: int) -> None:
    """Write the manifest whole or not at all."""
    held_out = max(1, len(names) // 6)
    train = len(names) - 2 * held_out
    items = [
        {"image": [f"{n}/{n}_{m}.nii.gz" for m in MODALITIES], "label": f"{n}/{n}_seg.nii.gz", "patient": n}
        for n in names
    ]
    content = {
        "name": "phantom",
        "description": DESCRIPTION.format(version=VERSION, spacing=spacing, seed=seed, licence=LICENSE),
        "licence": "simulation: Apache-2.0, as medvol; template: the ICBM 152 notice in the description",
        "synthetic": True,
        "modalities": list(MODALITIES),
        "label_map": {"background": 0, "necrosis": NECROSIS, "oedema": EDEMA, "enhancing": ENHANCING},
        "root": ".",
        "training": items[:train],
        "validation": items[train : train + held_out],
        "test": items[train + held_out :],
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
