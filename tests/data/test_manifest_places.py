from __future__ import annotations

from pathlib import Path

import pytest

from medvol.data import load_manifest
from medvol.data.manifest_places import find_manifest


@pytest.mark.parametrize("name", ["aptos", "nowhere/aptos.json", "aptos.json", "aptos.parquet"])
def test_a_public_set_that_is_not_there_is_told_with_its_import(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"medvol manifest import aptos <folder> --out aptos\.json"):
        load_manifest(name)


def test_any_other_missing_file_or_name_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*other\.json; correct the path"):
        find_manifest("nowhere/other.json")
    with pytest.raises(FileNotFoundError, match="none is called 'hippocampos'; did you mean 'hippocampus'"):
        find_manifest("hippocampos")


def test_a_name_is_looked_for_in_the_current_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_manifests").mkdir()
    own = tmp_path / "data_manifests" / "hippocampus.json"
    assert find_manifest("hippocampus") != own
    own.write_text("{}", encoding="utf-8")
    assert find_manifest("hippocampus") == own
