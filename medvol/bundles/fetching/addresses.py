"""Open an address for reading: where it may lead, how long to wait, and what a refusal means in plain words."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "medvol"}  # a range counts the bytes as they are stored
_MOVED = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_HOPS = 10
_PIECE = 1 << 16
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Patience:
    """How long a download waits, and how often it tries.

    Attributes:
        tries: requests made in all before it gives up.
        pause: seconds before the second try, doubled before each further one.
        connect: seconds to wait for a connection.
        read: seconds to wait for the next byte.
        longest: seconds before the next try at most, also where a server asks for more.
    """

    tries: int = 5
    pause: float = 1.0
    connect: float = 10.0
    read: float = 60.0
    longest: float = 60.0


class AgainError(Exception):
    """A failure that another try may mend.

    Args:
        problem: what has happened.
        wait: seconds that the server asks to wait.
    """

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait


def insist(attempt: Callable[[], _Result], patience: Patience) -> _Result:
    """Call until no :class:`AgainError` comes, and wait in between, as long as the server asks for.

    Raises:
        AgainError: that of the last try.

    Example:
        >>> insist(lambda: 3, Patience())
        3
    """
    for number in range(1, patience.tries):
        try:
            return attempt()
        except AgainError as failure:
            time.sleep(min(max(patience.pause * 2 ** (number - 1), failure.wait), patience.longest))
    return attempt()


def small_text(address: str, patience: Patience | None = None, largest: int = 1 << 20) -> str | None:
    """Read a small text, such as an index or a checksum, from an address; None where there is none.

    Raises:
        PermissionError: the server does not hand it out.
        ValueError: it is larger than ``largest`` bytes, or not UTF-8.
        OSError: no connection, or the server stays busy.

    Example:
        >>> small_text("file:///no/such/file") is None
        True
    """
    patience = patience or Patience()
    try:
        return insist(lambda: _whole(address, largest, patience), patience).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(address)} must be text in UTF-8; found {error}; correct the address") from error
    except AgainError as problem:
        raise OSError(
            f"{shown(address)} must answer; found {problem} in {patience.tries} tries; try later"
        ) from problem


def open_address(address: str, headers: dict[str, str], patience: Patience) -> requests.Response:
    """Open an address for reading, and follow it where it leads, never from https to http or to a file.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: the server does not hand it out.
        ValueError: the address, or one that it leads to, may not be followed.
        OSError: no connection, or another answer than the file.
    """
    with requests.Session() as session:
        session.mount("file://", _Disk())
        for _ in range(_HOPS):
            response = _answer(session, address, headers, patience)
            if response.status_code not in _MOVED:
                return response
            response.close()
            address = _followed(address, response.headers.get("Location", ""))
    raise ValueError(f"{shown(address)} must lead to a file; found more than {_HOPS} redirects; correct the address")


def check_address(address: str) -> None:
    """Refuse what is no ``http``, ``https`` or ``file`` address.

    Raises:
        ValueError: it is another one.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"an address must be written as https://host/file.zip; found {error}; correct it") from error
    local = parts.scheme == "file" and parts.hostname in (None, "", "localhost")
    if not local and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError(
            f"an address must begin with https://, http:// or file:///; found {shown(address)}; correct the address"
        )


def shown(address: str) -> str:
    """Return an address as a message may show it: without password, and without the keys after a question mark.

    Example:
        >>> shown("https://me:secret@host/a.zip?token=1")
        'https://host/a.zip?...'
    """
    parts = urlsplit(address)
    query = "..." if parts.query else ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query, fragment=""))


def _whole(address: str, largest: int, patience: Patience) -> bytes:
    content = b""
    with open_address(address, {}, patience) as response:
        try:
            for piece in response.iter_content(_PIECE):
                content += piece
                if len(content) > largest:
                    raise ValueError(
                        f"{shown(address)} must be a text of at most {largest} bytes; found more; correct the address"
                    )
        except requests.RequestException as error:
            raise AgainError(f"an interrupted connection ({reason(error)})") from error
    return content


class _Disk(requests.adapters.BaseAdapter):
    """Answers ``file://`` as a server would that knows no ranges."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        response = requests.Response()
        response.request, response.url = request, request.url
        path = Path(urllib.request.url2pathname(urlsplit(request.url).path))
        response.status_code = 200 if path.is_file() else 404
        content = path.open("rb") if path.is_file() else b""
        response.raw = urllib3.HTTPResponse(content, preload_content=False)
        response.headers["Content-Length"] = str(path.stat().st_size if path.is_file() else 0)
        return response

    def close(self) -> None:
        """Nothing is kept open."""


def _answer(session: requests.Session, address: str, headers: dict[str, str], patience: Patience) -> requests.Response:
    check_address(address)
    try:
        response = session.get(
            address, headers={**_HEADERS, **headers}, stream=True, allow_redirects=False,
            timeout=(patience.connect, patience.read),
        )  # fmt: skip
    except requests.exceptions.SSLError as error:
        raise OSError(
            f"{shown(address)} must have a certificate that this machine trusts; found {reason(error)}; name the file "
            "with your network's certificates by the environment variable REQUESTS_CA_BUNDLE"
        ) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise AgainError(f"no connection ({reason(error)}; behind a proxy, set HTTPS_PROXY)") from error
    except requests.RequestException as error:
        raise ValueError(f"{shown(address)} must be an address; found {reason(error)}; correct it") from error
    status = response.status_code
    if status in (200, 206, 416, *_MOVED):
        return response
    response.close()
    if status in (404, 410):
        raise FileNotFoundError(f"a file is expected at {shown(address)}; found none ({status}); correct the address")
    if status in (401, 403, 407):
        raise PermissionError(
            f"{shown(address)} must be open to you; found the answer {status}; ask its owner, or put your name and "
            "password for that server into the file ~/.netrc"
        )
    if status in _BUSY:
        raise AgainError(f"the answer {status}", _asked_wait(response))
    raise OSError(f"{shown(address)} must answer with the file; found the answer {status}; correct the address")


def _asked_wait(response: requests.Response) -> float:
    """Seconds that a server asks to wait, as a number or a date; 0 where it says nothing that can be read."""
    try:
        return urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return 0.0


def _followed(address: str, location: str) -> str:
    target = urljoin(address, location)
    if not location or urlsplit(target).scheme not in ("https", urlsplit(address).scheme):
        raise ValueError(
            f"{shown(address)} must not lead from a safer to a less safe place; found a redirect to {shown(target)!r}; "
            "ask the publisher for another address"
        )
    check_address(target)
    return target


def reason(error: Exception) -> str:
    """The innermost reason of a nest of errors, without objects' addresses."""
    while True:
        inner = [arg for arg in (getattr(error, "reason", None), *error.args) if isinstance(arg, Exception)]
        if not inner:
            return f"{type(error).__name__}: {str(error).rpartition('>: ')[2]}"
        error = inner[0]
