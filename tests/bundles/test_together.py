"""Several files in the place of others: all, or none, whatever fails and wherever it stops."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from medvol.bundles.together import replace_together

NAMES = ("models/model.pt", "models/passport.json")


def below(folder: Path, files: dict[str, bytes | Path]) -> dict[Path, bytes | Path]:
    return {folder / name: content for name, content in files.items()}


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_files_take_their_places(tmp_path: Path) -> None:
    (tmp_path / "new.pt").write_bytes(b"new")
    replace_together(below(tmp_path, {"models/model.pt": tmp_path / "new.pt", "models/passport.json": b"{}"}))
    assert content(tmp_path / "models") == {"model.pt": b"new", "passport.json": b"{}"}
    replace_together(below(tmp_path, dict.fromkeys(NAMES, b"newer")))
    assert content(tmp_path / "models") == {"model.pt": b"newer", "passport.json": b"newer"}
    assert (tmp_path / "new.pt").read_bytes() == b"new"


def test_deep_folders_and_removal(tmp_path: Path) -> None:
    replace_together(below(tmp_path, {"a/b/c.md": b"1", "old": b"2"}))
    replace_together(below(tmp_path, {"a/b/d/e.md": b"3"}), remove=[tmp_path / "old", tmp_path / "never"])
    assert content(tmp_path) == {"a": None, "a/b": None, "a/b/c.md": b"1", "a/b/d": None, "a/b/d/e.md": b"3"}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", [{}, {NAMES[0]: b"old"}, dict.fromkeys((*NAMES, "more"), b"old")])
@pytest.mark.parametrize("act", ["replace", "unlink", "open", "mkdir"])
@pytest.mark.parametrize("failing", range(4))
def test_all_or_none(
    tmp_path: Path, before: dict, failing: int, act: str, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, old in before.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(old)
    true, calls, there = getattr(Path, act), [], content(tmp_path)

    def fails(self: Path, *args: object, **kwargs: object) -> object:
        calls.append(self)
        if len(calls) == failing + 1:
            raise OSError("the disk is full")
        return true(self, *args, **kwargs)

    def no_link(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    with monkeypatch.context() as patched:
        if not links:
            patched.setattr(os, "link", no_link)
        patched.setattr(Path, act, fails)
        failed = False
        try:
            replace_together(below(tmp_path, dict.fromkeys(("docs/a/x", *NAMES), b"new")), remove=[tmp_path / "more"])
        except OSError:
            failed = True
    now = content(tmp_path)
    visible = {name: body for name, body in now.items() if body and "." not in (name[0], Path(name).name[0])}
    if failed:
        assert now == there
    else:  # and where it was the cleaning up that failed, with a hidden file beside
        assert visible == dict.fromkeys(("docs/a/x", *NAMES), b"new")


@pytest.mark.parametrize("stop", range(3))
def test_whoever_looks_in_between(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("train.json", *NAMES)
    replace_together(below(tmp_path, dict.fromkeys(names, b"old")))
    true, seen = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        seen.append({name: body for name, body in content(tmp_path).items() if name in names})
        return true(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    replace_together(below(tmp_path, dict.fromkeys(names, b"new")))
    assert seen == [
        {"train.json": b"old", NAMES[0]: b"old"},
        {"train.json": b"new", NAMES[0]: b"old"},
        {"train.json": b"new", NAMES[0]: b"new"},
    ]


def test_a_missing_source_changes_nothing(tmp_path: Path) -> None:
    replace_together(below(tmp_path, dict.fromkeys(NAMES, b"old")))
    before = content(tmp_path)
    with pytest.raises(FileNotFoundError):
        replace_together(below(tmp_path, {NAMES[0]: b"new", "new/a": b"", NAMES[1]: tmp_path / "gone"}))
    assert content(tmp_path) == before


def test_a_folder_in_the_way_changes_nothing(tmp_path: Path) -> None:
    replace_together(below(tmp_path, {"a": b"old", "b/c": b"old"}))
    before = content(tmp_path)
    with pytest.raises(OSError, match="directory"):
        replace_together(below(tmp_path, {"a": b"new", "b": b"new"}))
    assert content(tmp_path) == before


def test_rights_are_those_of_the_file_before_or_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"")
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "old").chmod(0o640)
    replace_together(below(tmp_path, {"old": b"1", "new": b"2"}))
    rights = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "new", "plain")}
    assert rights["old"] == 0o640
    assert rights["new"] == rights["plain"]


def test_what_cannot_come_back_is_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_together(below(tmp_path, {"a": b"old", "b": b"old"}))
    true, calls = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) > 1:
            raise OSError("the disk is gone")
        return true(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match=r"must come back .*take them from .*\.a\..*before, .*\.b\..*before"):
        replace_together(below(tmp_path, dict.fromkeys("ab", b"new")))
    assert sorted(p.read_bytes() for p in tmp_path.glob(".*.before")) == [b"old", b"old"]
