"""Reading an image file of any format: nibabel for NIfTI, Pillow for pictures, SimpleITK for DICOM and all else.

Values and affine are those that MONAI's ``LoadImage`` gives for the same file, so that what is checked is what is
trained on. Only the axes of what lies on a plane differ: (rows, columns) here, the other way around there unless
``PILReader`` is told ``reverse_indexing=False`` and ``ITKReader`` ``reverse_indexing=True``.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented short name)
from PIL import Image, UnidentifiedImageError

from .files import members
from .series import series_files, tilt, unevenness

_NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")
_PILLOW = (".png", ".jpg", ".jpeg", ".bmp")
# A picture has no place in the patient's space, and its first axis runs down.
_PICTURES = (*_PILLOW, ".tif", ".tiff")
# SimpleITK writes the patient's axes as left, posterior, superior; nibabel and MONAI as right, anterior, superior.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# What the readers raise about bytes they cannot use (a header with damaged sizes asks for more memory than there is);
# anything else is a defect of ours and stays as it is.
_UNREADABLE = (
    RuntimeError, ValueError, EOFError, OSError, MemoryError, OverflowError, zlib.error, UnidentifiedImageError,
    Image.DecompressionBombError, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
    nib.spatialimages.HeaderTypeError, nib.spatialimages.ImageDataError, nib.wrapstruct.WrapStructError,
)  # fmt: skip
sitk.ProcessObject_SetGlobalWarningDisplay(False)  # what it would print stands in our errors and in Header.tags


@dataclass(frozen=True)
class Header:
    """What a file says about its image before a voxel is read.

    Attributes:
        shape: spatial size: (X, Y, Z) of a volume, in the file's own axes; (rows, columns) of a radiograph.
        channels: values per voxel.
        spacing: millimeters per voxel along each axis of ``shape``, to six digits; NaN where a picture does not say.
        affine: voxel to right-anterior-superior millimeters, 4x4; None for a picture.
        dtype: type of the stored numbers, by NumPy's name.
        tags: DICOM's own words where there are any: ``modality``, ``patient``, ``study``, ``series``,
            ``description``, ``photometric`` (as stored: the values of MONOCHROME1 are turned around as they are
            read, bright is dense), ``frames``; and what is odd about the geometry, in words: ``uneven`` if a
            series' slices are not evenly spaced, ``tilted`` if they are shifted against each other, which the affine
            cannot say, ``disagreement`` if a NIfTI file contradicts itself.
    """

    shape: tuple[int, ...]
    channels: int
    spacing: tuple[float, ...]
    affine: np.ndarray | None
    dtype: str
    tags: dict[str, str]

    @property
    def is_radiograph(self) -> bool:
        """Whether the image lies on a plane: rows and columns, no third axis."""
        return len(self.shape) == 2


def read_header(path: str | Path) -> Header:
    """Read what a file says about its image, without its voxels.

    Args:
        path: an image file, or a folder with the slices of one DICOM series.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no reader understands the file, or the folder does not hold exactly one readable series.
    """
    return _read(Path(path), values=False)[0]


def read_image(path: str | Path) -> tuple[Header, np.ndarray]:
    """Read an image whole.

    Args:
        path: an image file, or a folder with the slices of one DICOM series.

    Returns:
        Header, and the values after the file's own slope and intercept, ``(*shape)`` or ``(*shape, channels)``: (X, Y,
        Z) for volumes, (rows, columns) for radiographs.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no reader understands the file, it ends too early, or the folder does not hold exactly one readable
            series.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.nii.gz"
        >>> nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1, 1, 3, 1])), file)
        >>> header, values = read_image(file)
        >>> header.spacing, values.shape
        ((1.0, 1.0, 3.0), (4, 5, 6))
    """
    return _read(Path(path), values=True)


def _read(path: Path, values: bool) -> tuple[Header, Any]:
    if not members(path):
        raise FileNotFoundError(f"an image is a file or a folder of DICOM slices; nothing is at {path}; get the data")
    slices = series_files(path) if path.is_dir() else []
    name = path.name.lower()
    try:
        if slices:
            header, found = _read_series(slices, values)
        elif name.endswith(_NIFTI):
            header, found = _read_nifti(path, values)
        elif name.endswith(_PILLOW):
            header, found = _read_picture(path, values)
        else:
            header, found = _read_itk(path, values)
        _check_form(header, found)
    except _UNREADABLE as error:
        raise ValueError(
            f"an image must be readable as NIfTI, NRRD, MHA, DICOM, PNG, JPEG or TIFF; {path} is not "
            f"({_reason(error)}); get the file again, or convert it"
        ) from error
    return header, found


def _check_form(header: Header, values: np.ndarray | None) -> None:
    if min(header.shape) < 1 or header.channels < 1:
        raise ValueError(f"its header states the size {header.shape} with {header.channels} channels")
    if "complex" in header.dtype:
        raise ValueError("its values are complex numbers; an image has their magnitude")
    expected = header.shape + ((header.channels,) if header.channels > 1 else ())
    if values is not None and values.shape != expected:
        raise ValueError(f"its header states {expected}, its values have {values.shape}")


def _reason(error: Exception) -> str:
    text = re.split(r"ITK ERROR: |sitk::ERROR: ", str(error))[-1]
    text = re.sub(r"\w+\(0x[0-9a-f]+\): ", "", text)  # an object's address
    return " ".join(text.split())[:200] or type(error).__name__


def _digits(spacing: Any) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in spacing)


def _as_monai_reads_it(image: Any) -> Any:
    if len(image.shape) == 3 and np.allclose(image.header.get_zooms(), nib.affines.voxel_sizes(image.affine)):
        return image  # nothing to correct, and MONAI takes seconds to load
    from monai.data.utils import correct_nifti_header_if_necessary

    return correct_nifti_header_if_necessary(image)


def _read_nifti(path: Path, values: bool) -> tuple[Header, Any]:
    image = nib.load(path, mmap=False)  # a mapped file that somebody shortens kills the process
    stated, tags = np.array(image.affine, float), {}
    if np.isfinite(stated).all():
        image = _as_monai_reads_it(image)
        if not np.allclose(image.affine, stated):
            tags["disagreement"] = "sform and pixdim state different spacings; the qform stands, as in MONAI"
    shape = tuple(int(size) for size in image.shape)
    shape = shape + (1,) * (3 - len(shape))
    dtype = image.get_data_dtype()
    colors = len(dtype) if dtype.names else 1  # RGB is stored as a structure of bytes
    plain = (dtype[0] if dtype.names else dtype).newbyteorder("=")
    channels = int(np.prod(shape[3:], dtype=object)) * colors
    spacing = _digits(nib.affines.voxel_sizes(image.affine))
    header = Header(shape[:3], channels, spacing, np.array(image.affine, float), str(plain), tags)
    _check_form(header, None)
    if not values:
        return header, None
    found = np.asanyarray(image.dataobj)
    if path.name.lower().endswith(".gz"):
        _read_to_the_end(path)
    found = found.view((dtype[0], (colors,))) if dtype.names else found
    # Vector images have an empty time axis in between.
    found = found.reshape(*header.shape, *([channels] if channels > 1 else []))
    return header, found.astype(found.dtype.newbyteorder("="), copy=False)


def _read_to_the_end(path: Path) -> None:
    # nibabel stops at the last voxel; the sum that tells a damaged file lies behind it.
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass


def _read_picture(path: Path, values: bool) -> tuple[Header, Any]:
    with Image.open(path) as picture:
        sample = np.asarray(Image.new(picture.mode, (1, 1)))
        channels = sample.shape[2] if sample.ndim == 3 else 1
        columns, rows = picture.size
        header = Header((rows, columns), channels, (np.nan, np.nan), None, str(sample.dtype), {})
        return header, np.array(picture) if values else None


def _read_itk(path: Path, values: bool) -> tuple[Header, Any]:
    reader = _itk_reader(path)
    header = _itk_header(reader, path)
    return header, _ordered(reader.Execute(), header) if values else None


def _read_series(files: list[str], values: bool) -> tuple[Header, Any]:
    readers = [_itk_reader(Path(file)) for file in files]
    header = _series_header(readers, Path(files[0])) if len(files) > 1 else _itk_header(readers[0], Path(files[0]))
    if not values:
        return header, None
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    return header, _ordered(reader.Execute(), header)


def _itk_reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


_TAGS = {
    "modality": "0008|0060", "patient": "0010|0020", "study": "0020|000d", "series": "0020|000e",
    "description": "0008|103e", "photometric": "0028|0004", "frames": "0028|0008",
}  # fmt: skip


def _itk_header(reader: sitk.ImageFileReader, path: Path) -> Header:
    size, spacing = tuple(map(int, reader.GetSize())), reader.GetSpacing()
    keys = set(reader.GetMetaDataKeys())
    tags = {name: reader.GetMetaData(tag).strip("\0 ") for name, tag in _TAGS.items() if tag in keys}
    dtype = sitk.GetPixelIDValueAsString(reader.GetPixelID()).removeprefix("vector of ")
    dtype = _DTYPES.get(dtype, dtype)
    channels = reader.GetNumberOfComponents()
    picture = path.name.lower().endswith(_PICTURES)
    # A DICOM radiograph is a stack of one: DICOM itself knows planes only.
    if picture or len(size) == 2 or (size[2:] == (1,) and bool(tags)):
        if size[2:] not in ((), (1,)):
            raise ValueError(f"a picture has one page; it has {size[2]}")
        known = (np.nan, np.nan) if picture else _digits((spacing[1], spacing[0]))
        return Header((size[1], size[0]), channels, known, None, dtype, tags)
    channels *= size[3] if len(size) == 4 else 1
    affine = _affine(reader.GetDirection(), reader.GetOrigin(), spacing)
    return Header(size[:3], channels, _digits(spacing[:3]), affine, dtype, tags)


_DTYPES = {
    "8-bit unsigned integer": "uint8", "8-bit signed integer": "int8", "16-bit unsigned integer": "uint16",
    "16-bit signed integer": "int16", "32-bit unsigned integer": "uint32", "32-bit signed integer": "int32",
    "64-bit unsigned integer": "uint64", "64-bit signed integer": "int64", "32-bit float": "float32",
    "64-bit float": "float64",
}  # fmt: skip


def _series_header(readers: list[sitk.ImageFileReader], file: Path) -> Header:
    first, origins = readers[0], np.array([reader.GetOrigin() for reader in readers])
    slice_header = _itk_header(first, file)
    # As ITK's series reader does it: the first slice's axes, and the mean step from the first to the last. They
    # are sorted along the third axis, so that it never turns around.
    step = float(np.linalg.norm(origins[-1] - origins[0])) / (len(readers) - 1) or float(first.GetSpacing()[2])
    direction = np.array(first.GetDirection()).reshape(3, 3)
    spacing = (*first.GetSpacing()[:2], step)
    odd = {"uneven": unevenness(origins, direction[:, 2]), "tilted": tilt(origins, direction[:, 2])}
    return Header(
        shape=(*map(int, first.GetSize()[:2]), len(readers)),
        channels=slice_header.channels,
        spacing=_digits(spacing),
        affine=_affine(direction.ravel(), first.GetOrigin(), spacing),
        dtype=slice_header.dtype,
        tags={**slice_header.tags, **{name: words for name, words in odd.items() if words}},
    )


def _affine(direction: Any, origin: Any, spacing: Any) -> np.ndarray:
    axes = round(len(direction) ** 0.5)
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, float).reshape(axes, axes)[:3, :3] * np.asarray(spacing[:3], float)
    affine[:3, 3] = origin[:3]
    return _LPS_TO_RAS @ affine


def _ordered(image: sitk.Image, header: Header) -> np.ndarray:
    """Return SimpleITK's (slices, rows, columns[, channels]) in the header's order."""
    values = sitk.GetArrayFromImage(image)
    if header.is_radiograph:
        return values.reshape(*header.shape, *([header.channels] if header.channels > 1 else []))
    if image.GetDimension() == 4:  # time, slices, rows, columns
        return values.transpose(3, 2, 1, 0)[..., 0] if values.shape[0] == 1 else values.transpose(3, 2, 1, 0)
    return values.transpose(2, 1, 0, *range(3, values.ndim))
