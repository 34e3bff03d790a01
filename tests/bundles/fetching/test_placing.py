"""What happens to a folder that stands there already: nothing that a user made is ever overwritten."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import packages
import pytest

from medvol.bundles.fetching import placing
from medvol.bundles.fetching.placing import RECORD, is_current, place, read_record

NEW_MODEL, LAST_MODEL = packages.weights(2.0), packages.weights(3.0)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def put(tmp_path: Path, files: dict[str, bytes], package: str = "one", version: str = "0.1.0") -> placing.Plan:
    aside = written(tmp_path / ".fetch/unpack-1/cpc3d", files)
    try:
        return place(aside, tmp_path / "cpc3d", package, version)
    finally:
        shutil.rmtree(tmp_path / ".fetch")


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != RECORD)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A bundle as in a clone: configs at the top, links to them, no weights, and runs."""
    files = {name: c for name, c in packages.members().items() if not name.startswith(("configs/", "models/", "docs/"))}
    folder = written(tmp_path / "cpc3d", files | {"eval/latest.txt": b"mine", "eval/mine/model.pt": b"w"})
    (folder / "configs").mkdir()
    for name in ("metadata.json", "train.json", "inference.json", "logging.conf"):
        (folder / "configs" / name).symlink_to(f"../{name}")
    return folder


def test_a_fresh_folder(tmp_path: Path) -> None:
    files = packages.members()
    assert put(tmp_path, files).put == sorted(files)
    assert contents(tmp_path / "cpc3d") == files
    assert read_record(tmp_path / "cpc3d")["version"] == "0.1.0"
    assert is_current(tmp_path / "cpc3d", "one")
    assert not is_current(tmp_path / "cpc3d", "two")


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "cpc3d").mkdir()
    put(tmp_path, packages.members())
    assert contents(tmp_path / "cpc3d") == packages.members()


def test_a_clone_gets_its_weights_and_keeps_everything_else(tmp_path: Path, clone: Path) -> None:
    before = packages.tree(clone)
    plan = put(tmp_path, packages.members())
    assert plan.put == ["models/model.pt", "models/passport.json"]
    after = packages.tree(clone)
    assert {name: after[name] for name in before} == before, "links, runs and pages stay as they are"
    assert set(after) - set(before) == {"models", "models/model.pt", "models/passport.json", RECORD}
    assert put(tmp_path, packages.members()).put == []
    assert is_current(clone, "one")


def test_a_clone_of_another_version_is_left_alone(tmp_path: Path, clone: Path) -> None:
    before = packages.tree(clone)
    with pytest.raises(ValueError, match=r"metadata\.json, train\.json; nothing was changed.*--into"):
        put(tmp_path, packages.members("0.2.0", train_json='{"steps": 4}'))
    assert packages.tree(clone) == before


def test_links_as_git_writes_them_where_there_are_none(tmp_path: Path, clone: Path) -> None:
    for link in (clone / "configs").iterdir():
        link.unlink()
        link.write_text(f"../{link.name}")
    assert put(tmp_path, packages.members()).put == ["models/model.pt", "models/passport.json"]
    assert (clone / "configs/train.json").read_text() == "../train.json"


def test_an_update_replaces_what_was_fetched(tmp_path: Path) -> None:
    put(tmp_path, packages.members(evaluate_json="{}"))
    new = packages.members("0.2.0", train_json='{"steps": 4}', model=NEW_MODEL)
    written(tmp_path / "cpc3d", {"eval/a/model.pt": b"run", "my_train.json": b"mine"})
    plan = put(tmp_path, new, "two", "0.2.0")
    assert plan.removed == ["configs/evaluate.json", "evaluate.json"]
    assert contents(tmp_path / "cpc3d") == new | {"eval/a/model.pt": b"run", "my_train.json": b"mine"}
    assert is_current(tmp_path / "cpc3d", "two")


@pytest.mark.parametrize(
    "file", ["train.json", "configs/train.json", "logging.conf", "models/model.pt", "models/passport.json"]
)
def test_a_changed_config_or_changed_weights_stop_an_update(tmp_path: Path, file: str) -> None:
    put(tmp_path, packages.members())
    (tmp_path / "cpc3d" / file).write_bytes(b'{"mine": 1}')
    before = packages.tree(tmp_path)
    new = packages.members("0.2.0", train_json="{}", logging_conf="[new]", model=NEW_MODEL) | {
        "models/passport.json": b'{"bundle": "cpc3d", "steps": 4}'
    }
    with pytest.raises(ValueError, match=f"fetched before: {file}; nothing was changed"):
        put(tmp_path, new, "two")
    assert packages.tree(tmp_path) == before


def test_a_config_that_names_other_weights_alone_is_left_as_it_is(tmp_path: Path) -> None:
    theirs, ours = '{"weights": "own", "steps": 3}', b'{"steps": 3,\n "weights": "cpc3d@latest"}'
    folder = written(tmp_path / "cpc3d", packages.members(inference_json=theirs) | {"inference.json": ours})
    (folder / "configs/inference.json").unlink()
    (folder / "configs/inference.json").symlink_to("../inference.json")
    (folder / "models/model.pt").unlink()
    plan = put(tmp_path, packages.members(inference_json=theirs))
    assert plan.put == ["models/model.pt"]
    assert (folder / "inference.json").read_bytes() == ours
    (folder / "inference.json").write_bytes(b'{"steps": 4, "weights": "cpc3d@latest"}')
    with pytest.raises(ValueError, match=r"inference\.json; nothing was changed"):
        put(tmp_path, packages.members("0.2.0", inference_json=theirs), "two")


def test_changed_pages_stay(tmp_path: Path) -> None:
    put(tmp_path, packages.members() | {"docs/more.md": b"more"})
    folder = written(tmp_path / "cpc3d", {"README.md": b"mine", "docs/more.md": b"mine, too"})
    plan = put(tmp_path, packages.members("0.2.0") | {"README.md": b"new page"}, "two")
    assert plan.kept == ["README.md", "docs/more.md"]
    assert (folder / "README.md").read_bytes() == b"mine"
    assert (folder / "docs/more.md").read_bytes() == b"mine, too"
    assert put(tmp_path, packages.members("0.2.0") | {"README.md": b"newest page"}, "three").kept == ["README.md"]


def test_what_was_lost_comes_back(tmp_path: Path) -> None:
    put(tmp_path, packages.members())
    (tmp_path / "cpc3d/models/model.pt").unlink()
    assert not is_current(tmp_path / "cpc3d", "one")
    assert put(tmp_path, packages.members()).put == ["models/model.pt"]


def test_a_copy_of_a_bundle_is_not_the_bundle(tmp_path: Path) -> None:
    put(tmp_path, packages.members())
    shutil.copytree(tmp_path / "cpc3d", tmp_path / "mine")
    assert not is_current(tmp_path / "mine", "one")


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "foreign", "linked models", "models file"])
def test_something_else_in_the_way(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "cpc3d"
    if kind == "file":
        target.write_text("x")
    elif kind in ("link", "dangling"):
        target.symlink_to(tmp_path / "elsewhere")
        if kind == "link":
            written(tmp_path / "elsewhere", packages.members())
    else:
        written(target, {"thesis.txt": b"x"} if kind == "foreign" else {"train.json": b"{}"})
    if kind == "linked models":
        (tmp_path / "disk").mkdir()
        (target / "models").symlink_to(tmp_path / "disk")
    elif kind == "models file":
        (target / "models").write_text("x")
    before = packages.tree(tmp_path)
    with pytest.raises(ValueError, match=r"must be a (bundle's folder or absent|folder); found .*--into"):
        put(tmp_path, packages.members())
    assert packages.tree(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"a": 3}}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    put(tmp_path, packages.members())
    (tmp_path / "cpc3d" / RECORD).write_text(text)
    assert read_record(tmp_path / "cpc3d") == {}
    assert not is_current(tmp_path / "cpc3d", "one")
    with pytest.raises(ValueError, match="nothing was changed"):
        put(tmp_path, packages.members("0.2.0"))


@pytest.mark.parametrize("act", ["replace", "unlink", "open", "mkdir"])
@pytest.mark.parametrize("failing", range(0, 12, 2))
def test_a_failed_update_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, failing: int
) -> None:
    put(tmp_path, packages.members(evaluate_json="{}"))
    new = packages.members("0.2.0", train_json='{"steps": 4}', model=NEW_MODEL) | {"docs/a/b/page.md": b"deep"}
    aside = written(tmp_path / ".fetch/unpack-1/cpc3d", new)
    before, calls, true = packages.tree(tmp_path / "cpc3d"), [], getattr(Path, act)

    def fails(path: Path, *args: object, **kwargs: object) -> object:
        if "cpc3d" in path.parts and ".fetch" not in path.parts and RECORD not in path.name:
            calls.append(path)
            if len(calls) == failing + 1 and not (act == "open" and path.suffix != ".part"):
                raise OSError(28, "the disk is full")
        return true(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, act, fails)
        failed = False
        try:
            place(aside, tmp_path / "cpc3d", "two", "0.2.0")
        except OSError:
            failed = True
    if failed:
        assert packages.tree(tmp_path / "cpc3d") == before
    else:
        assert is_current(tmp_path / "cpc3d", "two")
    put(tmp_path, new, "two", "0.2.0")
    assert contents(tmp_path / "cpc3d") == new


def test_new_pages_in_new_folders(tmp_path: Path) -> None:
    put(tmp_path, packages.members())
    new = packages.members("0.2.0", train_json='{"steps": 4}', model=NEW_MODEL) | {"docs/a/b/page.md": b"deep"}
    put(tmp_path, new, "two", "0.2.0")
    assert contents(tmp_path / "cpc3d") == new


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 6, 7, 10, 100])
def test_stopped_anywhere_every_file_is_old_or_new_and_the_next_fetch_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    old = packages.members(evaluate_json="{}")
    new = packages.members("0.2.0", train_json='{"steps": 4}', model=NEW_MODEL)
    put(tmp_path, old)
    moves = {"left": stop}
    replace, unlink = Path.replace, Path.unlink

    def step(real):
        def act(path: Path, *args: object, **kwargs: object) -> object:
            if RECORD not in path.name:
                moves["left"] -= 1
                if moves["left"] < 0:
                    raise KeyboardInterrupt
            return real(path, *args, **kwargs)

        return act

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", step(replace))
        patched.setattr(Path, "unlink", step(unlink))
        with pytest.raises(KeyboardInterrupt) if stop < 100 else contextlib.nullcontext():
            put(tmp_path, new, "two", "0.2.0")
    now = {name: body for name, body in contents(tmp_path / "cpc3d").items() if Path(name).name[0] != "."}
    assert all(content in (old.get(name), new.get(name)) for name, content in now.items())
    # A newer package still: what is half of this one and half of the one before is all known to be fetched.
    last = packages.members("0.3.0", train_json='{"steps": 5}', model=LAST_MODEL) if stop % 2 else new
    put(tmp_path, last, "three", "0.3.0")
    assert contents(tmp_path / "cpc3d") == last
    assert is_current(tmp_path / "cpc3d", "three")
