"""What a package must hold, and what in it must agree."""

from __future__ import annotations

import json
from pathlib import Path

import packages
import pytest

from medvol.bundles.packages import contents
from medvol.bundles.packages.contents import check_contents, is_bundle_name


def bundle(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (tmp_path / "cpc3d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cpc3d" / name).write_bytes(content)
    return tmp_path / "cpc3d"


def test_a_whole_package(tmp_path: Path) -> None:
    found = check_contents(bundle(tmp_path, packages.members("0.2.0")))
    assert (found.name, found.version, found.passport["steps"]) == ("cpc3d", "0.2.0", 3)
    assert len(found.weights) == 64


@pytest.mark.parametrize(
    "lost",
    ["metadata.json", "configs/metadata.json", "train.json", "configs/inference.json", "models/model.pt", "LICENSE"],
)
def test_a_missing_file_is_named(tmp_path: Path, lost: str) -> None:
    files = packages.members()
    del files[lost]
    with pytest.raises(ValueError, match=f"found no {lost}; ask its publisher"):
        check_contents(bundle(tmp_path, files))


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("configs/evaluate.json", b"{", "a readable configs/evaluate.json; found it must be JSON"),
        ("configs/train.json", b'{"steps": 4}', "two different files"),
        ("models/model.pt", b"PK", "a readable models/model.pt; found weights expect a state dict"),
        ("models/passport.json", b"{", "a readable models/passport.json; found a passport expects JSON"),
        ("models/passport.json", b'{"bundle": "rpl3d"}', "found that of 'rpl3d'"),
        ("large_files.yml", b"large_files: [", "must be YAML"),
        (
            "large_files.yml",
            b"large_files:\n- {path: models/model.pt, url: 'https://h/m', hash_type: sha256, hash_val: abc}",
            "found others",
        ),
    ],
)
def test_what_does_not_agree(tmp_path: Path, file: str, content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_contents(bundle(tmp_path, packages.members() | {file: content}))


@pytest.mark.parametrize("version", [None, 1, "", "latest", "0.1/../..", "1" * 70])
def test_a_version_that_is_none(tmp_path: Path, version: object) -> None:
    with pytest.raises(ValueError, match=r"a version such as 0\.1\.0"):
        check_contents(bundle(tmp_path, packages.members(metadata_json=json.dumps({"version": version}))))


def test_the_weights_are_those_of_the_passport(tmp_path: Path) -> None:
    def members(digest: str) -> dict[str, bytes]:
        passport = json.dumps({"bundle": "cpc3d", "weights": digest}).encode()
        return packages.members() | {"models/passport.json": passport}

    check_contents(bundle(tmp_path / "right", members(packages.sha256(packages.MODEL))))
    with pytest.raises(ValueError, match="the weights that its passport names"):
        check_contents(bundle(tmp_path / "wrong", members("0" * 64)))


def test_large_files_that_agree(tmp_path: Path) -> None:
    entry = {"path": "models/model.pt", "url": "https://h/m", "hash_type": "sha256"}
    for value in (packages.sha256(packages.MODEL), ""):
        text = json.dumps({"large_files": [{**entry, "hash_val": value}]})
        check_contents(bundle(tmp_path, packages.members() | {"large_files.yml": text.encode()}))


@pytest.mark.parametrize(
    ("name", "good"),
    [("cpc3d", True), ("b" * 64, True), ("b" * 65, False), ("CON", False), ("com1", False), ("com1x", True),
     ("a.b", False), ("", False), ("-a", False), ("a/b", False)],
)  # fmt: skip
def test_names_that_every_system_takes_for_a_folder(name: str, good: bool) -> None:
    assert is_bundle_name(name) is good


def test_the_weights_are_read_once_for_their_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = packages.members()
    digest = packages.sha256(files["models/model.pt"])
    large = f"large_files:\n- {{path: models/model.pt, url: 'https://h/m', hash_type: sha256, hash_val: {digest}}}"
    read, true = [], contents.checksum
    monkeypatch.setattr(contents, "checksum", lambda file: read.append(file) or true(file))
    check_contents(bundle(tmp_path, files | {"large_files.yml": large.encode()}))
    assert len(read) == 1
