from __future__ import annotations

from importlib import metadata

import pytest

import medvol
from medvol.bundles.doctor.packages import EXAMINATIONS

LOOK = dict(EXAMINATIONS)
INSTALLED = {
    "medvol": medvol.__version__, "torch": "2.14.1+cpu", "monai": "1.6.1", "numpy": "2.4.6", "mlflow": "3.17",
    "torchvision": "0.29.1", "onnx": "1.2", "broken": None,
}  # fmt: skip


class Metadata(dict):
    def get_all(self, name: str) -> list[str] | None:
        return self.get(name)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> object:
    """``install(requires, **versions)``: pretend that medvol is installed with these requirements."""

    def pretend(requires: dict[str, list[str]], **versions: str | None) -> None:
        there = {**INSTALLED, **versions}

        def version(name: str) -> str | None:
            if name not in there or there[name] == "none":
                raise metadata.PackageNotFoundError(name)
            return there[name]

        def requirements(name: str) -> list[str] | None:
            version(name)
            return requires.get(name)

        def about(name: str) -> Metadata:
            version(name)
            return Metadata({"Requires-Python": ">=3.10", "Provides-Extra": ["export", "scale", "test"]})

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", requirements)
        monkeypatch.setattr(metadata, "metadata", about)

    return pretend


def look(part: str) -> list[tuple[str, str, str]]:
    return [(line.state, line.text, line.remedy) for line in LOOK[part]()]


def test_an_installed_medvol_with_all_it_needs(install) -> None:
    install({"medvol": ["torch>=2.8", "monai>=1.6.1", 'onnx>=1; extra == "export"', 'pytest>=8; extra == "test"']})
    found = look("packages")
    assert [state for state, _, _ in found] == ["ok", "ok", "ok"]
    assert "all 2 needed are there; torch 2.14.1+cpu" in found[0][1]
    assert "Extra 'export' is there: onnx." in found[1][1]
    assert not any("pytest" in text for _, text, _ in found)


def test_the_other_project_of_that_name_is_found_out(install) -> None:
    install({"medvol": ["SimpleITK"]}, medvol="0.0.22")
    ((state, text, remedy),) = look("packages")
    assert state == "error"
    assert "0.0.22 is not this one" in text
    assert "uninstall it" in remedy


def test_what_is_missing_too_old_or_damaged(install) -> None:
    install({"medvol": ["torch>=2.20", "nibabel>=5", "broken>=1", "tensorflow; python_version < '3'", "((("]})
    found = look("packages")
    errors = [text for state, text, _ in found if state == "error"]
    assert errors == [
        "torch>=2.20 is needed; found 2.14.1+cpu.",
        "nibabel>=5 is needed, and not installed.",
        "broken>=1 is needed, and not installed.",
    ]
    assert all("pip install" in remedy for state, _, remedy in found if state == "error")


def test_extras_are_optional_but_not_if_too_old(install) -> None:
    install({"medvol": ['onnx>=1.17; extra == "export"', 'absent>=1; extra == "scale"']})
    _, export, scale = look("packages")
    assert export[0] == "warning"
    assert "'.[export]'" in export[2]
    assert scale[0] == "ok"
    assert "optional and incomplete: absent" in scale[1]


def test_a_medvol_that_is_not_installed_has_no_bounds(install) -> None:
    install({}, medvol="none", mlflow="none")
    ((state, text, remedy),) = look("packages")
    assert (state, "not installed, so no bounds" in text, "mlflow missing" in text) == ("warning", True, True)
    assert "pip install" in remedy
    assert look("python")[0][0] == "ok"


def test_a_python_that_is_too_old(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install({})
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    ((state, text, _),) = look("python")
    assert state == "error"
    assert ">=3.10" in text


@pytest.mark.parametrize(
    ("vision", "torch", "state"),
    [
        ("0.29.1", "2.14.1+cpu", "ok"),
        ("0.29.1", "2.14.0", "warning"),
        ("0.29.1", "none", "warning"),
        ("none", "2.8", "ok"),
    ],
)
def test_torchvision_fits_one_torch(vision: str, torch: str, state: str, install) -> None:
    install({"torchvision": ["numpy", "torch==2.14.1"]}, torchvision=vision, torch=torch)
    assert look("torchvision")[0][0] == state
