import os
import time
import warnings
from collections import namedtuple

import pytest

from medvol.data import eviction
from medvol.data.eviction import cache_usage, clear, make_room, trim


def entry(file, size=100, age=1000.0):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    used(file, age)
    return file


def used(file, age):
    moment = time.time() - age  # a whole suite may have run since this file was imported
    os.utime(file, (moment, moment))


def left(folder):
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and ".locks" not in file.parts)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path))
    monkeypatch.delenv("MEDVOL_CACHE_SIZE", raising=False)
    monkeypatch.setattr(eviction, "_totals", {})
    monkeypatch.setattr(eviction, "_warned", set())
    for number in range(5):
        entry(tmp_path / f"volumes/{number}.pt", age=1000.0 - number)
    for name in ("manifest.json", "a/a.nii.gz", "b/b.nii.gz"):
        entry(tmp_path / "phantom-v1" / name, age=9000)
    entry(tmp_path / "manifests/m.parquet", 10, age=500)
    return tmp_path


def test_usage_by_kind(root):
    (root / "volumes/.locks").mkdir()
    (root / ".hidden").mkdir()
    found = [(usage.kind, usage.entries, usage.bytes, usage.path) for usage in cache_usage()]
    assert found == [
        ("manifests", 1, 10, root / "manifests"),
        ("phantom-v1", 3, 300, root / "phantom-v1"),
        ("volumes", 5, 500, root / "volumes"),
    ]
    assert cache_usage(root / "none") == []
    assert cache_usage(root / "phantom-v1")[0].bytes == 100


def test_trim_takes_the_longest_unused_first(root):
    used(root / "volumes/1.pt", 600)  # again after 2, 3 and 4
    assert trim(810) == eviction.Usage("freed", 0, 0, root)
    freed = trim(510)
    assert (freed.entries, freed.bytes) == (3, 300)
    assert left(root / "volumes") == ["1.pt", "4.pt"]
    assert len(left(root / "phantom-v1")) == 3
    trim(310)
    assert left(root / "volumes") == []
    assert left(root / "manifests") == ["m.parquet"]  # the last that was used
    trim(0)
    assert left(root) == ["a.nii.gz", "b.nii.gz", "manifest.json"]  # a data set goes by clear() only


def test_trim_leaves_what_is_in_use(root):
    entry(root / "volumes/now.pt", age=5)
    trim(0)
    assert left(root / "volumes") == ["now.pt"]
    trim(0, idle=0)
    assert left(root / "volumes") == []
    with pytest.raises(ValueError, match="0 bytes or more; found -1"):
        trim(-1)


def test_trim_removes_what_a_killed_run_left(root):
    entry(root / "volumes/.part-old", age=4000)
    entry(root / "volumes/.part-new", age=3000)
    freed = trim(10**9)
    assert (freed.entries, freed.bytes) == (1, 100)
    assert left(root / "volumes") == [".part-new", *(f"{n}.pt" for n in range(5))]


def test_clear(root):
    with pytest.raises(ValueError, match=r"found 'volume', there is manifests, phantom-v1, volumes"):
        clear("volume")
    assert (clear("phantom").bytes, clear("volumes").entries) == (300, 5)
    assert [usage.kind for usage in cache_usage()] == ["manifests"]
    clear()
    assert cache_usage() == []


# --- while filling ---


def test_a_bound_is_kept_while_filling(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "1000B")
    for number in range(5, 40):
        make_room(entry(root / f"volumes/{number}.pt", age=900.0 - number), 100)
        held = len(left(root / "volumes"))
        assert held <= 10
    assert held >= 8
    assert left(root / "volumes")[-1] == "39.pt"  # the oldest went
    assert len(left(root / "phantom-v1")) == 3


def test_a_folder_is_not_searched_for_every_entry(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "100000B")
    looks = []
    monkeypatch.setattr(eviction, "_shrink", lambda *_: looks.append(1) or 500)
    for _ in range(100):
        make_room(root / "volumes/0.pt", 100)
    assert len(looks) == 2  # the first, and after 5 % of the bound


def test_what_other_processes_added_counts(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "1000B")
    make_room(root / "volumes/0.pt", 0)
    for number in range(10, 30):
        entry(root / f"volumes/{number}.pt", age=900.0 - number)  # as by another process
    make_room(entry(root / "volumes/own.pt"), 100)
    assert len(left(root / "volumes")) == 9


def test_a_bound_below_the_run_warns_once(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "1000B")
    monkeypatch.setattr(eviction, "STARTED", time.time() - 800)

    def fill():
        for number in range(20):
            make_room(entry(root / f"volumes/n{number:02d}.pt", age=700 - number), 100)

    with pytest.warns(UserWarning, match=r"found entries of 1.1e-06 GB used .* MEDVOL_CACHE_SIZE is 1e-06 GB") as seen:
        fill()
    assert len(seen) == 1
    assert left(root / "volumes") == [f"n{number}" + ".pt" for number in range(10, 20)]


def test_no_warning_where_the_run_fits(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "1000B")
    monkeypatch.setattr(eviction, "STARTED", time.time() - 800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(10):  # exactly the bound, with older entries beside them
            make_room(entry(root / f"volumes/n{number}.pt", age=700 - number), 100)
    assert left(root / "volumes") == [f"n{number}.pt" for number in range(10)]


def test_an_entry_above_the_bound_stays(root, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "50B")
    make_room(entry(root / "volumes/big.pt"), 100)
    assert left(root / "volumes") == ["big.pt"]


def test_a_nearly_full_disk_is_reported_once(root, monkeypatch):
    Disk = namedtuple("Disk", "total used free")
    monkeypatch.setattr(eviction.shutil, "disk_usage", lambda _: Disk(10**12, 0, 11 * 2**30))
    make_room(root / "volumes/0.pt", 100)
    monkeypatch.setattr(eviction.shutil, "disk_usage", lambda _: Disk(10**11, 0, 4 * 10**9))
    with pytest.warns(UserWarning, match=r"no bound; found 4 of 100 GB free .*; set .* MEDVOL_CACHE_SIZE"):
        make_room(root / "volumes/0.pt", 100)
    make_room(root / "volumes/0.pt", 100)  # a second warning would be an error
