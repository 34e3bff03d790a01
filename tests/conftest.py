"""Fixtures for the whole suite: synthetic volumes and a small encoder, as functions and classes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    """Import tests/fixtures/<name>.py by its place, without touching the import path."""
    spec = importlib.util.spec_from_file_location(
        f"medvol_fixtures_{name}", Path(__file__).parent / f"fixtures/{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_volumes, _encoders, _dataset = _load("volumes"), _load("encoders"), _load("dataset")


@pytest.fixture(scope="session")
def noise():
    return _volumes.noise


@pytest.fixture(scope="session")
def blobs():
    return _volumes.blobs


@pytest.fixture(scope="session")
def ramp():
    return _volumes.ramp


@pytest.fixture(scope="session")
def padded():
    return _volumes.padded


@pytest.fixture(scope="session")
def marker():
    return _volumes.marker


@pytest.fixture(scope="session")
def tiny_encoder():
    return _encoders.TinyEncoder


@pytest.fixture(scope="session")
def write_tiny_dataset():
    return _dataset.write_dataset
