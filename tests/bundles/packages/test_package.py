from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from medvol.bundles.packages.package import package_members
from medvol.passport import read_passport

ROOT = Path(__file__).parents[3] / "bundles"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of cpc3d, links and all."""
    return Path(
        shutil.copytree(ROOT / "cpc3d", tmp_path / "cpc3d", symlinks=True, ignore=shutil.ignore_patterns("eval"))
    )


def members(bundle: Path, trained: dict[str, Path], values: dict | None = None, url: str | None = None) -> dict:
    weights = trained["cpc3d"] / "model.pt"
    metadata = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
    return package_members(bundle, weights, read_passport(weights), values or {}, metadata, url)


def test_a_package_holds_what_a_bundle_is_and_nothing_else(bundle: Path, trained: dict[str, Path]) -> None:
    for name in (
        "eval/1a2b/last.pt",
        "eval/1a2b/model.pt",
        "__pycache__/x.pyc",
        ".hidden",
        "models/old.pt",
        "notes.txt",
    ):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text("secret")
    (bundle / "patients.json").write_text('{"patient": "secret"}')
    args = [file.name for file in (ROOT / "cpc3d").glob("*args_*.json")]  # one for each study that takes it
    twice = [*args, "inference.json", "logging.conf", "metadata.json", "train.json"]
    assert sorted(members(bundle, trained)) == sorted(
        ["LICENSE", "README.md", "docs/README.md", "models/model.pt", "models/passport.json", *twice]
        + [f"configs/{name}" for name in twice]
    )


def test_unchanged_files_keep_their_bytes(bundle: Path, trained: dict[str, Path]) -> None:
    found = members(bundle, trained)
    for name in ("train.json", "metadata.json", "logging.conf", "README.md", "LICENSE", "args_hippocampus.json"):
        assert found[name] == (bundle / name).read_bytes(), name
    assert found["configs/train.json"] == found["train.json"]
    page = found["docs/README.md"].decode()
    assert page.startswith((bundle / "README.md").read_text(encoding="utf-8").rstrip())
    assert page.count("# Model card: cpc3d") == 1
    assert "\nlicense:" not in page


def test_configs_name_their_own_weights_and_the_runs_values(bundle: Path, trained: dict[str, Path]) -> None:
    found = members(bundle, trained, {"filters": [8, 8, 8]})
    before, after = (json.loads(text) for text in ((bundle / "inference.json").read_text(), found["inference.json"]))
    assert after == {**before, "weights": "$@bundle_root + '/models/model.pt'", "filters": [8, 8, 8]}
    assert json.loads(found["configs/train.json"])["filters"] == [8, 8, 8]
    assert json.loads(found["args_hippocampus.json"])["filters"] == [8, 16, 32, 64]


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "train.json", "logging.conf"])
def test_a_missing_file_is_named(name: str, bundle: Path, trained: dict[str, Path]) -> None:
    (bundle / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"must hold {name}; found none in .*; add it"):
        members(bundle, trained)


def test_large_files_name_the_weights_and_their_checksum(bundle: Path, trained: dict[str, Path]) -> None:
    url = "https://example.org/cpc3d/model.pt"
    content = members(bundle, trained, url=url)["large_files.yml"]
    digest = hashlib.sha256((trained["cpc3d"] / "model.pt").read_bytes()).hexdigest()
    entry = {"path": "models/model.pt", "url": url, "hash_val": digest, "hash_type": "sha256"}
    assert yaml.safe_load(content) == {"large_files": [entry]}
    (bundle / "large_files.yml").write_bytes(content)
    assert members(bundle, trained)["large_files.yml"] == content
    (bundle / "large_files.yml").write_bytes(content.replace(digest.encode(), b"0" * 64))
    with pytest.raises(ValueError, match=rf"SHA-256 {digest}\); found others; give --weights_url, or remove"):
        members(bundle, trained)


@pytest.mark.parametrize("url", ["model.pt", "ftp://x/y", "https://u:p@x/y", "https://x/y#z", "https://x/a b", ""])
def test_what_is_no_address_is_refused(url: str, bundle: Path, trained: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="weights_url must be an address"):
        members(bundle, trained, url=url)
