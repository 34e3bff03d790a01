"""Small real files for imitations of public layouts."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its documented short name)

from medvol.data import write_manifest
from medvol.data.checks import verify


@pytest.fixture(scope="session")
def write_image():
    """Write noise as whatever the suffix says: a plane for pictures and DICOM, a volume for NIfTI."""

    def write(path, channels=1):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-4:]).encode()))  # no two alike
        volume = path.name.endswith((".nii", ".nii.gz"))
        shape = (8, 8, 8) if volume else (8, 8, channels) if channels > 1 else (8, 8)
        image = sitk.GetImageFromArray(rng.integers(0, 255, shape, dtype=np.uint8), isVector=channels > 1)
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture(scope="session")
def errors_of():
    """Return what verify has against a manifest of such files."""

    def errors(manifest):
        report = verify(write_manifest(manifest.root / "written.json", manifest), duplicates=False, jobs=1)
        return [f"{finding.problem.kind} {finding.case}: {finding.problem.found}" for finding in report.errors]

    return errors


@pytest.fixture(scope="session")
def write_series():
    """Write slices of 8 x 6 voxels, 0.5 x 0.5 x 2 mm, whose values tell the slice, as one DICOM series."""

    def write(
        folder,
        uid,
        patient="P1",
        description="t1 mprage",
        study="1.2.1",
        modality="MR",
        positions=range(4),
        start=0,
        shift=0.0,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        for k, position in enumerate(positions):
            values = np.arange(48, dtype=np.int16).reshape(1, 8, 6) + 100 * k
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((0.5, 0.5, 2.0))
            image.SetOrigin((-3.0, shift * position - 4.0, 2.0 * position))
            tags = {
                "0008|0060": modality, "0008|103e": description, "0010|0020": patient, "0020|000d": study,
                "0020|000e": uid,
                "0008|0018": f"{uid}.{k + 1}", "0020|0013": str(k + 1),
                "0020|0032": f"-3\\{shift * position - 4}\\{2.0 * position}",
                "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "2",
            }  # fmt: skip
            for tag, value in tags.items():
                image.SetMetaData(tag, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(folder / f"{start + 9 - k}.dcm"))  # names in another order than positions
            writer.Execute(image)

    return write
