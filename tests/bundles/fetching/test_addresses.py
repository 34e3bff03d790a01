"""Where an address may lead, and what a message says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import server as server_of

from medvol.bundles.fetching import addresses
from medvol.bundles.fetching.addresses import (
    AgainError,
    Patience,
    check_address,
    insist,
    open_address,
    shown,
    small_text,
)

QUICK = Patience(tries=2, pause=0.0, connect=5, read=5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = server_of.Server()
    yield server
    server.stop()


def test_a_redirect_is_followed(server) -> None:
    server.put("b", "there")
    assert small_text(server.put("a", b"", location="/b"), QUICK) == "there"


def test_redirects_in_a_circle(server) -> None:
    with pytest.raises(ValueError, match="more than 10 redirects"):
        small_text(server.put("a", b"", location="/a"), QUICK)


def test_a_redirect_to_a_file_is_not_followed(server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for target in (secret.as_uri(), "ftp://host/a", ""):
        with pytest.raises(ValueError, match="less safe place"):
            small_text(server.put("a", b"", location=target), QUICK)


@pytest.mark.parametrize("target", ["http://other/a", "file:///etc/hosts", "ftp://other/a"])
def test_https_leads_to_https_only(target: str) -> None:
    with pytest.raises(ValueError, match="less safe place"):
        addresses._followed("https://host/a", target)
    assert addresses._followed("https://host/x/a", "../b") == "https://host/b"
    assert addresses._followed("http://host/a", "https://other/b") == "https://other/b"


@pytest.mark.parametrize(
    "address", ["ftp://host/a", "s3://b/a", "file://host/a", "http:///a", "http://[1/a", "http://h:9x/a", "//h/a"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="an address must"):
        check_address(address)


def test_files_are_read_from_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "with space.txt"
    file.write_text("here")
    assert small_text(file.as_uri(), QUICK) == "here"
    assert small_text((tmp_path / "no").as_uri(), QUICK) is None


def test_messages_hide_passwords_and_keys(server) -> None:
    assert shown("https://me:pass@host:8/a.zip?key=1#x") == "https://host:8/a.zip?..."
    with pytest.raises(FileNotFoundError) as refused:
        open_address(f"{server.address.replace('//', '//me:pass@')}/a?key=1", {}, QUICK)
    assert "pass" not in str(refused.value)
    assert "key" not in str(refused.value)


def test_small_texts_are_small_and_text(server) -> None:
    with pytest.raises(ValueError, match="at most 10 bytes; found more; correct"):
        small_text(server.put("a", "x" * 11), QUICK, largest=10)
    with pytest.raises(ValueError, match="UTF-8"):
        small_text(server.put("a", b"\xff"), QUICK)
    assert small_text(f"{server.address}/none", QUICK) is None
    assert small_text(server.put("a", "late", status=[500]), QUICK) == "late"
    with pytest.raises(OSError, match="the answer 500 in 2 tries"):
        small_text(server.put("a", "late", status=[500, 500]), QUICK)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("again", "waits"),
    [(None, 1.0), ("7", 7.0), ("0", 1.0), ("3600", 60.0), ("Fri, 31 Dec 2199 23:59:59 GMT", 60.0), ("9" * 5000, 1.0),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 1.0), ("soon", 1.0), ("-5", 1.0)],
)  # fmt: skip
def test_a_busy_server_says_how_long_to_wait(
    server, monkeypatch: pytest.MonkeyPatch, again: str | None, waits: float, status: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(addresses, "time", SimpleNamespace(sleep=waited.append))
    assert small_text(server.put("a", "late", status=[status], again=again), Patience(tries=2)) == "late"
    assert waited == [waits]


def test_trying_again_waits_longer_each_time_and_not_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    waited, calls = [], []
    monkeypatch.setattr(addresses, "time", SimpleNamespace(sleep=waited.append))

    def attempt() -> None:
        calls.append(1)
        raise AgainError("busy")

    with pytest.raises(AgainError, match="busy"):
        insist(attempt, Patience(tries=5, longest=3.0))
    assert (waited, len(calls)) == ([1.0, 2.0, 3.0, 3.0], 5)


def test_a_certificate_nobody_knows_is_final(server, monkeypatch: pytest.MonkeyPatch) -> None:
    address = server.put("a", "x").replace("http:", "https:")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(OSError, match="REQUESTS_CA_BUNDLE"):
        small_text(address, QUICK)
