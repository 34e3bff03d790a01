"""The set of scans with known damage, and copies of images, for the tests of the checks."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    file = Path(__file__).parents[2] / "fixtures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"medvol_fixtures_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def damaged_set():
    return _load("damaged").DamagedSet


@pytest.fixture(scope="session")
def copies():
    return _load("copies")
