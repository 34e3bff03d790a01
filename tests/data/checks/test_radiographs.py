import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image, ImageDraw, ImageFont

from medvol.data.checks import verify
from medvol.data.checks.radiographs import check_radiograph, is_meant_as_radiograph
from medvol.data.reading import Header, read_image


def header(shape=(96, 80), channels=1, **tags):
    return Header(shape, channels, (np.nan, np.nan), None, "uint8", tags)


def picture(shape=(96, 80)):
    rows, columns = np.indices(shape)
    return (40 + 100 * (1 + np.sin(rows / 17) * np.cos(columns / 13))).astype(np.uint8)


def kinds(values, head):
    return [(one.kind, one.severity) for one in check_radiograph(values, head)]


def write_dicom(path, values, **tags):
    image = sitk.GetImageFromArray(values)
    for tag, value in tags.items():
        image.SetMetaData(f"{tag[1:5]}|{tag[5:]}", value)
    sitk.WriteImage(image, str(path))
    return path


def test_a_sound_radiograph():
    assert kinds(picture(), header()) == []


def test_colors():
    gray = picture()
    assert kinds(np.stack([gray] * 3, -1), header(channels=3)) == [("gray-as-color", "note")]
    assert kinds(np.stack([gray, gray, gray // 2], -1), header(channels=3)) == [("color", "warning")]
    assert kinds(np.stack([gray, np.full_like(gray, 255)], -1), header(channels=2)) == []


@pytest.mark.parametrize(("levels", "few"), [(31, True), (32, False), (2, True)])
def test_low_depth(levels, few):
    smooth = np.tile(np.linspace(0, levels - 0.01, 80).astype(int), (96, 1))
    assert (("low-depth", "note") in kinds(smooth + 10, header())) == few


@pytest.mark.parametrize("shade", [0, 255])
def test_border(shade):
    framed = np.full((96, 80), shade, np.uint8)
    framed[10:, 3:] = picture((86, 77))
    (found,) = check_radiograph(framed, header())
    assert (found.kind, found.severity, found.found) == ("border", "note", "top 10%")


def test_text():
    drawn = Image.fromarray((picture((256, 256)) * 0.6).astype(np.uint8))
    ImageDraw.Draw(drawn).text((20, 12), "NAME 1970", fill=255, font=ImageFont.load_default(20))
    assert kinds(np.array(drawn), header((256, 256))) == [("burnt-in-text", "note")]
    # ITK has turned a negative around when its values come here.
    assert kinds(np.array(drawn), header((256, 256), photometric="MONOCHROME1"))[-1] == ("burnt-in-text", "note")


def test_negative_dicom(tmp_path):
    rows = np.arange(96 * 80, dtype=np.uint16).reshape(96, 80)
    path = write_dicom(tmp_path / "a.dcm", rows[None], _00080060="DX")
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))  # SimpleITK writes the other one only
    head, values = read_image(path)
    assert kinds(values, head) == [("inverted", "warning")]
    head, values = read_image(write_dicom(tmp_path / "b.dcm", rows[None], _00080060="DX"))
    assert kinds(values, head) == []


def test_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 999, (4, 32, 40)).astype(np.uint16)
    head, values = read_image(write_dicom(tmp_path / "a.dcm", frames, _00080060="XA"))
    assert kinds(values, head) == [("multi-frame", "error")]
    assert kinds(picture(), header(frames="1")) == []
    head, _ = read_image(write_dicom(tmp_path / "b.dcm", frames, _00080060="MR"))
    assert not is_meant_as_radiograph(head), "the frames of an MR file are a volume"


def test_verify_names_the_frames_and_the_letters(tmp_path):
    for k in range(3):
        frames = np.random.default_rng(k).integers(0, 999, (4 if k == 2 else 1, 48, 60)).astype(np.uint16)
        write_dicom(tmp_path / f"{k}.dcm", frames, _00080060="DX")
    drawn = Image.fromarray((picture((256, 256)) * 0.6).astype(np.uint8))
    ImageDraw.Draw(drawn).text((20, 12), "NAME 1970", fill=255, font=ImageFont.load_default(20))
    drawn.save(tmp_path / "3.png")
    items = [{"image": f"{k}.dcm", "patient": f"P{k}"} for k in range(3)] + [{"image": "3.png", "patient": "P3"}]
    (tmp_path / "m.json").write_text(json.dumps({"name": "m", "modalities": ["xray"], "training": items}))
    found = {(one.problem.kind, one.file) for one in verify(tmp_path / "m.json").findings}
    assert {("multi-frame", "2.dcm"), ("burnt-in-text", "3.png")} <= found
    assert not {kind for kind, file in found if file in ("0.dcm", "1.dcm")}
