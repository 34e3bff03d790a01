"""Where voxels lie on paper: painted boxes, anatomical ends, and radiographs that stand upright."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import PILReader
from monai.transforms import EnsureTyped, Lambdad, LoadImaged, Orientationd, Spacingd
from PIL import Image

from medvol.bundles.previews.geometry import Geometry, find_geometry

RAS = (("L", "R"), ("P", "A"), ("I", "S"))


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((9, 12, 7), Geometry((1.0, 2.0, 5.0), RAS)),
        ((9, 12, 1), Geometry((1.0, 2.0, 5.0), RAS)),
        ((9, 12), Geometry((1.0, 2.0))),
        ((9, 12), Geometry((1.0, 2.0), down=0)),
        ((9, 12), Geometry((1.0, 2.0), down=1)),
        ((9, 12), Geometry((1.0, 2.0), down=0, turned=(0, 1))),
        ((9, 12, 1), Geometry((1.0, 2.0, 1.0), down=1)),
    ],
)
def test_a_rectangle_covers_exactly_the_painted_voxels_of_its_box(shape, geometry) -> None:
    box = np.array([[2, 3, 0], [5, 9, 4]])[:, : len(shape)]
    box[1] = np.minimum(box[1], shape)
    image = np.zeros((1, *shape))
    image[(0, *(slice(a, b) for a, b in zip(*box, strict=True)))] = 1
    cuts = geometry.cuts(shape, [3, 4, 0])
    assert len(cuts) == (3 if shape == (9, 12, 7) else 1)
    for cut in cuts:
        plane, voxel = geometry.plane(image, cut), geometry.voxel(cut)
        assert geometry.size(shape, cut) == pytest.approx(np.multiply(plane.shape, voxel))
        across, up = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
        painted = [across[0] * voxel[0], (across[-1] + 1) * voxel[0], up[0] * voxel[1], (up[-1] + 1) * voxel[1]]
        assert geometry.rectangle(box, shape, cut) == pytest.approx(painted)
    if len(cuts) == 3:
        assert geometry.rectangle(box, shape, cuts[0]._replace(index=5)) is None
        assert geometry.rectangle(box, shape, cuts[0]._replace(index=4)) is None  # the stop is excluded


def test_letters_and_titles_follow_the_axes() -> None:
    geometry = Geometry((1.0,) * 3, (("R", "L"), ("S", "I"), ("P", "A")))
    cuts = geometry.cuts((4, 5, 6), (1, 2, 3))
    assert [geometry.title(cut, (4, 5, 6)) for cut in cuts] == [
        "coronal, slice 3",
        "axial, slice 2",
        "sagittal, slice 1",
    ]
    assert geometry.letters(cuts[0]) == (("R", "L"), ("S", "I"))
    assert Geometry((1.0,) * 3).title(cuts[0], (4, 5, 6)) == "axis 2, slice 3"
    assert Geometry((1.0,) * 3).letters(cuts[0]) is None
    assert geometry.toward(1, False) == "toward S"
    assert Geometry((1.0, 1.0), down=0).toward(0, True) == "downward"
    assert Geometry((1.0, 1.0), down=1).toward(0, False) == "leftward"
    assert Geometry((1.0, 1.0), down=0, turned=(0,)).toward(0, True) == "upward"
    assert Geometry((1.0,) * 3).toward(2, True) == "toward higher indices of axis 2"


@pytest.fixture
def scan(tmp_path, marker):
    """The letter R at the patient's right, as the fixture has it, stored with the axes left, posterior, superior."""
    file = tmp_path / "scan.nii.gz"
    stored = marker((16, 12, 5))[0].numpy()[::-1, ::-1]
    nib.save(nib.Nifti1Image(stored, np.diag([-2.0, -3.0, 5.0, 1.0])), file)
    return file


LOAD = LoadImaged("image", image_only=True, ensure_channel_first=True)
TURN = Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
DROP = EnsureTyped("image", track_meta=False)


def test_spacing_and_ends_come_from_the_last_image_that_had_metadata(scan) -> None:
    item = {"image": [str(scan)]}
    native = find_geometry([LOAD, DROP], item, 3)
    assert native.spacing == pytest.approx((2, 3, 5))
    assert native.ends == (("R", "L"), ("A", "P"), ("I", "S"))
    resampled = find_geometry([LOAD, TURN, Spacingd("image", (1.0, 1.5, 2.5), mode="nearest"), DROP], item, 3)
    assert (resampled.spacing, resampled.ends) == (pytest.approx((1, 1.5, 2.5)), RAS)


def test_the_marker_of_a_volume_stays_on_its_side(scan) -> None:
    """Wherever the R is drawn, the letter R stands at that end of the plane."""
    for chain in ([LOAD, DROP], [LOAD, TURN, DROP]):
        item = {"image": [str(scan)]}
        geometry, image = find_geometry(chain, item, 3), item
        for transform in chain:
            image = transform(image)
        cut = geometry.cuts(image["image"].shape[1:], (0, 0, 2))[0]
        plane = geometry.plane(image["image"], cut)
        across, up = (np.flatnonzero(plane.any(axis=axis)).mean() for axis in (1, 0))
        (left, right), (bottom, top) = geometry.letters(cut)
        assert (right if across > plane.shape[0] / 2 else left) == "R"
        assert (top if up > plane.shape[1] / 2 else bottom) == "A"


@pytest.mark.parametrize("reversed_axes", [True, False])
@pytest.mark.parametrize("shape", [(20, 20), (20, 30)])
@pytest.mark.parametrize("depth", [False, True])
def test_a_radiograph_stands_upright_however_it_was_read(tmp_path, marker, reversed_axes, shape, depth) -> None:
    """Its letter reads as an R in the upper left corner."""
    picture = np.zeros(shape, np.uint8)
    letter = marker()[0, :, :, 0].numpy()[::-1, ::-1].T[2:7, 2:6]  # upright: rows down, columns to the right
    picture[2:7, 3:7] = 200 * letter
    Image.fromarray(picture).save(tmp_path / "a.png")
    load = LoadImaged(
        "image", reader=PILReader(reverse_indexing=reversed_axes), image_only=True, ensure_channel_first=True
    )
    chain = [load, Lambdad("image", _deeper)] if depth else [load]
    image = {"image": str(tmp_path / "a.png")}
    geometry = find_geometry(chain, image, 2 + depth)
    for transform in chain:
        image = transform(image)
    (cut,) = geometry.cuts(image["image"].shape[1:], (0, 0, 0))
    drawn = geometry.plane(image["image"], cut)  # (across, up)
    assert np.array_equal(drawn.T[::-1], picture)
    assert not geometry.ends
    assert not geometry.known  # a PNG states no size


def _deeper(image):
    return image[..., None]


def test_flips_that_are_tracked_are_undone_on_paper(tmp_path) -> None:
    from monai.transforms import Flipd

    picture = np.arange(600, dtype=np.uint8).reshape(20, 30)
    Image.fromarray(picture).save(tmp_path / "a.png")
    chain = [LOAD, Flipd("image", spatial_axis=1)]
    image = {"image": str(tmp_path / "a.png")}
    geometry = find_geometry(chain, image, 2)
    for transform in chain:
        image = transform(image)
    drawn = geometry.plane(image["image"], geometry.cuts((30, 20), (0, 0))[0])
    assert np.array_equal(drawn.T[::-1], picture)


def test_without_files_the_chain_says_how_the_image_lies() -> None:
    gone = {"image": ["nowhere/a.nii.gz"]}
    found = find_geometry([LOAD, TURN, Spacingd("image", (1.0, 2.0, 3.0))], gone, 3)
    assert (found.spacing, found.ends, found.known) == ((1, 2, 3), RAS, True)
    assert find_geometry([LOAD], {"image": "nowhere/a.png"}, 2).down == 1  # the readers' default: (columns, rows)
    rows_first = LoadImaged("image", reader=PILReader(reverse_indexing=False))
    assert find_geometry([rows_first], {"image": "nowhere/a.png"}, 2).down == 0
    found = find_geometry([LOAD], gone, 3)
    assert (found.spacing, found.ends, found.known) == ((1, 1, 1), (), False)


def test_an_image_without_a_place_gets_no_letters(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), np.float32))
    load = LoadImaged("image", image_only=True, ensure_channel_first=True)
    assert find_geometry([load], {"image": str(tmp_path / "a.npy")}, 3).ends == ()
    assert find_geometry([DROP], {"image": torch.zeros(1, 4, 5, 6)}, 3) == Geometry((1.0,) * 3, known=False)
