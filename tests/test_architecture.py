"""The rooms of medvol, who may enter which, and what may not be in any of them."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "medvol"
LEAVES = {"distributed", "passport", "figures", "writing"}
ARROWS: dict[str, set[str]] = {
    "transforms": set(),
    "networks": set(),
    "losses": set(),
    "engines": set(),
    "data": set(),
    "metrics": set(),
    "bundles": {"data", "networks", "metrics"},
    "study": {"data", "metrics", "bundles"},
    "__main__": {"data", "bundles", "study"},
    "distributed": set(),
    "passport": set(),
    "figures": set(),
    "writing": set(),
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str, own: str) -> set[str]:
    """Rooms that a module of room ``own`` imports, at any depth of the file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level > 1:  # one dot stays in the room, two dots leave it
            found |= {f"medvol.{node.module or alias.name}" for alias in node.names}
    rooms = {name.split(".")[1] for name in found if name.startswith("medvol.")}
    return rooms & (set(ARROWS) - {own})


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(file: Path) -> None:
    own = room(file)
    if own == "__init__":
        assert not imported_rooms(file.read_text(encoding="utf-8"), own)
        return
    assert own in ARROWS, f"{own} is no room of docs/architecture.md"
    assert imported_rooms(file.read_text(encoding="utf-8"), own) <= ARROWS[own] | (LEAVES - {own})


def test_the_arrow_test_sees_a_forbidden_arrow() -> None:
    for line in ("import medvol.data", "from medvol import data", "from medvol.data import x", "from ..data import x"):
        assert imported_rooms(f"def f():\n    {line}\n", "networks") == {"data"}, line


def test_no_room_is_a_drawer() -> None:
    names = {part.removesuffix(".py") for file in SOURCES for part in file.relative_to(PACKAGE).parts}
    assert not names & {"utils", "util", "common", "core", "base", "helpers", "misc"}


def test_nothing_is_named_after_its_dimension() -> None:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert not re.search(r"[23]d", node.name, re.IGNORECASE), f"{file.name}: {node.name}"
        assert not re.search(r"[23]d", file.stem), file.name


def test_files_stay_short() -> None:
    for file in SOURCES:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


def test_every_room_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    rooms = {".".join(f.parent.relative_to(ROOT).parts) for f in PACKAGE.rglob("__init__.py")}
    assert listed == rooms | {"medvol._bundles", "medvol._manifests"}


@pytest.mark.parametrize(
    "file", [f for f in SOURCES if f.name != "__init__.py"], ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_tests_mirror_the_sources(file: Path) -> None:
    mirror = ROOT / "tests" / file.relative_to(PACKAGE)
    assert mirror.with_name(f"test_{mirror.name}").is_file(), f"no test at {mirror.with_name(f'test_{mirror.name}')}"


def test_no_images_and_no_machine_paths_in_the_project() -> None:
    texts = [f for d in ("medvol", "bundles", "docs", "data_manifests", "tutorials") for f in (ROOT / d).rglob("*")]
    for file in texts:
        assert file.suffix not in {".nii", ".gz", ".dcm", ".mha", ".nrrd", ".npz"} or "eval" in file.parts, file
        if file.suffix in {".py", ".json", ".md", ".sh"} and file.is_file() and "eval" not in file.parts:
            assert not re.search(r"(?<![\w.])/(home|root|work|tmp)/", file.read_text(encoding="utf-8")), file
