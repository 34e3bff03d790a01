from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.bundles.showing import listing
from medvol.bundles.showing.listing import bundle_folders, list_bundles, listing_text
from medvol.networks import find_bundle

META = {"version": "0.2.0", "task": "a task"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with no bundles but those that a test makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listing, "_installed", lambda: tmp_path / "none")
    (tmp_path / "bundles").mkdir()
    return tmp_path / "bundles"


def make(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"train": {}, "inference": {}, "metadata": META, **files}.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def run(folder: Path, name: str, finished: bool = True, **record: object) -> Path:
    path = folder / "eval" / name
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"data": {"name": "tiny"}}))
    if finished:
        (path / "model.pt").touch()
        (path / "passport.json").write_text(json.dumps({"data": {"name": "tiny"}, **record}))
    return path


def test_the_bundles_of_the_project() -> None:
    found = {entry.name: entry for entry in list_bundles()}
    assert {"cpc3d", "unet_brats", "unet_hippocampus"} <= set(found)
    assert found["cpc3d"].version == "0.1.0"
    assert not any(entry.problems for entry in found.values())


def test_the_folders_are_those_that_a_name_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "bundles" / "mine")
    make(tmp_path / "bundles" / "cpc3d")
    found = bundle_folders()
    assert found["cpc3d"] == tmp_path / "bundles" / "cpc3d"
    for name, folder in found.items():
        assert find_bundle(name).resolve() == folder.resolve()
    places = {entry.name: entry.place for entry in list_bundles()}
    assert (places["cpc3d"], places["mine"], places["unet_brats"]) == ("here", "here", "installed")
    assert "Came with medvol, in " in listing_text(list_bundles(), 100)


@pytest.fixture
def finished(trained: dict[str, Path]) -> Path:
    """A run, trained while the current folder is still that of the tests."""
    return trained["cpc3d"]


def test_a_trained_bundle(finished: Path, here: Path) -> None:
    bundle = make(here / "cpc3d")
    (bundle / "eval").mkdir()
    (bundle / "eval" / "r").symlink_to(finished)
    (bundle / "models").mkdir()
    for file in ("model.pt", "passport.json"):
        shutil.copy(finished / file, bundle / "models")
    (entry,) = list_bundles()
    assert entry.problems == ()
    assert (entry.runs[0].state, entry.runs[0].steps, entry.runs[0].data) == ("finished", 2, "tiny")
    assert "accuracy" in entry.runs[0].metrics
    assert entry.weights.size == (bundle / "models" / "model.pt").stat().st_size
    assert (entry.weights.data, entry.weights.synthetic, entry.weights.steps) == ("tiny", True, 2)
    assert json.loads(json.dumps(entry.as_dict())) == entry.as_dict()
    assert "tiny (synthetic)" in listing_text([entry], 100)


def test_runs_have_a_state_and_an_order(here: Path) -> None:
    bundle = make(here / "a")
    for age, name in enumerate(("new", "latest", "old")):
        folder = run(bundle, name, steps=300, metrics={"dice": 0.51234})
        os.utime(folder, (1e9 - age, 1e9 - age))
    cut = run(bundle, "cut", finished=False)
    (cut / "log.csv").write_text("step,examples,name,value\n1,2,loss,0.1\n42,84,loss,0.1\n")
    os.utime(cut, (1, 1))
    (bundle / "eval" / "mlruns").mkdir()
    (bundle / "eval" / "latest.txt").write_text("latest\n")
    (entry,) = list_bundles()
    assert [r.name for r in entry.runs] == ["latest", "new", "old", "cut"]
    assert [(r.state, r.latest, r.steps) for r in entry.runs][::3] == [
        ("finished", True, 300),
        ("unfinished", False, 42),
    ]
    text = listing_text([entry], 100)
    assert "4 (1 unfinished)" in text
    assert "a@latest  finished, latest  300    tiny  dice 0.512" in text


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metadata", '{"version": }', "metadata.json must be JSON; found Expecting value: line 1"),
        ("metadata", "[]", "must be a JSON object; found list"),
        ("metadata", {"task": "x"}, "must have a text under 'version'; found None"),
        ("metadata", {"task": ["x"], "version": "1"}, "must have a text under 'task'"),
        ("train", "{", "train.json must be JSON"),
        ("inference", "\udcff", "inference.json must be JSON"),
    ],
)
def test_a_broken_bundle_is_listed_with_what_is_wrong(file: str, content: object, said: str, here: Path) -> None:
    make(here / "sound")
    folder = make(here / "broken")
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{file}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    broken, sound = list_bundles()
    assert said in " ".join(broken.problems)
    assert sound.problems == ()
    assert "broken: broken/" in listing_text([broken], 100) or "metadata.json must have" in listing_text([broken], 100)


def test_missing_files_dangling_links_and_odd_runs(here: Path) -> None:
    folder = make(here / "b")
    (folder / "metadata.json").unlink()
    (folder / "train.json").unlink()
    (folder / "train.json").symlink_to("nowhere")
    run(folder, "torn")
    (folder / "eval" / "torn" / "passport.json").write_text("{")
    (folder / "eval" / "gone").symlink_to("nowhere")
    (here / "gone").symlink_to("nowhere")
    (folder / "eval" / "latest.txt").write_bytes(b"\xff\xfe")
    entry, gone = list_bundles()
    assert "found a link to nowhere" in gone.problems[0]
    assert [p.split(" ")[0] for p in entry.problems] == ["b/metadata.json", "b/train.json", "torn/passport.json"]
    assert entry.version is entry.task is None
    assert listing_text([entry], 100).count("?") >= 3


def test_what_is_no_bundle_is_not_listed(here: Path) -> None:
    (here / "README.md").touch()
    (here / "__pycache__").mkdir()
    (here / "empty").mkdir()
    make(here / ".hidden")
    assert list_bundles() == []
    assert "No bundle is here" in listing_text([], 100)


def test_folders_that_may_not_be_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(here / "a")
    (folder / "eval").touch()
    (entry,) = list_bundles()
    assert "eval/ must be a folder" in entry.problems[0]
    denied = PermissionError(13, "Permission denied")

    list_folder = Path.iterdir

    def refuse(self: Path, *rest: object, **more: object) -> object:
        if "a" in self.parts[-3:]:
            raise denied
        return list_folder(self)

    for name in ("iterdir", "read_text"):
        monkeypatch.setattr(Path, name, refuse)
    (entry,) = list_bundles()
    assert "must be a readable file; found Permission denied" in entry.problems[0]


def test_hundreds_of_runs_are_counted_and_the_newest_shown(here: Path) -> None:
    folder = make(here / "a")
    for index in range(200):
        run(folder, f"{index:03}", steps=1)
    (entry,) = list_bundles()
    text = listing_text([entry], 100)
    assert len(entry.runs) == 200
    assert "a: 195 more" in text
    assert len(text.split("\n")) < 14


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_table_fits(width: int, here: Path) -> None:
    for name in ("a", "b_with_a_rather_long_name"):
        run(
            make(here / name, metadata={**META, "task": "word " * 50}),
            "r" * 8,
            metrics={f"m{i}": 0.1 for i in range(9)},
        )
    lines = listing_text(list_bundles(), width).split("\n")
    assert max(map(len, lines)) <= (width if width > 60 else width + 45)  # names stay whole


def test_the_command(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["list", "--json", str(tmp_path / "a.json")]) == 0
    assert "cpc3d" in capsys.readouterr().out
    assert {"name", "version", "runs", "weights"} <= set(json.loads((tmp_path / "a.json").read_text())[0])
