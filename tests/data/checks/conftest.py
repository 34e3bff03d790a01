"""The set of scans with known damage, for the tests of verify."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def damaged_set():
    file = Path(__file__).parents[2] / "fixtures" / "damaged.py"
    spec = importlib.util.spec_from_file_location("medvol_fixtures_damaged", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DamagedSet
