"""Download a file whose checksum is known: resumed where it stopped, and never trusted before the checksum agrees."""

from __future__ import annotations

import json
from hashlib import sha256 as _sha256
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from tqdm import tqdm

from medvol.data.files import checksum
from medvol.writing import write_whole

from .addresses import AgainError, Patience, insist, open_address, reason, shown

_PIECE = 1 << 14  # bytes: what is lost at most where a connection breaks


def download(address: str, folder: Path, sha256: str, largest: int = 1 << 33, patience: Patience | None = None) -> Path:
    """Download a file and check it; a download that was stopped goes on where it stopped.

    What has arrived lies in ``folder`` under a name made of the address and the checksum, so that another file is never
    taken for it; ``If-Range`` asks the server for the rest only if the file there is still the same.

    Args:
        address: of a file, ``http(s)://`` or ``file://``.
        folder: where the download lies until it is used; it must exist.
        sha256: checksum of the whole file, 64 hexadecimal digits.
        largest: bytes that are taken at most.
        patience: waiting times and tries.

    Returns:
        The file, whose checksum is right.

    Raises:
        FileNotFoundError: the server has no such file.
        PermissionError: the server does not hand it out.
        ValueError: the file has another checksum, is too large, or the address is none that may be followed.
        OSError: no connection, the server stays busy, or the disk is full. What has arrived stays, for the next call.

    Example:
        >>> import hashlib, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.zip").write_bytes(b"abc")
        >>> download((folder / "a.zip").as_uri(), folder, hashlib.sha256(b"abc").hexdigest()).read_bytes()
        b'abc'
    """
    patience = patience or Patience()
    part = part_file(folder, address, sha256)
    try:
        insist(lambda: _try(address, part, sha256, largest, patience), patience)
    except AgainError as problem:
        if part.exists() and checksum(part) == sha256:  # a server that promised more than the whole file
            return part
        kept = "try later"
        if part.exists():
            kept = f"{part.stat().st_size} bytes are kept, and the same command goes on there"
        raise OSError(
            f"{shown(address)} must be downloaded whole; found {problem} in {patience.tries} tries; {kept}"
        ) from problem
    return part


def part_file(folder: Path, address: str, sha256: str) -> Path:
    """Return the file in which a download lies.

    Example:
        >>> part_file(Path("x"), "http://a/b.zip?key=1", "00") == part_file(Path("x"), "http://a/b.zip?key=2", "00")
        True
    """
    plain = urlunsplit(urlsplit(address)._replace(query="", fragment=""))  # signed addresses differ at every call
    return folder / f"{_sha256(f'{plain} {sha256}'.encode()).hexdigest()[:16]}.part"


def remove_part(part: Path) -> None:
    """Remove a download and what is noted of it."""
    for file in (part, part.with_suffix(".state")):
        file.unlink(missing_ok=True)


def wrong_checksum(what: str, expected: str, found: str) -> str:
    """Return the beginning of the refusal of a file with another checksum."""
    return (
        f"the SHA-256 of {what} must be {expected}; found {found}; the file is damaged or another one: ask its "
        "publisher which checksum is right, and fetch again"
    )


def _try(address: str, part: Path, sha256: str, largest: int, patience: Patience) -> None:
    if part.exists() and checksum(part) == sha256:
        return
    start = _go_on(address, part, largest, patience)
    found = checksum(part)
    if found == sha256:
        return
    remove_part(part)
    if start:  # what was glued together is loaded once more from the start; otherwise it is the file as it is there
        raise AgainError("a download that did not go on where it had stopped")
    raise ValueError(wrong_checksum(shown(address), sha256, found) + "; the download was removed")


def _go_on(address: str, part: Path, largest: int, patience: Patience) -> int:
    """Ask for what is missing and add it; return the byte at which it began."""
    state = part.with_suffix(".state")
    size = part.stat().st_size if part.exists() else 0
    noted = json.loads(state.read_text(encoding="utf-8")) if size and state.is_file() else ""
    headers = {"Range": f"bytes={size}-", **({"If-Range": noted} if noted else {})} if size else {}
    with open_address(address, headers, patience) as response:
        if response.status_code == 416:
            remove_part(part)
            raise AgainError("no rest to load, the file there is shorter")
        start = _start(response)
        if start not in (0, size):
            remove_part(part)
            raise AgainError(f"a rest that begins at byte {start} in place of {size}")
        length = int(response.headers.get("Content-Length") or 0)
        if start + length > largest:
            raise ValueError(_too_large(address, start + length, largest))
        if not start:
            write_whole(state, json.dumps(_validator(response)))
        _receive(response, part, start, length, address, largest)
    return start


def _start(response: requests.Response) -> int:
    """The byte at which an answer begins: 0 where the server ignores ranges, or has another file by now."""
    if response.status_code != 206:
        return 0
    text = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdigit() else -1


def _validator(response: requests.Response) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _receive(response: requests.Response, part: Path, start: int, length: int, address: str, largest: int) -> None:
    bar = tqdm(
        total=start + length if length else None, initial=start, unit="B", unit_scale=True, disable=None, leave=False,
        desc=Path(urlsplit(address).path).name,
    )  # fmt: skip
    with part.open("r+b" if start else "wb") as stream, bar:
        stream.seek(start)
        while piece := _next(response):
            if stream.tell() + len(piece) > largest:
                raise ValueError(_too_large(address, stream.tell() + len(piece), largest))
            stream.write(piece)
            bar.update(len(piece))
        if stream.tell() < start + length:  # which older versions of urllib3 do not tell
            raise AgainError(f"a connection that ended after {stream.tell()} of {start + length} bytes")


def _next(response: requests.Response) -> bytes:
    try:
        return response.raw.read(_PIECE, decode_content=False)
    except urllib3.exceptions.HTTPError as error:  # apart from the errors of the disk, which no further try mends
        raise AgainError(f"an interrupted connection ({reason(error)})") from error


def _too_large(address: str, found: int, largest: int) -> str:
    return f"{shown(address)} must have at most {largest} bytes; found {found}; correct the address"
