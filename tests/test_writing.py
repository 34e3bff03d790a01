from __future__ import annotations

import os
from pathlib import Path

import pytest

from medvol.writing import write_whole


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    write_whole(path, b"old", durable=True)

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_syncs_before_it_renames(tmp_path, monkeypatch):
    order = []
    path = tmp_path / "last.pt"
    monkeypatch.setattr(os, "fsync", lambda d: order.append(("sync", path.exists())))
    write_whole(path, b"new", durable=True)
    assert order == [("sync", False)]
    assert path.read_bytes() == b"new"


def test_two_writers_do_not_mix_and_a_failure_leaves_the_old(tmp_path, monkeypatch):
    file = write_whole(tmp_path / "m.json", "old")
    assert oct(file.stat().st_mode)[-3:] == "644"
    monkeypatch.setattr(Path, "replace", lambda self, other: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["m.json"]


def test_text_is_utf8_and_rights_stay(tmp_path):
    file = write_whole(tmp_path / "a.txt", "é")
    assert file.read_bytes() == "é".encode()
    file.chmod(0o640)
    assert oct(write_whole(str(file), b"new").stat().st_mode)[-3:] == "640"
