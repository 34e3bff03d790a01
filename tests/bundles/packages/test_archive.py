from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from medvol.bundles.packages import archive
from medvol.bundles.packages.archive import add_to_index, archive_in, read_index, write_checksum


def written(folder: Path, members: dict) -> bytes:
    folder.mkdir(exist_ok=True)
    with archive_in(folder, members) as part:
        content = part.read_bytes()
    assert list(folder.iterdir()) == []
    return content


def test_bytes_depend_on_names_and_contents_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(bytes(range(256)) * 10)
    one = written(tmp_path / "one", {"b/x": b"x" * 1000, "b/w.pt": file, "b/a": b""})
    file.chmod(0o600)
    os.utime(file, (1, 1))
    old = os.umask(0o077)
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    monkeypatch.chdir(tmp_path)
    try:
        two = written(Path("two"), {"b/a": b"", "b/w.pt": Path("w.pt"), "b/x": b"x" * 1000})
    finally:
        os.umask(old)
    assert one == two


def test_entries_are_plain_files_of_one_time(tmp_path: Path) -> None:
    with archive_in(tmp_path, {"b/x": b"x", "b/c/y": b"y"}) as part, zipfile.ZipFile(part) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o100644
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.flag_bits == 0
        assert archive.namelist() == ["b/c/y", "b/x"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), archive_in(tmp_path, {"a": b"a", "b": tmp_path / "gone"}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"abc")
    digest = write_checksum(tmp_path / "a.zip")
    assert digest == hashlib.sha256(b"abc").hexdigest()
    assert (tmp_path / "a.zip.sha256").read_text() == f"{digest}  a.zip\n"


def test_the_index_keeps_the_other_bundles(tmp_path: Path) -> None:
    add_to_index(tmp_path, "one", "0.1.0", "one-0.1.0.zip", "aa", 1)
    add_to_index(tmp_path, "two", "0.1.0", "two-0.1.0.zip", "bb", 2)
    add_to_index(tmp_path, "one", "0.2.0", "one-0.2.0.zip", "cc", 3)
    assert json.loads((tmp_path / "index.json").read_text()) == {
        "bundles": {
            "one": {"version": "0.2.0", "file": "one-0.2.0.zip", "sha256": "cc", "size": 3},
            "two": {"version": "0.1.0", "file": "two-0.1.0.zip", "sha256": "bb", "size": 2},
        }
    }
    assert [path.name for path in tmp_path.iterdir() if path.name != ".index.lock"] == ["index.json"]


def test_the_lock_lies_in_the_folder_and_others_may_take_it(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        add_to_index(tmp_path, "one", "0.1.0", "one-0.1.0.zip", "aa", 1)
    finally:
        os.umask(old)
    left = tmp_path / ".index.lock"
    assert not left.exists() or left.stat().st_mode & 0o666 == 0o666


def test_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(archive.FileLock, "acquire", refuse)
    with pytest.raises(OSError, match=r"must be a folder that takes files; found .*not yours; give another --out"):
        add_to_index(tmp_path, "one", "0.1.0", "one-0.1.0.zip", "aa", 1)


def test_two_packs_take_the_same_lock(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".index.lock"):
        done = threading.Thread(target=add_to_index, args=(tmp_path, "one", "1", "f", "s", 1))
        done.start()
        done.join(0.2)
        assert done.is_alive()
        assert not (tmp_path / "index.json").exists()
    done.join(5)
    assert (tmp_path / "index.json").is_file()


@pytest.mark.parametrize("content", ["{", "[]", '{"bundles": []}', "{}", "null"])
def test_another_file_is_no_index_and_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    for call in (lambda: read_index(tmp_path / "index.json"), lambda: add_to_index(tmp_path, "b", "1", "f", "s", 1)):
        with pytest.raises(ValueError, match=r"must (be JSON|hold a JSON object|hold an object 'bundles'); found "):
            _raises(call)
    assert (tmp_path / "index.json").read_text() == content


def _raises(call: Callable[[], object]) -> None:
    call()
