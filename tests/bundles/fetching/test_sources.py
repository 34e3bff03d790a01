"""Names, addresses and files: which zip is meant, and which checksum it must have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import server as server_of

from medvol.bundles.fetching.addresses import Patience
from medvol.bundles.fetching.sources import find_source

QUICK = Patience(tries=2, pause=0.0, connect=5, read=5)
AB, CD = "ab" * 32, "cd" * 32


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDVOL_INDEX", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator:
    server = server_of.Server()
    yield server
    server.stop()


def index(file: str = "cpc3d-0.1.0.zip", **fields: object) -> str:
    entry = {"version": "0.1.0", "file": file, "sha256": AB, "size": 1, **fields}
    return json.dumps({"bundles": {"cpc3d": entry, "unet_brats": entry}})


def test_a_name_without_an_index() -> None:
    with pytest.raises(ValueError, match=r"found no index; .*--index.*MEDVOL_INDEX"):
        find_source("cpc3d")


def test_a_name_in_an_index_on_a_server(server, monkeypatch: pytest.MonkeyPatch) -> None:
    address = server.put("pub/index.json", index())
    for where in (address, f"{server.address}/pub/"):
        found = find_source("cpc3d", where, patience=QUICK)
        assert (found.place, found.sha256) == (f"{server.address}/pub/cpc3d-0.1.0.zip", AB)
        assert (found.name, found.version) == ("cpc3d", "0.1.0")
    monkeypatch.setenv("MEDVOL_INDEX", address)
    assert find_source("cpc3d", patience=QUICK).sha256 == AB
    assert find_source("cpc3d", sha256=CD, patience=QUICK).sha256 == CD, "the argument is the caller's own word"


def test_a_name_in_an_index_file(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(index())
    for where in (tmp_path, tmp_path / "index.json", str(tmp_path)):
        assert find_source("cpc3d", where).place == tmp_path / "cpc3d-0.1.0.zip"


def test_an_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(index())
    with pytest.raises(FileNotFoundError, match=r"did you mean 'cpc3d'\? there are: cpc3d, unet_brats"):
        find_source("cpc4d", tmp_path)


def test_an_index_that_is_none(server, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="an index of bundles is expected"):
        find_source("cpc3d", f"{server.address}/index.json", patience=QUICK)
    with pytest.raises(FileNotFoundError, match="JSON file"):
        find_source("cpc3d", tmp_path / "index.json")
    for text in ("<html>", "[]", '{"bundles": []}'):
        with pytest.raises(ValueError, match=r"the index .* must"):
            find_source("cpc3d", server.put("index.json", text), patience=QUICK)
    for fields in ({"sha256": None}, {"file": 3}, {"sha256": "short"}):
        with pytest.raises(ValueError, match=r"must (have|be)"):
            find_source("cpc3d", server.put("index.json", index(**fields)), patience=QUICK)


@pytest.mark.parametrize("file", ["file:///etc/hosts", "ftp://host/a.zip", "s3://a/b"])
def test_an_index_on_a_server_names_no_file_of_this_machine(server, file: str) -> None:
    with pytest.raises(ValueError, match=r"must (begin with|name a file as safe)"):
        find_source("cpc3d", server.put("index.json", index(file)), patience=QUICK)


@pytest.mark.parametrize(
    "line", [f"{CD}  cpc3d.zip\n", f"{CD} *cpc3d.zip", CD.upper(), f"{AB}  other.zip\n{CD}  cpc3d.zip\n"]
)
def test_the_checksum_beside_the_zip(server, tmp_path: Path, line: str) -> None:
    server.put("cpc3d.zip.sha256", line)
    address = f"{server.address}/cpc3d.zip"
    assert find_source(address, patience=QUICK).sha256 == CD
    assert find_source(f"{address}?key=1", patience=QUICK).sha256 == CD
    (tmp_path / "cpc3d.zip").write_bytes(b"x")
    (tmp_path / "cpc3d.zip.sha256").write_text(line)
    assert find_source(tmp_path / "cpc3d.zip").sha256 == CD


def test_no_checksum_is_a_refusal_that_does_not_show_one(server, tmp_path: Path) -> None:
    (tmp_path / "cpc3d.zip").write_bytes(b"x")
    for source in (tmp_path / "cpc3d.zip", f"{server.address}/cpc3d.zip"):
        with pytest.raises(ValueError, match=r"--sha256 <64 hexadecimal digits>") as refused:
            find_source(source, patience=QUICK)
        assert "2d711642b726b044" not in str(refused.value), "the checksum of the file itself proves nothing"


@pytest.mark.parametrize("text", ["", "no", "g" * 64, "ab" * 31, "<html>\n"])
def test_a_checksum_that_is_none(server, text: str) -> None:
    server.put("a.zip.sha256", text)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        find_source(f"{server.address}/a.zip", patience=QUICK)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        find_source(f"{server.address}/a.zip", sha256=text, patience=QUICK)


@pytest.mark.parametrize("source", ["no.zip", "a/b", "./cpc3d", "ftp://host/a.zip"])
def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpc3d").mkdir()
    with pytest.raises((FileNotFoundError, ValueError), match=r"; found (nothing|a folder|ftp)"):
        find_source(source)
