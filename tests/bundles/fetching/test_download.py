"""A download over a server that misbehaves: resumed, never glued together wrong, never trusted before its checksum."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import packages
import pytest
import server as server_of

from medvol.bundles.fetching import download as module
from medvol.bundles.fetching.addresses import Patience
from medvol.bundles.fetching.download import download, part_file

CONTENT = bytes(range(256)) * 800  # 204800 bytes
SHA256 = packages.sha256(CONTENT)
QUICK = Patience(tries=3, pause=0.0, connect=5, read=5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = server_of.Server()
    yield server
    server.stop()


def test_whole(server, tmp_path: Path) -> None:
    file = download(server.put("a.zip", CONTENT), tmp_path, SHA256, patience=QUICK)
    assert file.read_bytes() == CONTENT
    assert server.ranges("a.zip") == [None]
    assert {path.suffix for path in tmp_path.iterdir()} == {".part", ".state"}


def test_what_is_there_whole_is_not_loaded_again(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT)
    for _ in range(2):
        download(address, tmp_path, SHA256, patience=QUICK)
    assert len(server.asked) == 1


def test_an_interrupted_download_asks_for_the_rest_only(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT, cut=[100_000])
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT
    first, second = server.asked
    begin = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert first.range is None
    assert 100_000 - 2 * module._PIECE < begin <= 100_000
    assert second.if_range == '"one"'


def test_the_next_call_goes_on_where_the_last_gave_up(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT, cut=[50_000, 20_000, 20_000])
    with pytest.raises(OSError, match=r"3 tries; \d+ bytes are kept, and the same command goes on there"):
        download(address, tmp_path, SHA256, patience=QUICK)
    kept = part_file(tmp_path, address, SHA256).stat().st_size
    assert 50_000 < kept < 90_001
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT
    assert server.asked[-1].range == f"bytes={kept}-"
    assert len(server.asked) == 4


def test_a_server_that_ignores_ranges_sends_all_of_it_again(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT, cut=[100_000], ranges=False)
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"two"', None])
def test_a_file_that_changed_in_between_is_not_glued_to_the_old_one(server, tmp_path: Path, etag: str | None) -> None:
    old = bytes(204_800)
    address = server.put("a.zip", old, cut=[100_000, 0, 0], etag=None if etag is None else '"one"')
    with pytest.raises(OSError, match="bytes are kept"):
        download(address, tmp_path, SHA256, patience=QUICK)
    server.put("a.zip", CONTENT, etag=etag)
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT
    assert server.ranges("a.zip")[-1] == (server.ranges("a.zip")[1] if etag else None)


def test_a_file_that_became_shorter(server, tmp_path: Path) -> None:
    address = server.put("a.zip", bytes(400_000), cut=[300_000, 0, 0], etag=None)
    with pytest.raises(OSError, match="bytes are kept"):
        download(address, tmp_path, SHA256, patience=QUICK)
    server.put("a.zip", CONTENT, etag=None)
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file_and_names_both(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match=SHA256) as refused:
        download(address, tmp_path, SHA256, patience=QUICK)
    assert packages.sha256(CONTENT[:-1] + b"x") in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1, "the same bytes would come again"


def test_a_stale_whole_file_is_loaded_again(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT)
    part_file(tmp_path, address, SHA256).write_bytes(bytes(len(CONTENT)))
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT


def test_another_checksum_is_another_download(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT)
    download(address, tmp_path, SHA256, patience=QUICK)
    server.put("a.zip", b"new")
    assert download(address, tmp_path, packages.sha256(b"new"), patience=QUICK).read_bytes() == b"new"


def test_busy_servers_are_asked_again(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT, status=[500, 503])
    assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT
    server.put("b.zip", CONTENT, status=[500] * 9)
    with pytest.raises(OSError, match="the answer 500 in 3 tries; try later"):
        download(f"{server.address}/b.zip", tmp_path, SHA256, patience=QUICK)
    assert len(server.ranges("b.zip")) == 3


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (404, FileNotFoundError, r"found none \(404\)"),
        (403, PermissionError, "netrc"),
        (418, OSError, "the answer 418"),
    ],
)
def test_other_answers_are_final(server, tmp_path: Path, status: int, error: type, says: str) -> None:
    address = server.put("a.zip", CONTENT, status=[status])
    with pytest.raises(error, match=says):
        download(address, tmp_path, SHA256, patience=QUICK)
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [len(CONTENT) + 1000, len(CONTENT) - 1000])
def test_a_wrong_length(server, tmp_path: Path, length: int) -> None:
    address = server.put("a.zip", CONTENT, length=length)
    if length > len(CONTENT):
        assert download(address, tmp_path, SHA256, patience=QUICK).read_bytes() == CONTENT
    else:
        with pytest.raises(ValueError, match=SHA256):
            download(address, tmp_path, SHA256, patience=QUICK)
        assert list(tmp_path.iterdir()) == []


def test_more_than_is_wanted_is_not_taken(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT)
    with pytest.raises(ValueError, match="at most 1000 bytes; found 204800"):
        download(address, tmp_path, SHA256, largest=1000, patience=QUICK)
    assert not list(tmp_path.glob("*.part"))


def test_no_connection(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT)
    server.stop()
    with pytest.raises(OSError, match=r"no connection .*refused.* in 3 tries") as refused:
        download(address, tmp_path, SHA256, patience=QUICK)
    assert "0x" not in str(refused.value)
    server.__init__()  # for the fixture to stop


def test_a_silent_server_is_not_waited_for_forever(server, tmp_path: Path) -> None:
    address = server.put("a.zip", CONTENT, pause=0.4, piece=1000)
    with pytest.raises(OSError, match="interrupted connection"):
        download(address, tmp_path, SHA256, patience=Patience(tries=1, read=0.1))


def test_a_full_disk_is_no_reason_to_ask_again(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_receive", full)
    with pytest.raises(OSError) as stopped:
        download(server.put("a.zip", CONTENT), tmp_path, SHA256, patience=QUICK)
    assert stopped.value.errno == errno.ENOSPC
    assert len(server.asked) == 1
