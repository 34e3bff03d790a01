import os

import pytest

from medvol.data import Manifest, seen
from medvol.data.files import checksum
from medvol.data.seen import require_unchanged


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(seen, "_known", {})
    path = tmp_path / "label.nii"
    path.write_bytes(b"1" * 100)
    return path


def forget(monkeypatch):
    """As another process would start."""
    monkeypatch.setattr(seen, "_known", {})


@pytest.mark.parametrize("another_process", [False, True])
def test_an_edit_of_the_same_size_is_refused(file, monkeypatch, another_process):
    stated = checksum(file)
    require_unchanged(file, stated)
    if another_process:
        forget(monkeypatch)
    file.write_bytes(b"2" * 100)
    os.utime(file, (1, 1))
    with pytest.raises(ValueError, match="which has changed since; found"):
        require_unchanged(file, stated)
    require_unchanged(file, checksum(file))


def test_a_touch_is_no_change(file, monkeypatch):
    stated = checksum(file)
    require_unchanged(file, stated)
    os.utime(file, (1, 1))
    forget(monkeypatch)
    require_unchanged(file, stated)
    read = []
    monkeypatch.setattr(seen, "checksum", lambda path: read.append(path) or stated)
    forget(monkeypatch)
    require_unchanged(file, stated)
    assert not read, "the new state is remembered"


def test_without_a_folder_to_write_to_it_goes_on(file, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "taken"))
    stated = checksum(file)
    require_unchanged(file, stated)
    os.utime(file, (1, 1))
    require_unchanged(file, stated)


def test_a_manifest_refuses_to_train_on_it(file, monkeypatch):
    items = [{"image": "label.nii", "patient": "P", "sha256": {"label.nii": checksum(file)}}]
    manifest = Manifest("m", file.parent, ("t1",), {}, True, {"training": items})
    before = manifest.items("training")
    file.write_bytes(b"2" * 100)
    os.utime(file, (1, 1))
    with pytest.raises(ValueError, match="verify"):
        manifest.items("training")
    assert before[0]["identity"].endswith("|100")
