"""What must hold of a bundle's metadata, and of the packages that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.version import InvalidVersion, Version

import medvol

from ..opening import OpenBundle, read_json
from ..refusal import Problem

REQUIRED = (
    "schema version changelog monai_version pytorch_version numpy_version required_packages_version task description "
    "authors copyright network_data_format"
).split()
"""Keys that a bundle's metadata must have, in the model zoo, too."""

_TESTED_WITH = {"pytorch_version": "torch", "numpy_version": "numpy"}


def metadata_rule(opened: OpenBundle) -> Iterator[Problem]:
    """``metadata.json`` is there, can be read, has every required key, and its changelog knows its version."""
    file = opened.folder / "metadata.json"
    expected = "a metadata.json that describes the bundle"
    try:
        content = read_json(file)
    except FileNotFoundError:
        yield Problem(expected, f"none at {file}", "copy that of another bundle and correct it")
        return
    except (OSError, ValueError) as error:
        yield Problem(expected, str(error), f"correct {file.name}")
        return
    for key in REQUIRED:
        if key not in content:
            yield Problem(f"the key '{key}' in metadata.json", "none", f"add '{key}', as in another bundle's metadata")
        elif not content[key]:
            yield Problem(f"a value for '{key}' in metadata.json", repr(content[key]), f"fill in '{key}'")
    changes = content.get("changelog")
    if isinstance(changes, dict) and changes and "version" in content and content["version"] not in changes:
        found = f"only {', '.join(map(str, changes))}"
        remedy = "say there what this version changes"
        yield Problem(f"version {content['version']} in the changelog of metadata.json", found, remedy)


def versions_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The installed packages are not older than what the metadata ask for; versions are compared as versions."""
    meta = opened.config.get("_meta_") or {}
    needed = meta.get("required_packages_version") or {}
    if not isinstance(needed, dict):
        expected = "package names and versions under 'required_packages_version' in metadata.json"
        yield Problem(expected, repr(needed), 'write it as {"torch": "2.8"}')
        needed = {}
    for package, least in needed.items():
        yield from _not_older(package, least, f"'{package}' in required_packages_version")
    if "monai_version" in meta and ("monai" not in needed or _newer(meta["monai_version"], needed["monai"])):
        yield from _not_older("monai", meta["monai_version"], "monai_version")
    for key, package in _TESTED_WITH.items():
        for problem in _not_older(package, meta[key], key) if key in meta else ():
            yield Problem(problem.expected, problem.found, f"nothing, or {problem.remedy}", "warning")


def _not_older(package: str, least: Any, key: str) -> Iterator[Problem]:
    wanted = _version(least)
    if wanted is None:
        yield Problem(f"a version for {key} in metadata.json", repr(least), "write it as a text such as '1.6.1'")
        return
    found = _installed(package)
    if found is None or _version(found) is None or _version(found) < wanted:
        shown = "it is not installed" if found is None else found
        # The package of that name on PyPI is another project.
        remedy = f"update medvol to {least} or newer" if package == "medvol" else f"pip install '{package}>={least}'"
        yield Problem(f"{package} >= {least}", shown, remedy)


@cache
def _installed(package: str) -> str | None:
    if package == "medvol":  # may run from its folder, without being installed
        return medvol.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version(text: Any) -> Version | None:
    """The release alone: the tests of a bundle ran with a release, and 2.8.0+cpu is not newer than 2.8."""
    try:
        return Version(Version(str(text)).base_version)
    except InvalidVersion:
        return None


def _newer(one: Any, other: Any) -> bool:
    """Whether the first version says more than the second; what is no version does, for it must be reported."""
    left, right = _version(one), _version(other)
    return left is None or right is None or left > right
