"""The size that the cache may have: how it is written, and where it is named."""

from __future__ import annotations

import os
import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_size(text: str) -> int:
    """Return the bytes that a size like ``50GB`` (10^9) or ``50GiB`` (2^30) means.

    Raises:
        ValueError: it is no size, or not above 0.

    Example:
        >>> parse_size("50GB"), parse_size("1.5 MiB"), parse_size("4096 B")
        (50000000000, 1572864, 4096)
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*((?:[kmgt]i?)?b|[kmgt]i?)\s*", text.lower())
    # Never without a unit: "50" would empty a cache that should hold 50 GB.
    unit = found[2].removesuffix("b") if found else None
    size = int(float(found[1]) * _UNITS[unit]) if found and unit in _UNITS else 0
    if size < 1:
        raise ValueError(f"a size must be a number and a unit (kB, MB, GB, TB, GiB ...); found {text!r}; write 50GB")
    return size


def size_bound() -> int | None:
    """Return the bytes that a folder of pre-processed volumes may hold: ``MEDVOL_CACHE_SIZE``; None without a bound.

    There is none by default: a bound that nobody chose would make entries again and again, silently, where the data
    are larger. Instead, an unbounded cache warns once when the disk is nearly full.

    Raises:
        ValueError: the variable holds no size.

    Example:
        >>> size_bound() is None or size_bound() > 0
        True
    """
    text = os.environ.get("MEDVOL_CACHE_SIZE", "").strip()
    if not text:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise ValueError(f"in the environment variable MEDVOL_CACHE_SIZE, {error}") from None
