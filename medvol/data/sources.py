"""Which source text decides what a class does: its own file, the neighbors, and everything that they import."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

__all__ = ["source_hash"]

_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))


def source_hash(modules: Iterable[str], versioned: Iterable[str]) -> str:
    """Return a hash over the text of modules, of their neighbors in a package, and of all that these import.

    An imported module of another installed package counts with that package's version, for an installed package is
    replaced and not edited; one of the user's own counts with its text.

    Args:
        modules: full names of modules, such as ``"mine.transforms"``.
        versioned: packages that the caller accounts for; they and the standard library are left out.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> source_hash(["medvol.data.sources"], ["torch"]) == source_hash(["medvol.data.sources"], ["torch"])
        True
    """
    left_out = {*versioned, *sys.stdlib_module_names, *sys.builtin_module_names} - {"__main__"}
    own = {_top(name) for name in modules}
    waiting: dict[str, Path | None] = {}
    for name in modules:
        waiting |= {name: _file(name), **_neighbors(name)}
    seen: dict[str, str] = {}
    while waiting:
        name, file = waiting.popitem()
        if name in seen or _top(name) in left_out:
            continue
        if _top(name) not in own and _is_installed(_top(name)):
            seen[name] = _version(_top(name))
            continue
        file = file or _file(name)
        if file is not None:
            text = file.read_bytes()
            seen[name] = hashlib.sha256(text).hexdigest()
            waiting |= dict.fromkeys(_imports(text, name, file.name == "__init__.py"))
    parts = sorted({(_top(name) if text.startswith("version ") else name, text) for name, text in seen.items()})
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _top(name: str) -> str:
    return name.split(".")[0]


def _neighbors(name: str) -> dict[str, Path]:
    """The modules beside one in its package: what it does may stand in one of them without an import."""
    file = _file(name)
    if file is None or not (file.parent / "__init__.py").is_file():
        return {}
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return {package if p.stem == "__init__" else f"{package}.{p.stem}": p for p in file.parent.glob("*.py")}


def _imports(text: bytes, name: str, is_package: bool) -> Iterator[str]:
    """Every module that a text imports, also inside of functions."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # it could not be imported either
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0]
                base = f"{above}.{base}".rstrip(".") if above else base
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _file(name: str) -> Path | None:
    """The file of a module, or None for what is no module, such as a function's name; nothing is imported for it."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is None:
        spec, places = None, None  # `importlib.util.find_spec` would import the packages above
        for end in range(1, name.count(".") + 2):
            spec = _spec(".".join(name.split(".")[:end]), places)
            places = None if spec is None else spec.submodule_search_locations
            if spec is None or (places is None and end <= name.count(".")):
                return None
        loaded = spec.origin if spec.has_location else None
    file = None if loaded is None else Path(loaded)
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


def _spec(name: str, places: Iterable[str] | None) -> ModuleSpec | None:
    """The spec of a top-level module, or of one in a package that lies at these places."""
    try:
        return importlib.util.find_spec(name) if places is None else PathFinder.find_spec(name, list(places))
    except (ImportError, ValueError, AttributeError):
        return None


@cache
def _is_installed(top: str) -> bool:
    file = _file(top)
    return file is None or any(place in file.resolve().parents for place in _INSTALLED)


@cache
def _version(top: str) -> str:
    try:
        return f"version {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        return f"version {getattr(sys.modules.get(top), '__version__', 'unknown')}"
