"""Where a package comes from: a name in an index, an address or a file, and the checksum it must have."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from medvol.data.datalist import did_you_mean

from ..packages.archive import INDEX, bundles_in
from ..packages.contents import BUNDLE_NAME
from ..reading import read_json
from .addresses import Patience, check_address, shown, small_text

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """A package that was asked for.

    Attributes:
        place: address or file of the zip.
        sha256: the checksum it must have.
        name: the bundle's name where an index says it.
        version: the bundle's version where an index says it.
    """

    place: str | Path
    sha256: str
    name: str | None = None
    version: str | None = None


def find_source(
    source: str | Path, index: str | Path | None = None, sha256: str | None = None, patience: Patience | None = None
) -> Source:
    """Find out which file is meant, and which checksum it must have.

    Args:
        source: a bundle's name, the address of a zip, or a zip file.
        index: address or file of an index; None for the environment variable ``MEDVOL_INDEX``.
        sha256: the checksum, where the caller knows it; None for that of the index, or of ``<source>.sha256``.
        patience: waiting times and tries.

    Raises:
        FileNotFoundError: no such name, file or index.
        ValueError: an index or a checksum that cannot be read, or no checksum at all.
        OSError: no connection.

    Example:
        >>> find_source("https://host/cpc3d-0.1.0.zip", sha256="AB" * 32).sha256[:4]
        'abab'
    """
    given = None if sha256 is None else _checked(sha256, "the argument")
    text = os.fspath(source)
    if BUNDLE_NAME.fullmatch(text):
        found = _from_index(text, index, patience)
        return Source(found.place, given or found.sha256, found.name, found.version)
    place: str | Path
    if "://" in text:
        check_address(text)
        place = text
    else:
        place = Path(text)
        if not place.is_file():
            found = "a folder" if place.is_dir() else "nothing"
            raise FileNotFoundError(
                f"a bundle's name, an address or a zip file is expected; found {found} at {text!r}; correct it"
            )
    return Source(place, given or _beside(place, patience))


def _from_index(name: str, index: str | Path | None, patience: Patience | None) -> Source:
    where = os.fspath(index) if index is not None else os.environ.get("MEDVOL_INDEX", "")
    if not where:
        raise ValueError(
            f"the name {name!r} must be looked up in an index of bundles; found no index; give its address or file by "
            "--index or by the environment variable MEDVOL_INDEX, or fetch by the address of a zip"
        )
    remote = "://" in where
    if remote:
        where = where + INDEX if urlsplit(where).path.endswith("/") else where
    elif Path(where).is_dir():
        where = str(Path(where) / INDEX)
    bundles = _read_index(where, remote, patience)
    if name not in bundles:
        raise FileNotFoundError(
            f"a bundle of the index {shown(where) if remote else where} is expected; found none called {name!r}; "
            f"{did_you_mean(name, sorted(bundles))}"
        )
    entry = bundles[name]
    fields = entry if isinstance(entry, dict) else {}
    if not isinstance(fields.get("file"), str) or not isinstance(fields.get("sha256"), str):
        raise ValueError(
            f"an entry of the index {where} must have 'file' and 'sha256' as texts; found {entry!r} for {name!r}; "
            "write the index again with 'python -m medvol pack'"
        )
    version = fields.get("version")
    place = _relative(where, fields["file"], remote)
    return Source(
        place, _checked(fields["sha256"], f"the index {where}"), name, None if version is None else str(version)
    )


def _read_index(where: str, remote: bool, patience: Patience | None) -> dict[str, Any]:
    if not remote:
        content = read_json(where)
    else:
        text = small_text(where, patience)
        if text is None:
            raise FileNotFoundError(f"an index of bundles is expected at {shown(where)}; found none; correct --index")
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"the index {shown(where)} must be JSON; found {error}; correct the address") from error
    return bundles_in(content, shown(where) if remote else where)


def _relative(where: str, file: str, remote: bool) -> str | Path:
    """The place of a file that an index names, relative to the index; a server's index never names a local file."""
    if not remote and "://" not in file:
        return Path(where).parent / file
    place = urljoin(where, file) if remote else file
    check_address(place)
    if remote and urlsplit(place).scheme not in ("https", urlsplit(where).scheme):
        raise ValueError(
            f"the index {shown(where)} must name a file as safe as itself; found {shown(place)}; ask its publisher"
        )
    return place


def _beside(place: str | Path, patience: Patience | None) -> str:
    """The checksum in ``<place>.sha256``, a line as ``sha256sum`` writes it."""
    if isinstance(place, Path):
        file = place.with_name(f"{place.name}.sha256")
        text, name, where = file.read_text(encoding="utf-8") if file.is_file() else None, place.name, str(file)
    else:
        parts = urlsplit(place)
        where = parts._replace(path=f"{parts.path}.sha256").geturl()
        text, name, where = small_text(where, patience, largest=1 << 16), Path(parts.path).name, shown(where)
    if text is None:
        # Nothing computed from the file is shown here: it would be pasted back, and the check would check nothing.
        raise ValueError(
            f"a package must come with its checksum; found none, neither --sha256 nor {where}; ask its publisher for "
            "the SHA-256 and give it by --sha256 <64 hexadecimal digits>"
        )
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    own = [line for line in lines if len(line) == 2 and line[1].strip().lstrip("*") == name] or lines[:1]
    return _checked(own[0][0] if own else "", where)


def _checked(text: str, where: str) -> str:
    found = text.strip().lower()
    if not _SHA256.fullmatch(found):
        raise ValueError(
            f"a SHA-256 must be 64 hexadecimal digits; found {text.strip()[:80]!r} in {where}; copy it again whole"
        )
    return found
