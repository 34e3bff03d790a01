import shutil
import struct
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from medvol.data.reading import read_header, read_image

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.integers(0, 1000, (4, 5, 6)).astype(np.int16)
SPACING, ORIGIN = (1.0, 2.0, 3.0), (5.0, -7.0, 9.0)
ROTATION = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
ROTATION *= np.linalg.det(ROTATION)
AFFINE = np.eye(4)
AFFINE[:3, :3], AFFINE[:3, 3] = ROTATION * SPACING, ORIGIN
# The same place in the axes of ITK: left, posterior, superior.
AFFINE_OF_ITK = np.diag([-1, -1, 1, 1]) @ AFFINE
GRAY = RANDOM.integers(0, 255, (7, 9)).astype(np.uint8)
DEEP = RANDOM.integers(0, 4000, (7, 9)).astype(np.uint16)
COLOR = RANDOM.integers(0, 255, (7, 9, 3)).astype(np.uint8)


def as_itk(values, direction=ROTATION, is_vector=False):
    """Give (X, Y, Z[, C]) to SimpleITK."""
    image = SimpleITK.GetImageFromArray(values.transpose(2, 1, 0, *range(3, values.ndim)), isVector=is_vector)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(np.ravel(direction).tolist())
    return image


def write_slices(folder, volume=VOLUME, direction=ROTATION, order=None, uid="1.2.3", shift=0.0, leave_out=()):
    folder.mkdir(exist_ok=True)
    image, writer = as_itk(volume, direction), SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z in [z for z in range(image.GetDepth()) if z not in leave_out]:
        one = image[:, :, z]
        place = np.add(image.TransformIndexToPhysicalPoint((0, 0, z)), direction[:, 1] * shift * z)
        one.SetMetaData("0008|0060", "MR")
        one.SetMetaData("0010|0020", "P7")
        one.SetMetaData("0020|000d", "1.2")
        one.SetMetaData("0020|000e", uid)
        one.SetMetaData("0020|0013", str(z))
        one.SetMetaData("0020|0032", "\\".join(f"{value:.10g}" for value in place))
        one.SetMetaData("0020|0037", "\\".join(f"{value:.10g}" for value in direction[:, :2].T.ravel()))
        writer.SetFileName(str(folder / f"{z if order is None else order[z]:03d}.dcm"))
        writer.Execute(one)
    return folder


def write_dicom(file, values, photometric="MONOCHROME2", is_vector=False):
    image = SimpleITK.GetImageFromArray(values, isVector=is_vector)
    image.SetSpacing((0.2, 0.3, 1.0)[: image.GetDimension()])
    image.SetMetaData("0008|0060", "DX")
    image.SetMetaData("0028|0004", photometric)
    SimpleITK.WriteImage(image, str(file))
    if photometric == "MONOCHROME1":  # which GDCM does not write
        file.write_bytes(file.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))
    return file


def write_nifti(file, values=VOLUME, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values, affine), file)
    return file


def write_itk(file, values=VOLUME, compress=False, is_vector=False):
    SimpleITK.WriteImage(as_itk(values, is_vector=is_vector), str(file), compress)
    return file


def write_forms(file, sform=None, qform=None):
    image = nibabel.Nifti1Image(VOLUME, None)
    image.set_qform(qform, int(qform is not None))
    image.set_sform(sform, int(sform is not None))
    if sform is not None:
        image.header.set_zooms(SPACING)
    nibabel.save(image, file)
    return file


def write_four(file):
    image = SimpleITK.GetImageFromArray(FOUR.transpose(3, 2, 1, 0), isVector=False)
    image.SetSpacing((*SPACING, 1))
    SimpleITK.WriteImage(image, str(file))
    return file


FOUR = RANDOM.random((4, 5, 6, 3)).astype(np.float32)
VOLUMES = {
    "a.nii": (write_nifti, VOLUME, AFFINE),
    "a.nii.gz": (write_nifti, VOLUME, AFFINE),
    "qform.nii": (lambda file: write_forms(file, qform=AFFINE), VOLUME, AFFINE),
    "sform.nii": (lambda file: write_forms(file, sform=AFFINE), VOLUME, AFFINE),
    "four.nii.gz": (lambda file: write_nifti(file, FOUR), FOUR, AFFINE),
    "one.nii.gz": (lambda file: write_nifti(file, FOUR[..., :1]), FOUR[..., 0], AFFINE),
    "flat.nii": (lambda file: write_nifti(file, VOLUME[..., :1]), VOLUME[..., :1], AFFINE),
    "a.nrrd": (write_itk, VOLUME, AFFINE_OF_ITK),
    "b.nrrd": (lambda file: write_itk(file, compress=True), VOLUME, AFFINE_OF_ITK),
    "a.nhdr": (write_itk, VOLUME, AFFINE_OF_ITK),
    "a.mha": (write_itk, VOLUME, AFFINE_OF_ITK),
    "a.mhd": (write_itk, VOLUME, AFFINE_OF_ITK),
    "vector.mha": (lambda file: write_itk(file, FOUR, is_vector=True), FOUR, AFFINE_OF_ITK),
    "vector.nrrd": (lambda file: write_itk(file, FOUR, is_vector=True), FOUR, AFFINE_OF_ITK),
    "four.nrrd": (write_four, FOUR, np.diag([-1, -2, 3, 1])),
    "series": (write_slices, VOLUME, AFFINE_OF_ITK),
    "backwards": (lambda file: write_slices(file, order=range(9, 0, -1)), VOLUME, AFFINE_OF_ITK),
    "oblique": (lambda file: write_slices(file, order=[3, 0, 5, 1, 4, 2]), VOLUME, AFFINE_OF_ITK),
}
RADIOGRAPHS = {
    "gray.png": (lambda file: Image.fromarray(GRAY).save(file), GRAY),
    "deep.png": (lambda file: Image.fromarray(DEEP).save(file), DEEP),
    "color.png": (lambda file: Image.fromarray(COLOR).save(file), COLOR),
    "gray.bmp": (lambda file: Image.fromarray(GRAY).save(file), GRAY),
    "gray.tif": (lambda file: Image.fromarray(GRAY).save(file), GRAY),
    "deep.tiff": (lambda file: Image.fromarray(DEEP).save(file), DEEP),
    "gray.jpg": (lambda file: Image.fromarray(GRAY).save(file), None),
    "color.jpeg": (lambda file: Image.fromarray(COLOR).save(file), None),
    "deep.dcm": (lambda file: write_dicom(file, DEEP), DEEP),
    # ITK turns these around as it reads, so that bright is what MONOCHROME2 has bright.
    "inverted_deep.dcm": (lambda file: write_dicom(file, DEEP, "MONOCHROME1"), 65535 - DEEP),
    "color.dcm": (lambda file: write_dicom(file, COLOR, "RGB", True), COLOR),
}


def same_header(one, other):
    places = (one.affine is None and other.affine is None) or np.array_equal(one.affine, other.affine)
    same = (one.shape, one.channels, one.dtype, one.tags) == (other.shape, other.channels, other.dtype, other.tags)
    return places and same and np.array_equal(one.spacing, other.spacing, equal_nan=True)


@pytest.mark.parametrize("name", VOLUMES)
def test_volume(name, tmp_path):
    write, expected, affine = VOLUMES[name]
    write(tmp_path / name)
    header, values = read_image(tmp_path / name)
    assert header.shape == expected.shape[:3]
    assert header.channels == (expected.shape[3] if expected.ndim > 3 else 1)
    assert header.spacing == SPACING
    assert header.dtype == str(expected.dtype) == str(values.dtype)
    assert np.array_equal(values, expected)
    np.testing.assert_allclose(header.affine, affine, atol=1e-5)
    assert not header.is_radiograph
    assert not {"uneven", "tilted", "disagreement"} & set(header.tags)
    assert same_header(read_header(tmp_path / name), header)


@pytest.mark.parametrize("name", RADIOGRAPHS)
def test_radiograph(name, tmp_path):
    write, expected = RADIOGRAPHS[name]
    write(tmp_path / name)
    header, values = read_image(str(tmp_path / name))
    assert header.is_radiograph
    assert (header.shape, header.affine) == ((7, 9), None)
    assert values.shape == ((7, 9, 3) if "color" in name else (7, 9))
    assert header.channels == (3 if "color" in name else 1)
    assert header.dtype == str(values.dtype) == ("uint16" if "de" in name else "uint8")
    assert expected is None or np.array_equal(values, expected)
    assert header.spacing == (0.3, 0.2) if name.endswith("dcm") else np.isnan(header.spacing).all()
    assert same_header(read_header(tmp_path / name), header)


def from_monai(path):
    from monai.transforms import LoadImaged

    return LoadImaged(keys="image", image_only=True, ensure_channel_first=True)({"image": str(path)})["image"]


def assert_as_monai(path):
    header, values = read_image(path)
    image = from_monai(path)
    ours = np.moveaxis(values, -1, 0) if header.channels > 1 else values[None]
    if header.is_radiograph:
        ours = ours.swapaxes(1, 2).reshape(image.shape)  # and ITK leaves a third axis of one
    else:
        np.testing.assert_allclose(image.affine.numpy(), header.affine, atol=1e-6)
    assert np.array_equal(image.numpy(), ours)


@pytest.mark.parametrize("name", [name for name in VOLUMES if ".nii" in name])
def test_monai_reads_the_same_nifti(name, tmp_path):
    VOLUMES[name][0](tmp_path / name)
    assert_as_monai(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in VOLUMES if ".nii" not in name])
@pytest.mark.filterwarnings("default")  # of itk's wrapping
def test_monai_reads_the_same_volume(name, tmp_path):
    VOLUMES[name][0](tmp_path / name)
    assert_as_monai(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", RADIOGRAPHS)
@pytest.mark.filterwarnings("default")
def test_monai_reads_the_same_radiograph_with_its_axes_swapped(name, tmp_path):
    RADIOGRAPHS[name][0](tmp_path / name)
    assert_as_monai(tmp_path / name)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_monai_reads_odd_series_the_same(tmp_path):
    for folder in (
        write_slices(tmp_path / "gap", leave_out=(2,)),
        write_slices(tmp_path / "tilted", shift=1.0),
        write_slices(tmp_path / "left", direction=ROTATION * [1, 1, -1]),
    ):
        assert_as_monai(folder)


def test_contradicting_forms_are_named_and_read_as_monai_does(tmp_path):
    image = nibabel.Nifti1Image(VOLUME, None)
    image.set_sform(AFFINE, 1)  # pixdim stays 1, 1, 1
    nibabel.save(image, tmp_path / "a.nii")
    header = read_header(tmp_path / "a.nii")
    assert "sform and pixdim" in header.tags["disagreement"]
    assert header.spacing == (1, 1, 1)
    assert_as_monai(tmp_path / "a.nii")


def test_other_forms_of_nifti(tmp_path):
    rgb = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"][1] = 7
    header, values = read_image(write_nifti(tmp_path / "rgb.nii.gz", rgb))
    assert (header.shape, header.channels, header.dtype, values.shape) == ((4, 5, 6), 3, "uint8", (4, 5, 6, 3))
    assert values[1, 0, 0].tolist() == [0, 7, 0]
    header, values = read_image(write_nifti(tmp_path / "vector.nii.gz", FOUR[:, :, :, None]))
    assert header.channels == 3
    assert np.array_equal(values, FOUR)
    header, values = read_image(write_nifti(tmp_path / "plane.nii", VOLUME[..., 0]))
    assert header.shape == values.shape == (4, 5, 1)
    big = nibabel.Nifti1Image(VOLUME, AFFINE, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    header, values = read_image(tmp_path / "big.nii")
    assert "f" in header.dtype or "i" in header.dtype
    assert header.dtype == str(values.dtype)
    assert np.array_equal(values, VOLUME)
    scaled = nibabel.Nifti1Image(VOLUME, AFFINE)
    scaled.header.set_slope_inter(2, 5)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    header, values = read_image(tmp_path / "scaled.nii")
    assert header.dtype == "int16"
    assert np.array_equal(values, VOLUME * 2.0 + 5)


def test_values_do_not_hang_on_the_file(tmp_path):
    file = write_nifti(tmp_path / "a.nii")
    _, values = read_image(file)
    file.write_bytes(b"")
    assert np.array_equal(values, VOLUME)


def test_tags_of_dicom(tmp_path):
    tags = read_header(write_slices(tmp_path / "series")).tags
    assert {key: tags[key] for key in ("modality", "patient", "study", "series", "photometric")} == {
        "modality": "MR", "patient": "P7", "study": "1.2", "series": "1.2.3", "photometric": "MONOCHROME2",
    }  # fmt: skip
    assert read_header(write_dicom(tmp_path / "a.dcm", DEEP, "MONOCHROME1")).tags["photometric"] == "MONOCHROME1"
    frames = read_header(write_dicom(tmp_path / "frames.dcm", VOLUME.T.astype(np.uint16)))
    assert (frames.tags["frames"], frames.shape) == ("6", (4, 5, 6))


def test_uneven_and_tilted_series_are_named(tmp_path):
    header, values = read_image(write_slices(tmp_path / "gap", leave_out=(2,)))
    assert header.tags["uneven"] == "slices lie 3 to 6 mm apart"
    assert values.shape == (4, 5, 5)
    assert "tilted" not in header.tags
    tilted = read_header(write_slices(tmp_path / "tilted", shift=1.0)).tags
    assert "tilted by 18.4 degrees" in tilted["tilted"]
    assert "uneven" not in tilted


def test_several_series_none_and_damaged_slices(tmp_path):
    folder = write_slices(tmp_path / "two")
    write_slices(folder, uid="1.2.4", order=range(10, 16))
    with pytest.raises(ValueError, match=r"must hold the slices of one DICOM series.*holds 2; give each a folder"):
        read_header(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing is at"):
        read_image(tmp_path / "empty")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").write_text("no image")
    with pytest.raises(ValueError, match="holds 0; name the image files"):
        read_image(tmp_path / "text")
    folder = write_slices(tmp_path / "damaged")
    (folder / "notes.txt").write_text("no slice, no error")
    assert read_header(folder).shape == (4, 5, 6)
    last = folder / "005.dcm"
    last.write_bytes(last.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"in .* 1 are not: 005.dcm; get them again"):
        read_header(folder)


DAMAGES = {
    "truncated": lambda data: data[: len(data) * 6 // 10],
    "barely begun": lambda data: data[: len(data) // 50],
    "empty": lambda data: b"",
    "text": lambda data: b"this is no image\n" * 50,
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "dcm", "png", "jpg", "tif"])
def test_damaged_files_are_a_value_error(suffix, tmp_path):
    cube, plane = RANDOM.integers(0, 255, (16, 16, 16)).astype(np.int16), RANDOM.integers(0, 255, (60, 60), np.uint8)
    good = tmp_path / f"good.{suffix}"
    if suffix in ("nii", "nii.gz"):
        write_nifti(good, cube)
    elif suffix in ("nrrd", "mha"):
        write_itk(good, cube)
    else:
        write_dicom(good, plane) if suffix == "dcm" else Image.fromarray(plane).save(good)
    for damage, apply in DAMAGES.items():
        file = tmp_path / f"{damage}.{suffix}"
        file.write_bytes(apply(good.read_bytes()))
        with pytest.raises(ValueError, match=r"must be readable as NIfTI.* is not \(.+\); get the file again"):
            read_image(file)
        if damage in ("empty", "text", "zeros"):
            with pytest.raises(ValueError, match="must be readable"):
                read_header(file)


def test_headers_with_impossible_sizes(tmp_path):
    data = bytearray(nibabel.Nifti1Image(VOLUME, AFFINE).to_bytes())
    for i, size in enumerate([(-5, 5, 6), (0, 5, 6)]):
        struct.pack_into("<4h", data, 40, 3, *size)
        (tmp_path / f"{i}.nii").write_bytes(bytes(data))
        with pytest.raises(ValueError, match="its header states the size"):
            read_header(tmp_path / f"{i}.nii")
    struct.pack_into("<4h", data, 40, 3, 40, 50, 600)
    (tmp_path / "large.nii").write_bytes(bytes(data))
    with pytest.raises(ValueError, match="Expected 2400000 bytes"):
        read_image(tmp_path / "large.nii")


def test_a_matrix_with_nan_can_be_looked_at(tmp_path):
    data = bytearray(nibabel.Nifti1Image(VOLUME, AFFINE).to_bytes())
    struct.pack_into("<f", data, 280, float("nan"))  # the first number of the sform
    (tmp_path / "nan.nii").write_bytes(bytes(data))
    header = read_header(tmp_path / "nan.nii")
    assert np.isnan(header.affine[0, 0])
    assert np.isnan(header.spacing[0])


def test_complex_numbers_are_no_image(tmp_path):
    write_nifti(tmp_path / "a.nii", VOLUME.astype(np.complex64))
    with pytest.raises(ValueError, match="its values are complex numbers"):
        read_header(tmp_path / "a.nii")


def test_many_pages_are_no_radiograph(tmp_path):
    pages = [Image.fromarray(GRAY) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="a picture has one page; it has 3"):
        read_header(tmp_path / "a.tif")


def test_absent(tmp_path):
    for read in (read_header, read_image):
        with pytest.raises(FileNotFoundError, match=r"nothing is at .*a\.nii; get the data"):
            read(tmp_path / "a.nii")


def test_a_name_without_suffix(tmp_path):
    write_dicom(tmp_path / "a.dcm", DEEP)
    shutil.move(tmp_path / "a.dcm", tmp_path / "IM0001")
    assert np.array_equal(read_image(tmp_path / "IM0001")[1], DEEP)


def test_nothing_is_printed_about_a_gap_or_a_folder_without_series(tmp_path, capfd):
    read_image(write_slices(tmp_path / "gap", leave_out=(2,)))
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").write_text("no image")
    with pytest.raises(ValueError):
        read_image(tmp_path / "text")
    assert capfd.readouterr() == ("", "")


def test_eight_threads_read_the_same(tmp_path):
    paths = []
    for name in ("a.nii.gz", "a.nrrd", "series", "deep.png", "deep.dcm"):
        write = (VOLUMES.get(name) or RADIOGRAPHS[name])[0]
        write(tmp_path / name)
        paths.append(tmp_path / name)
    alone = [read_image(path)[1] for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: read_image(path)[1], paths * 8))
    assert all(np.array_equal(one, alone[i % len(paths)]) for i, one in enumerate(together))


@pytest.mark.parametrize("damage", ["tail", "sum", "bit"])
def test_a_damaged_gzip_is_unreadable_although_all_voxels_come_out(tmp_path, damage):
    values = np.random.default_rng(0).integers(0, 9, (12, 12, 12)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    content = bytearray((tmp_path / "a.nii.gz").read_bytes())
    if damage == "tail":
        content = content[:-4]
    else:
        content[-6 if damage == "sum" else -30] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nii\.gz"):
        read_image(tmp_path / "a.nii.gz")
