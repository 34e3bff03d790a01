from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

import medvol
from medvol.bundles.checks import metadata_rules
from medvol.bundles.checks.metadata_rules import REQUIRED, metadata_rule, versions_rule
from medvol.bundles.opening import OpenBundle, open_bundle


def with_meta(**meta: object) -> OpenBundle:
    return OpenBundle(Path(), Path("train.json"), {}, ConfigParser({"_meta_": meta}))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"monai": "1.9.0", "torch": "2.10.0+cpu", "numpy": "2.0.0"}
    monkeypatch.setattr(metadata_rules, "_installed", versions.get)


def test_the_bundles_here_are_clean() -> None:
    for bundle in ("cpc3d", "unet_brats", "unet_hippocampus"):
        opened = open_bundle(bundle)
        assert list(metadata_rule(opened)) == []
        assert [p for p in versions_rule(opened) if p.state == "error"] == []


@pytest.mark.parametrize("key", REQUIRED)
def test_every_required_key_is_asked_for(key: str, tmp_path: Path) -> None:
    content = json.loads((Path(__file__).parents[3] / "bundles/cpc3d/metadata.json").read_text(encoding="utf-8"))
    del content[key]
    (tmp_path / "metadata.json").write_text(json.dumps(content), encoding="utf-8")
    (problem,) = metadata_rule(OpenBundle(tmp_path, tmp_path / "train.json", {}, ConfigParser({})))
    assert problem.expected == f"the key '{key}' in metadata.json"


@pytest.mark.parametrize(
    ("wanted", "errors"),
    # 1.10 is newer than 1.9, though its text comes first
    [("1.9.0", 0), ("1.9", 0), ("1.10.0", 1), ("1.9.0.1", 1), ("1.8.7", 0), ("2", 1), ("1.9.0rc1", 0), ("", 1)],
)
@pytest.mark.usefixtures("installed")
def test_versions_are_compared_as_versions(wanted: str, errors: int) -> None:
    assert len(list(versions_rule(with_meta(monai_version=wanted)))) == errors
    assert len(list(versions_rule(with_meta(required_packages_version={"monai": wanted})))) == errors


@pytest.mark.usefixtures("installed")
def test_a_build_number_makes_no_version_newer_or_older() -> None:
    assert list(versions_rule(with_meta(required_packages_version={"torch": "2.10.0"}))) == []
    assert list(versions_rule(with_meta(pytorch_version="2.10.0+cu130"))) == []


@pytest.mark.usefixtures("installed")
def test_one_lack_is_told_once() -> None:
    both = with_meta(monai_version="3.0", required_packages_version={"monai": "3.0"})
    assert [p.expected for p in versions_rule(both)] == ["monai >= 3.0"]


@pytest.mark.usefixtures("installed")
def test_what_a_bundle_was_tested_with_is_a_warning() -> None:
    found = list(versions_rule(with_meta(pytorch_version="2.11.0", numpy_version="9.0")))
    assert [(p.expected, p.state) for p in found] == [("torch >= 2.11.0", "warning"), ("numpy >= 9.0", "warning")]


def test_medvol_itself_may_run_from_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise metadata_rules.PackageNotFoundError(package)

    monkeypatch.setattr(metadata_rules, "version", absent)
    assert list(versions_rule(with_meta(required_packages_version={"medvol": "0.0.1"}))) == []
    (problem,) = versions_rule(with_meta(required_packages_version={"medvol": "9.0"}))
    assert problem.found == medvol.__version__
    assert problem.remedy == "update medvol to 9.0 or newer", "that name on PyPI is another project's"
