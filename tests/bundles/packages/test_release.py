from __future__ import annotations

from pathlib import Path

import pytest

from medvol.bundles.packages.release import release_files

NAMES = ("models/model.pt", "models/passport.json")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_take_their_places(tmp_path: Path) -> None:
    (tmp_path / "new.pt").write_bytes(b"new")
    release_files(tmp_path, {"models/model.pt": tmp_path / "new.pt", "models/passport.json": b"{}"})
    assert content(tmp_path / "models") == {"model.pt": b"new", "passport.json": b"{}"}
    release_files(tmp_path, dict.fromkeys(NAMES, b"newer"))
    assert content(tmp_path / "models") == {"model.pt": b"newer", "passport.json": b"newer"}


@pytest.mark.parametrize("before", [{}, {"models/model.pt": b"old"}, dict.fromkeys(NAMES, b"old")])
@pytest.mark.parametrize("failing", range(5))
def test_all_or_none(tmp_path: Path, before: dict, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    for name, old in before.items():
        (tmp_path / name).write_bytes(old)
    true, calls = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing + 1:
            raise OSError("the disk is full")
        return true(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    if failing >= 2 + len(before):
        release_files(tmp_path, dict.fromkeys(NAMES, b"new"))
        assert content(tmp_path) == dict.fromkeys(NAMES, b"new")
        return
    with pytest.raises(OSError, match="disk is full"):
        release_files(tmp_path, dict.fromkeys(NAMES, b"new"))
    assert content(tmp_path) == before


def test_weights_never_stand_beside_the_passport_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release_files(tmp_path, dict.fromkeys(NAMES, b"old"))
    true, seen = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        done = true(self, target)
        seen.append({name: body for name, body in content(tmp_path).items() if name in NAMES})
        return done

    monkeypatch.setattr(Path, "replace", replace)
    release_files(tmp_path, dict.fromkeys(NAMES, b"new"))
    assert len(seen) == 4
    assert all(len(set(state.values())) <= 1 for state in seen)
    assert not any(list(state) == [NAMES[1]] for state in seen)


def test_a_missing_source_changes_nothing(tmp_path: Path) -> None:
    release_files(tmp_path, dict.fromkeys(NAMES, b"old"))
    with pytest.raises(FileNotFoundError):
        release_files(tmp_path, {NAMES[0]: b"new", NAMES[1]: tmp_path / "gone"})
    assert content(tmp_path) == dict.fromkeys(NAMES, b"old")
