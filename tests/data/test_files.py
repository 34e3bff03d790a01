import hashlib
import os

import pytest

from medvol.data.files import checksum, is_there, members, size_and_time, state, stem


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("images/brain_7.nii.gz", "brain_7"),
        ("a.b.nii", "a.b"),
        ("slices/series.3", "series.3"),
        ("chest.PNG", "chest"),
        ("x.IMG.GZ", "x"),
        (".dcm", ".dcm"),
        ("plain", "plain"),
    ],
)
def test_stem(path, expected):
    assert stem(path) == expected


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "series"
    (folder / "deeper").mkdir(parents=True)
    for name, text in (("b.dcm", "two"), ("a.dcm", "one"), (".hidden", "no")):
        (folder / name).write_text(text)
    return folder


def test_members(series, tmp_path):
    assert [file.name for file in members(series)] == ["a.dcm", "b.dcm"]
    assert members(series / "a.dcm") == [series / "a.dcm"]
    assert members(tmp_path / "absent") == []


def test_is_there(series, tmp_path):
    assert is_there(series)
    assert is_there(series / "a.dcm")
    assert not is_there(tmp_path / "absent")
    assert not is_there(series / "deeper")
    (series / "deeper/.hidden").touch()
    assert not is_there(series / "deeper")


def test_size_and_time(series):
    os.utime(series / "a.dcm", ns=(5, 7))
    os.utime(series / "b.dcm", ns=(5, 6))
    assert size_and_time(series) == (6, 7)
    assert size_and_time(series / "b.dcm") == (3, 6)


def test_checksum_of_a_file_is_its_sha256(series):
    assert checksum(series / "a.dcm") == hashlib.sha256(b"one").hexdigest()


def test_checksum_of_a_folder_knows_names_and_bytes(series):
    first = checksum(series)
    (series / ".hidden").write_text("still nothing")
    assert checksum(series) == first
    (series / "a.dcm").rename(series / "c.dcm")
    renamed = checksum(series)
    (series / "c.dcm").write_text("One")
    assert len({first, renamed, checksum(series)}) == 3


@pytest.mark.parametrize("ask", [size_and_time, checksum])
def test_nothing_there(ask, series, tmp_path):
    for path in (tmp_path / "absent", series / "deeper"):
        with pytest.raises(FileNotFoundError, match=r"nothing is at .*; get the data"):
            ask(path)


@pytest.mark.parametrize(
    ("header", "text", "voxels"),
    [
        ("a.mhd", "ObjectType = Image\nElementDataFile = a.raw\n", "a.raw"),
        ("a.nhdr", "NRRD0004\r\ntype: short\r\ndata file: a.raw\r\n", "a.raw"),
        ("a.nhdr", "NRRD0004\ndatafile: a b.raw\n", "a b.raw"),
        ("a.hdr", "", "a.img"),
        ("a.hdr", "", "a.img.gz"),
    ],
)
def test_the_file_of_the_voxels_belongs_to_its_header(header, text, voxels, tmp_path):
    (tmp_path / header).write_text(text)
    alone = checksum(tmp_path / header)
    (tmp_path / voxels).write_text("voxels")
    assert members(tmp_path / header) == [tmp_path / header, tmp_path / voxels]
    first = checksum(tmp_path / header)
    (tmp_path / voxels).write_text("Voxels")
    assert len({alone, first, checksum(tmp_path / header)}) == 3
    assert size_and_time(tmp_path / header)[0] == len(text.replace("\n", os.linesep)) + 6


def test_voxels_in_the_same_file(tmp_path):
    (tmp_path / "a.mhd").write_text("ElementDataFile = LOCAL\n")
    assert members(tmp_path / "a.mhd") == [tmp_path / "a.mhd"]


def test_the_state_follows_every_file_of_a_folder_and_the_header_of_an_image(tmp_path):
    (tmp_path / "series").mkdir()
    for k in range(3):
        (tmp_path / f"series/{k}.dcm").write_bytes(b"abc")
        os.utime(tmp_path / f"series/{k}.dcm", (k + 10, k + 10))
    before = state(tmp_path / "series")
    (tmp_path / "series/0.dcm").write_bytes(b"xyz")
    os.utime(tmp_path / "series/0.dcm", (5, 5))  # neither the sum of sizes nor the latest time tells
    assert state(tmp_path / "series") != before
    (tmp_path / "p.img").write_bytes(b"voxels")
    (tmp_path / "p.hdr").write_bytes(b"header")
    sum_before, before = checksum(tmp_path / "p.img"), state(tmp_path / "p.img")
    (tmp_path / "p.hdr").write_bytes(b"HEADER, other")
    assert state(tmp_path / "p.img") != before
    assert checksum(tmp_path / "p.img") != sum_before
