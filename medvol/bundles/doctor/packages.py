"""Python, and the packages against the bounds that medvol's installed metadata state."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

import medvol

from .diagnosis import Diagnosis

__all__ = ["EXAMINATIONS"]

_NAME = "medvol"
_FOR_DEVELOPERS = {"test", "docs"}
_MAIN = ("torch", "monai", "numpy", "mlflow")


def _python() -> Iterator[Diagnosis]:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        bound = metadata.metadata(_NAME)["Requires-Python"]
    except metadata.PackageNotFoundError:
        bound = None
    if bound and not SpecifierSet(bound).contains(platform.python_version(), prereleases=True):
        yield Diagnosis("python", "error", f"{found}; medvol needs {bound}.", "Install medvol in another Python.")
    else:
        yield Diagnosis("python", "ok", f"{found}, {sys.executable or 'no path known'}.")


def _packages() -> Iterator[Diagnosis]:
    found = {name: _version(name) for name in _MAIN}
    shown = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    missing = [name for name, version in found.items() if version is None]
    try:
        required = metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError:
        text = f"medvol runs from its folder and is not installed, so no bounds can be compared; found {shown}."
        yield Diagnosis("packages", "warning", text, "Run 'python -m pip install -e .' in that folder.")
        return
    if _version(_NAME) != medvol.__version__:
        text = f"The installed medvol {_version(_NAME)} is not this one, {medvol.__version__}."
        remedy = "PyPI's medvol is another project: uninstall it, then 'python -m pip install -e .' in medvol's folder."
        yield Diagnosis("packages", "error", text, remedy)
        return
    bounds = [_parsed(line) for line in required]
    always = [bound for bound in bounds if bound is not None and _applies(bound, "")]
    problems = [problem for bound in always if (problem := _problem(bound))]
    for problem in problems:
        yield Diagnosis("packages", "error", f"{problem}.", "Run 'python -m pip install -e .' in medvol's folder.")
    if not problems:
        yield Diagnosis("packages", "ok", f"medvol {_version(_NAME)}: all {len(always)} needed are there; {shown}.")
    elif missing:
        yield Diagnosis("packages", "ok", f"Of the main packages there are {shown}.")
    extras = sorted(set(metadata.metadata(_NAME).get_all("Provides-Extra") or ()) - _FOR_DEVELOPERS)
    for extra in extras:
        yield _extra(extra, [b for b in bounds if b is not None and not _applies(b, "") and _applies(b, extra)])


def _extra(extra: str, bounds: list[Requirement]) -> Diagnosis:
    absent = [bound.name for bound in bounds if _version(bound.name) is None]
    problems = [problem for b in bounds if b.name not in absent and (problem := _problem(b))]
    remedy = f"Run \"python -m pip install -e '.[{extra}]'\" in medvol's folder."
    if problems:
        return Diagnosis("packages", "warning", f"Extra '{extra}': {'; '.join(problems)}.", remedy)
    if absent:
        text = f"Extra '{extra}' is optional and incomplete: {', '.join(absent)} not installed."
        return Diagnosis("packages", "ok", text, remedy)
    return Diagnosis("packages", "ok", f"Extra '{extra}' is there: {', '.join(bound.name for bound in bounds)}.")


def _pairing() -> Iterator[Diagnosis]:
    """Torchvision is built against one very version of torch, and says so."""
    vision, torch = _version("torchvision"), _version("torch")
    if vision is None:
        yield Diagnosis("torchvision", "ok", "torchvision is not installed, and nothing here needs it.")
        return
    bounds = [b for b in map(_parsed, metadata.requires("torchvision") or []) if b is not None and b.name == "torch"]
    wrong = next((b for b in bounds if torch is None or not b.specifier.contains(torch, prereleases=True)), None)
    if wrong is None:
        yield Diagnosis("torchvision", "ok", f"torchvision {vision} fits torch {torch}.")
    else:
        text = f"torchvision {vision} is built for torch{wrong.specifier}; found torch {torch or 'missing'}."
        remedy = f"Run 'python -m pip install torchvision torch{wrong.specifier}', or take torchvision out."
        yield Diagnosis("torchvision", "warning", text, remedy)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name) or None  # a damaged installation has no version
    except (metadata.PackageNotFoundError, KeyError):
        return None


def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _applies(bound: Requirement, extra: str) -> bool:
    return bound.marker is None or bound.marker.evaluate({**default_environment(), "extra": extra})


def _problem(bound: Requirement) -> str:
    found = _version(bound.name)
    if found is None:
        return f"{bound.name}{bound.specifier} is needed, and not installed"
    if not bound.specifier.contains(found, prereleases=True):
        return f"{bound.name}{bound.specifier} is needed; found {found}"
    return ""


EXAMINATIONS = (("python", _python), ("packages", _packages), ("torchvision", _pairing))
