from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from medvol.bundles.checks.place_rules import LEAST_FREE, links_rule, places_rule, room_problems
from medvol.bundles.opening import OpenBundle, open_bundle

Usage = namedtuple("Usage", "total used free")


def opened(tmp_path: Path, **changes: object) -> OpenBundle:
    given = {"output_dir": str(tmp_path / "a" / "b"), "cache_dir": str(tmp_path / "c"), **changes}
    return open_bundle("cpc3d", overrides=given)


def test_folders_that_are_not_there_yet_are_no_problem_and_not_made(tmp_path: Path) -> None:
    assert list(places_rule(opened(tmp_path))) == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(1, 1, LEAST_FREE - 1))
    runs, cache = places_rule(opened(tmp_path))
    assert "MB free for the runs" in runs.expected
    assert runs.remedy.endswith("--output_dir")
    assert "MEDVOL_CACHE" in cache.remedy
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(1, 1, LEAST_FREE))
    assert list(places_rule(opened(tmp_path))) == []


def test_room_is_asked_of_the_nearest_folder_that_there_is(tmp_path: Path) -> None:
    assert list(room_problems(tmp_path / "no" / "such", 1, "x", "y")) == []
    (problem,) = room_problems(tmp_path / "no" / "such", 10**18, "the cache", "go")
    assert problem.expected.startswith(f"{10**12} MB free for the cache")


def test_a_folder_that_refuses_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = list(places_rule(opened(tmp_path)))
    assert len(found) == 2
    assert all("Read-only file system" in problem.found for problem in found)


def test_with_shards_there_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file", encoding="utf-8")
    assert len(list(places_rule(opened(tmp_path)))) == 1
    assert list(places_rule(opened(tmp_path, shards="somewhere"))) == []


def test_links(tmp_path: Path) -> None:
    folder = tmp_path / "cpc3d"
    shutil.copytree(Path(__file__).parents[3] / "bundles" / "cpc3d", folder, symlinks=True)
    assert list(links_rule(open_bundle(folder))) == []
    for file in (folder / "configs").iterdir():  # as a clone without links leaves them
        text = str(file.readlink())
        file.unlink()
        file.write_text(text, encoding="utf-8")
    found = list(links_rule(open_bundle(folder)))
    assert [problem.state for problem in found] == ["warning"]
    assert all(file.name in found[0].expected for file in (folder / "configs").iterdir())
    for file in (folder / "configs").iterdir():  # as a zip leaves them: real files
        shutil.copy(folder / file.name, file)
    assert list(links_rule(open_bundle(folder))) == []
