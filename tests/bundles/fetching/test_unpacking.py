"""What a zip may hold: every trick is refused, and nothing is left outside of the folder it was unpacked into."""

from __future__ import annotations

import contextlib
import random
import stat
import struct
import zipfile
from pathlib import Path

import packages
import pytest

from medvol.bundles.fetching.unpacking import Limits, unpack

GOOD = ("cpc3d/train.json", b"{}")


def unpacked(tmp_path: Path, content: bytes, **limits: int) -> Path:
    (tmp_path / "a.zip").write_bytes(content)
    (tmp_path / "out").mkdir(exist_ok=True)
    return unpack(tmp_path / "a.zip", tmp_path / "out", Limits(**limits))


def test_a_good_package(tmp_path: Path) -> None:
    files = packages.members()
    for compress in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (tmp_path / str(compress)).mkdir()
        folder = unpacked(tmp_path / str(compress), packages.zipped(files, compress=compress))
        assert folder.name == "cpc3d"
        found = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
        assert found == files


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info


def raw_name(name: bytes, placeholder: bytes) -> bytes:
    """A zip whose second entry has a name that zipfile itself would have cleaned."""
    content = packages.entries([GOOD, (placeholder.decode(), b"x")])
    assert len(name) == len(placeholder)
    return content.replace(placeholder, name)


HOSTILE = {
    "parent": packages.entries([GOOD, ("cpc3d/../../evil.json", b"x")]),
    "absolute": packages.entries([GOOD, ("/evil.json", b"x")]),
    "dot": packages.entries([GOOD, ("cpc3d/./a.json", b"x")]),
    "empty part": packages.entries([GOOD, ("cpc3d//a.json", b"x")]),
    "backslash": raw_name(b"cpc3d\\..\\evil.js", b"cpc3d/aaaaaaa.js"),
    "drive": packages.entries([GOOD, ("C:/evil.json", b"x")]),
    "stream": packages.entries([GOOD, ("cpc3d/a.json:b", b"x")]),
    "null": raw_name(b"cpc3d/a.json\0.md", b"cpc3d/a.json1.md"),
    "newline": packages.entries([GOOD, ("cpc3d/a\n.json", b"x")]),
    "reserved": packages.entries([GOOD, ("cpc3d/aux.json", b"x")]),
    "trailing dot": packages.entries([GOOD, ("cpc3d/a.json.", b"x")]),
    "hidden": packages.entries([GOOD, ("cpc3d/.fetched", b"x")]),
    "long": packages.entries([GOOD, (f"cpc3d/{'a' * 300}.json", b"x")]),
    "link": packages.entries([GOOD, (special("cpc3d/a.json", stat.S_IFLNK), b"/etc/passwd")]),
    "device": packages.entries([GOOD, (special("cpc3d/a.json", stat.S_IFCHR), b"")]),
    "pipe": packages.entries([GOOD, (special("cpc3d/a.json", stat.S_IFIFO), b"")]),
    "twice": packages.entries([GOOD, GOOD]),
    "case": packages.entries([GOOD, ("cpc3d/TRAIN.json", b"x")]),
    "normal form": packages.entries([("cpc3d/\u00e9.json", b"x"), ("cpc3d/e\u0301.json", b"x")]),
    "file as folder": packages.entries([GOOD, ("cpc3d/docs/a.md", b"x"), ("cpc3d/docs", b"x")]),
    "two tops": packages.entries([GOOD, ("other/train.json", b"x")]),
    "flat": packages.entries([("train.json", b"x")]),
    "no file": packages.entries([("cpc3d/", b"")]),
    "nothing": packages.entries([]),
    "bad name": packages.entries([("3d cpc/train.json", b"x")]),
    "reserved top": packages.entries([("con/train.json", b"x")]),
    "runs": packages.entries([GOOD, ("cpc3d/eval/latest.txt", b"x")]),
    "foreign folder": packages.entries([GOOD, ("cpc3d/scripts/", b"")]),
    "program": packages.entries([GOOD, ("cpc3d/monai.py", b"x")]),
    "library": packages.entries([GOOD, ("cpc3d/models/a.SO", b"x")]),
    "lzma": packages.entries([GOOD], zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_tricks_are_refused_before_a_byte_is_written(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ValueError, match=r"must hold .*; found .*; nothing was unpacked"):
        unpacked(tmp_path, HOSTILE[kind])
    assert set(packages.tree(tmp_path)) == {"a.zip", "out"}


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    content = bytearray(packages.entries([GOOD]))
    at = content.index(b"PK\1\2")
    content[6] |= 1
    content[at + 8] |= 1
    with pytest.raises(ValueError, match="not encrypted"):
        unpacked(tmp_path, bytes(content))


def test_too_many_or_too_large(tmp_path: Path) -> None:
    content = packages.entries([(f"cpc3d/{n}.json", bytes(1000)) for n in range(20)])
    with pytest.raises(ValueError, match="at most 19 entries; found 20"):
        unpacked(tmp_path, content, files=19)
    with pytest.raises(ValueError, match="at most 19999 bytes after unpacking; found 20000"):
        unpacked(tmp_path, content, size=19_999)
    assert unpacked(tmp_path, content, files=20, size=20_000).is_dir()


@pytest.mark.parametrize("stated", [10, 2_000_000])
def test_a_size_that_is_a_lie(tmp_path: Path, stated: int) -> None:
    content = bytearray(packages.entries([("cpc3d/a.json", bytes(1_000_000))]))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, stated)
    with pytest.raises(ValueError, match=r"must (hold|be)"):
        unpacked(tmp_path, bytes(content))
    written = tmp_path / "out/cpc3d/a.json"
    assert not written.exists() or written.stat().st_size <= 1_000_000


def test_truncated_and_corrupted_and_no_zip(tmp_path: Path) -> None:
    content = packages.zipped(packages.members(), compress=zipfile.ZIP_STORED)
    damaged = bytearray(content)
    damaged[content.index(b"Apache")] ^= 1
    for bad in (content[: len(content) // 2], content[:-1], bytes(damaged), b"<html>", b""):
        with pytest.raises(ValueError, match=r"must be a whole zip; found .*; fetch it again"):
            unpacked(tmp_path, bad)
        for file in (tmp_path / "out").rglob("*"):  # as the caller's temporary folder does
            if file.is_file():
                file.unlink()


def test_any_damaged_byte_is_a_sentence_or_harmless(tmp_path: Path) -> None:
    whole = packages.zipped({"train.json": b'{"a": 1}', "README.md": b"page " * 20})
    contents = {b'{"a": 1}', b"page " * 20}
    dice = random.Random(0)
    for number in range(200):
        content = bytearray(whole)
        content[dice.randrange(len(whole))] = dice.randrange(256)
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(ValueError):
            found = unpacked(folder, bytes(content))
            assert {file.read_bytes() for file in found.iterdir()} <= contents
        assert {path.name for path in folder.iterdir()} == {"a.zip", "out"}
