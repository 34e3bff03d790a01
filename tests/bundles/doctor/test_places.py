from __future__ import annotations

import re
import sqlite3
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from medvol.bundles.doctor import places as doctor_places
from medvol.bundles.doctor.diagnosis import Diagnosis
from medvol.bundles.showing import listing
from medvol.data import cache_root

ROOT = Path(__file__).parents[3]
LOOK = dict(doctor_places.EXAMINATIONS)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bundle, a cache of its own, and none of medvol's other variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listing, "_installed", lambda: tmp_path / "none")
    (tmp_path / "bundles" / "a" / "configs").mkdir(parents=True)
    (tmp_path / "bundles" / "a" / "train.json").write_text("{}")
    for name in (*doctor_places.VARIABLES, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))


def look(part: str) -> list[Diagnosis]:
    return list(LOOK[part]())


def states(part: str) -> list[str]:
    return [line.state for line in look(part)]


@pytest.mark.parametrize("value", [None, "~/cache", "rel/cache", "/some/where"])
def test_the_cache_is_where_the_data_room_has_it(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDVOL_CACHE")
    if value is not None:
        monkeypatch.setenv("MEDVOL_CACHE", value)
    assert doctor_places._cache_root() == cache_root()


def test_the_cache_has_a_size_and_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache" / "volumes").mkdir(parents=True)
    with (tmp_path / "cache" / "volumes" / "a").open("wb") as file:
        file.truncate(30_000_000)
    (tmp_path / "cache" / "gone").symlink_to("nowhere")
    assert "holds 0.03 GB, without a limit" in look("cache")[0].text
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "50GB")
    assert "of at most 50 GB" in look("cache")[0].text
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "50")
    assert look("cache")[0].state == "error"
    assert "MEDVOL_CACHE_SIZE" in look("cache")[0].text


def test_counting_a_huge_cache_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_places, "_PATIENCE", 0.0)
    monkeypatch.setattr("threading.Thread.join", lambda self, timeout=None: None)
    monkeypatch.setattr("threading.Thread.start", lambda self: None)
    assert "more files than are counted here" in look("cache")[0].text


@pytest.mark.parametrize("part", ["cache", "runs", "temporary"])
def test_a_folder_that_takes_no_file(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tempfile.gettempdir()  # it tries to write when asked for the first time

    def refuse(**where: object) -> None:
        raise OSError(30, "Read-only file system")

    assert states(part)[0] == "ok"
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = look(part)[0]
    assert found.state == ("warning" if part == "runs" else "error")
    assert "Read-only file system" in found.text
    assert found.remedy


def test_a_locked_bundle_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, list_folder = Path.stat, Path.iterdir

    def stat(self: Path, **more: bool) -> object:
        if "locked" in self.parts[-2:-1]:
            raise PermissionError(13, "Permission denied")
        return look_up(self, **more)

    def iterdir(self: Path) -> object:
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        return list_folder(self)

    (tmp_path / "bundles" / "locked").mkdir()
    (tmp_path / "bundles" / "a" / "configs" / "x.json").symlink_to("../x.json")
    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert "locked" in listing.bundle_folders()
    assert "a/configs/x.json leads" in look("links")[0].text
    assert states("runs") == states("mlflow") == ["ok"]


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(doctor_places, "_cache_root", none)
    (found,) = look("cache")
    assert found.state == "error"
    assert "MEDVOL_CACHE" in found.remedy


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    (tmp_path / "bundles" / "a" / "eval").touch()
    assert look("cache")[0].state == look("runs")[0].state.replace("warning", "error") == "error"


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert states("temporary") == ["error"]


@pytest.mark.parametrize(("free", "state"), [(1e8, "error"), (1e9, "warning"), (1e11, "ok")])
def test_a_disk_that_is_nearly_full(free: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage(1e12, 0, free))
    assert states("disk") == [state]
    assert states("cache") == ["ok", state]


def test_links_that_a_clone_or_a_copy_broke(tmp_path: Path) -> None:
    configs = tmp_path / "bundles" / "a" / "configs"
    (configs / "train.json").symlink_to("../train.json")
    assert states("links") == ["ok"]
    (configs / "metadata.json").symlink_to("../metadata.json")
    (configs / "inference.json").write_text("../inference.json\n")
    (configs / "evaluate.json").write_text("{}")
    text, dangling = look("links")
    assert text.state == dangling.state == "warning"
    assert "a/configs/inference.json is a text file" in text.text
    assert "leads to ../metadata.json, where nothing is" in dangling.text
    assert "core.symlinks" in text.remedy


def test_a_database_that_another_program_holds(tmp_path: Path) -> None:
    file = tmp_path / "bundles" / "a" / "eval" / "mlruns.db"
    file.parent.mkdir()
    base = sqlite3.connect(file, isolation_level=None)
    base.execute("CREATE TABLE x (y)")
    before = file.read_bytes()
    assert states("mlflow") == ["ok"]
    base.execute("BEGIN IMMEDIATE")
    (found,) = look("mlflow")
    assert found.state == "warning"
    assert "locked" in found.text
    base.execute("ROLLBACK")
    base.close()
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["mlruns.db"]


def test_databases_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.db").write_text("no data base at all, but long enough to be taken for one" * 30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/x.db")
    assert "not a database" in look("mlflow")[0].text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://example.org")
    assert "not tried" in look("mlflow")[0].text


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = look("variables")
    assert "MEDVOL_CACHE=" in found.text
    monkeypatch.setenv("MEDVOL_CASHE_SIZE", "1GB")
    monkeypatch.setenv("MEDVOL_XYZZY", "1")
    near, far = look("variables")
    assert near.state == far.state == "warning"
    assert near.remedy == "Did you mean 'MEDVOL_CACHE_SIZE'?"
    assert "MEDVOL_INDEX" in far.remedy


def test_every_variable_that_medvol_reads_is_known() -> None:
    read = {
        name
        for folder in ("medvol", "tests")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != Path(__file__).name
        for name in re.findall(r"MEDVOL_[A-Z_]*[A-Z]", file.read_text(encoding="utf-8"))
    }
    assert read == set(doctor_places.VARIABLES)


def test_the_network_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in doctor_places._PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    assert "no proxy set" in look("network")[0].text
    monkeypatch.setenv("https_proxy", "http://secret@proxy")
    (found,) = look("network")
    assert "HTTPS_PROXY set" in found.text
    assert "secret" not in found.text
