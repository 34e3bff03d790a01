"""A packed bundle is fetched over a server on this machine: whole and checked, or nothing of it is left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import packages
import pytest
import server as server_of
import torch
from filelock import FileLock
from monai.bundle import ConfigWorkflow, download, load

from medvol.__main__ import main
from medvol.bundles.fetching.addresses import Patience
from medvol.bundles.fetching.download import part_file
from medvol.bundles.fetching.fetch import fetch
from medvol.bundles.fetching.placing import RECORD
from medvol.bundles.fetching.unpacking import Limits
from medvol.bundles.packages.pack import pack
from medvol.networks import find_weights, read_weights, weights_hash

ROOT = Path(__file__).parents[3]
QUICK = Patience(tries=3, pause=0.0, connect=5, read=5)


LARGE = packages.weights(1.0, 50_000)
FILES = packages.members(model=LARGE)
ZIP = packages.zipped(FILES)
SHA256 = packages.sha256(ZIP)
NEW = packages.members("0.2.0", train_json='{"steps": 4}', model=packages.weights(2.0, 50_000))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MEDVOL_INDEX", raising=False)


@pytest.fixture
def server() -> Iterator:
    server = server_of.Server()
    yield server
    server.stop()


def serve(server, content: bytes = ZIP, name: str = "cpc3d-0.1.0.zip", **how: object) -> str:
    server.put(f"{name}.sha256", f"{packages.sha256(content)}  {name}\n")
    return server.put(name, content, **how)


def left(folder: str = "bundles") -> dict[str, str]:
    return packages.tree(Path(folder))


def holds(folder: Path, files: dict[str, bytes]) -> bool:
    found = {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    return {name: c for name, c in found.items() if name != RECORD} == files


def test_into_a_fresh_folder(server) -> None:
    said: list[str] = []
    folder = fetch(serve(server), patience=QUICK, say=said.append)
    assert folder == Path("bundles/cpc3d")
    assert holds(folder, FILES)
    assert {name.split("/")[0] for name in left()} == {"cpc3d"}, "the download and the folder aside are gone"
    assert find_weights("cpc3d") == folder / "models/model.pt"
    assert set(read_weights(folder / "models/model.pt")) == {"w", "noise"}
    assert said == ["bundles/cpc3d is now version 0.1.0: 13 files put in place"]


def test_again_is_nothing_to_do_and_loads_nothing(server) -> None:
    address, said = serve(server), []
    fetch(address, patience=QUICK)
    before = left()
    assert fetch(address, patience=QUICK, say=said.append) == Path("bundles/cpc3d")
    assert "nothing to do" in said[0]
    assert left() == before
    assert len(server.ranges("cpc3d-0.1.0.zip")) == 1


def test_by_name_from_an_index(server) -> None:
    serve(server)
    entry = {"version": "0.1.0", "file": "cpc3d-0.1.0.zip", "sha256": SHA256, "size": len(ZIP)}
    index = server.put("index.json", json.dumps({"bundles": {"cpc3d": entry, "rpl3d": entry}}))
    assert holds(fetch("cpc3d", index=index, patience=QUICK), FILES)
    with pytest.raises(ValueError, match=r"the bundle that the index names, rpl3d; found cpc3d"):
        fetch("rpl3d", into="other", index=index, patience=QUICK)
    entry["version"] = "0.3.0"
    index = server.put("index.json", json.dumps({"bundles": {"cpc3d": entry}}))
    with pytest.raises(ValueError, match=r"the version that the index names, 0\.3\.0; found 0\.1\.0"):
        fetch("cpc3d", into="other", index=index, patience=QUICK)
    assert left("other") == {}


def test_from_a_file_and_from_a_file_address(tmp_path: Path) -> None:
    file = tmp_path / "p.zip"
    file.write_bytes(ZIP)
    assert holds(fetch(file, "one", sha256=SHA256), FILES)
    assert holds(fetch(file.as_uri(), "two", sha256=SHA256.upper()), FILES)
    assert file.is_file()
    with pytest.raises(ValueError, match=f"{'ab' * 32}; found {SHA256}"):
        fetch(file, "three", sha256="ab" * 32)
    assert left("three") == {}
    (tmp_path / "index.json").write_text(
        json.dumps({"bundles": {"cpc3d": {"version": "0.1.0", "file": "lost.zip", "sha256": SHA256}}})
    )
    with pytest.raises(FileNotFoundError, match=r"lost\.zip; found none; correct the index"):
        fetch("cpc3d", "three", index=tmp_path)


def test_an_existing_folder_keeps_what_is_not_the_packages(server) -> None:
    folder = fetch(serve(server), patience=QUICK)
    (folder / "eval/mine").mkdir(parents=True)
    (folder / "eval/mine/model.pt").write_bytes(b"run")
    fetch(serve(server, packages.zipped(NEW), "cpc3d-0.2.0.zip"), patience=QUICK)
    assert holds(folder, NEW | {"eval/mine/model.pt": b"run"})


def test_a_changed_config_is_not_overwritten_and_the_download_is_kept(server) -> None:
    folder = fetch(serve(server), patience=QUICK)
    (folder / "train.json").write_text('{"steps": 99}')
    before = left()
    address = serve(server, packages.zipped(NEW), "cpc3d-0.2.0.zip")
    with pytest.raises(ValueError, match=r"fetched before: train\.json; nothing was changed"):
        fetch(address, patience=QUICK)
    kept = {name: kind for name, kind in left().items() if not name.startswith(".fetch/")}
    assert kept == before
    assert not list(Path("bundles/.fetch").glob("unpack-*"))
    (folder / "train.json").unlink()
    fetch(address, patience=QUICK)
    assert holds(folder, NEW)
    assert len(server.ranges("cpc3d-0.2.0.zip")) == 1


def test_a_stale_zip_is_not_trusted(server) -> None:
    address = serve(server)
    folder = Path("bundles/.fetch")
    folder.mkdir(parents=True)
    part_file(folder, address, SHA256).write_bytes(packages.zipped(NEW))
    assert holds(fetch(address, patience=QUICK), FILES)


def test_a_wrong_hash_leaves_nothing(server) -> None:
    content = packages.zipped(NEW)
    address = serve(server, content)
    with pytest.raises(ValueError, match=SHA256) as refused:
        fetch(address, sha256=SHA256, patience=QUICK)
    assert packages.sha256(content) in str(refused.value)
    assert left() == {}


def test_nothing_at_the_address_leaves_nothing(server) -> None:
    with pytest.raises(FileNotFoundError, match=r"found none \(404\)"):
        fetch(f"{server.address}/no.zip", sha256=SHA256, patience=QUICK)
    assert left() == {}


def test_no_checksum_leaves_nothing(server) -> None:
    with pytest.raises(ValueError, match="--sha256"):
        fetch(server.put("a.zip", ZIP), patience=QUICK)
    assert not Path("bundles").exists()
    assert server.ranges("a.zip") == [], "what cannot be checked is not even asked for"


def test_interrupted_and_resumed(server) -> None:
    address = serve(server, cut=[100_000, 0, 0])
    with pytest.raises(OSError, match="bytes are kept"):
        fetch(address, patience=QUICK)
    assert {Path(name).suffix for name in left()} == {".part", ".state"}
    assert not Path("bundles/cpc3d").exists()
    fetch(address, patience=QUICK)
    assert holds(Path("bundles/cpc3d"), FILES)
    assert server.ranges("cpc3d-0.1.0.zip")[-1] == "bytes=100000-"
    assert {name.split("/")[0] for name in left()} == {"cpc3d"}


def test_the_server_stays_away(server) -> None:
    address = serve(server, status=[500] * 3)
    with pytest.raises(OSError, match="the answer 500 in 3 tries"):
        fetch(address, patience=QUICK)
    assert left() == {}
    assert holds(fetch(address, patience=QUICK), FILES)


@pytest.mark.parametrize(
    "content",
    [
        ZIP[: len(ZIP) // 2],
        ZIP.replace(b"cpc3d/LICENSE", b"../../LICENSE"),
        packages.zipped(FILES | {"../../evil": b"x"}),
        packages.zipped({**FILES, "models/model.pt": LARGE[:1000]}),
        packages.zipped({**FILES, "train.json": b'{"steps": 5}'}),
        packages.zipped({"train.json": b"{}"}),
        b"no zip",
    ],
    ids=["truncated", "names", "traversal", "weights", "configs", "incomplete", "no zip"],
)
def test_a_bad_package_leaves_nothing(server, content: bytes) -> None:
    for name in ("cpc3d/train.json", "cpc3d/models/model.pt"):  # a bundle that stands there already
        (Path("bundles") / name).parent.mkdir(parents=True)
        (Path("bundles") / name).write_text("{}")
    before = left()
    with pytest.raises(ValueError, match="must"):
        fetch(serve(server, content, "bad.zip"), patience=QUICK)
    assert left() == before
    assert not Path("evil").exists()


def test_a_corrupted_entry_leaves_nothing(server) -> None:
    content = bytearray(packages.zipped(FILES, compress=0))
    content[content.index(b"Apache")] ^= 1
    with pytest.raises(ValueError, match="must be a whole zip; found Bad CRC-32"):
        fetch(serve(server, bytes(content)), patience=QUICK)
    assert left() == {}


def test_more_than_the_limits_leaves_nothing(server) -> None:
    with pytest.raises(ValueError, match="at most 5 entries"):
        fetch(serve(server), patience=QUICK, limits=Limits(files=5))
    with pytest.raises(ValueError, match="at most 300 bytes; found"):
        fetch(serve(server), patience=QUICK, limits=Limits(size=300))
    assert left() == {}


def test_a_target_that_takes_no_files(server, tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("a file in the folder's place")
    with pytest.raises(OSError, match=r"must be a folder that takes files; found .*--into"):
        fetch(serve(server), patience=QUICK)
    assert server.ranges("cpc3d-0.1.0.zip") == []
    assert set(packages.tree(tmp_path)) == {"bundles"}


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="there is no folder here that refuses even the superuser")
def test_a_folder_that_the_system_locks(server) -> None:
    with pytest.raises(OSError, match="must be a folder that takes files"):
        fetch(serve(server), "/sys/kernel/bundles", patience=QUICK)
    assert server.ranges("cpc3d-0.1.0.zip") == []


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [
        ("download", errno.ENOSPC, "found it full"),
        ("unpack", errno.ENOSPC, "what was downloaded is kept"),
        ("place", errno.EROFS, "takes files"),
    ],
)
def test_a_full_or_locked_disk(server, monkeypatch: pytest.MonkeyPatch, where: str, code: int, says: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    address = serve(server)
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["medvol.bundles.fetching.fetch"], where, fail)
        with pytest.raises(OSError, match=says):
            fetch(address, patience=QUICK)
    assert not Path("bundles/cpc3d").exists()
    assert not list(Path("bundles/.fetch").glob("unpack-*"))
    assert holds(fetch(address, patience=QUICK), FILES)
    assert len(server.ranges("cpc3d-0.1.0.zip")) == 1, "what was downloaded is used"


def test_what_a_killed_fetch_left_is_cleaned_up(server) -> None:
    workshop = Path("bundles/.fetch")
    (workshop / "unpack-x/cpc3d").mkdir(parents=True)
    (workshop / "unpack-x/cpc3d/train.json").write_text("{")
    for name, age in (("old", 15), ("young", 1)):
        (workshop / f"{name}.part").write_bytes(b"x")
        os.utime(workshop / f"{name}.part", times=(0, 0) if age > 14 else None)
    fetch(serve(server), patience=QUICK)
    assert sorted(path.name for path in workshop.iterdir()) == [".gitignore", "lock", "young.part"]


def test_two_at_once_wait_for_each_other(server) -> None:
    address, said, done = serve(server), [], []
    Path("bundles/.fetch").mkdir(parents=True)
    with FileLock("bundles/.fetch/lock"):
        second = threading.Thread(target=lambda: done.append(fetch(address, patience=QUICK, say=waits)))
        told = threading.Event()

        def waits(line: str) -> None:
            said.append(line)
            told.set()

        second.start()
        assert told.wait(10)
        assert done == []
        assert not Path("bundles/cpc3d").exists()
    second.join(10)
    assert said[0] == "waiting for another fetch into bundles"
    assert holds(done[0], FILES)


def test_the_command(server, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fetch", serve(server), "--into", "here"]) == 0
    assert "version 0.1.0" in capsys.readouterr().out
    assert holds(Path("here/cpc3d"), FILES)
    assert main(["fetch", "cpc3d"]) == 2
    assert "medvol: the name 'cpc3d' must be looked up in an index" in capsys.readouterr().err


def test_the_zips_of_a_folder_served_by_python_itself(server, tmp_path: Path) -> None:
    """``python -m http.server`` knows no ranges and no ETag; a download that broke off begins again."""
    address = serve(server, cut=[100_000], ranges=False, etag=None)
    assert holds(fetch(address, patience=QUICK), FILES)


def test_a_copied_bundle_does_not_pass_for_the_fetched_one(server) -> None:
    address = serve(server)
    folder = fetch(address, patience=QUICK)
    shutil.move(folder, "bundles/mine")
    assert fetch(address, patience=QUICK) == Path("bundles/cpc3d")


@pytest.fixture(scope="session")
def packed(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of the real bundle with the weights of its two-step run."""
    return pack("cpc3d", tmp_path_factory.mktemp("packed"), run=trained["cpc3d"], release=False).file


def test_what_pack_writes_is_fetched_found_loaded_and_run(
    server, packed: Path, trained: dict[str, Path], overrides: Callable[..., dict]
) -> None:
    for file in (packed, packed.with_name(f"{packed.name}.sha256"), packed.with_name("index.json")):
        server.put(f"pub/{file.name}", file.read_bytes())
    folder = fetch("cpc3d", index=f"{server.address}/pub/", patience=QUICK)
    assert folder.absolute() == Path.cwd() / "bundles/cpc3d"
    assert find_weights("cpc3d") == folder / "models/model.pt"
    assert weights_hash(folder / "models/model.pt") == weights_hash(trained["cpc3d"] / "model.pt")
    network = load("cpc3d", bundle_dir="bundles", workflow_type="train", source="github")
    released = read_weights(folder / "models/model.pt")
    assert all(torch.equal(tensor, released[name]) for name, tensor in network.state_dict().items())
    given = {**overrides("cpc3d"), "filters": [8, 8, 8]}
    workflow = ConfigWorkflow("bundles/cpc3d/train.json", workflow_type="train", **given)
    workflow.initialize()
    assert Path(workflow.bundle_root) == folder.absolute()
    workflow.finalize()


def test_what_pack_writes_fits_into_a_clone(packed: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone/bundles/cpc3d"
    shutil.copytree(ROOT / "bundles/cpc3d", clone, symlinks=True, ignore=shutil.ignore_patterns("eval", "models"))
    before = packages.tree(clone)
    with pytest.raises(ValueError, match=r"train\.json; nothing was changed"):  # the zip has the sizes of a small run
        fetch(packed, clone.parent)
    assert packages.tree(clone) == before
    with ZipFile(packed) as archive:
        for name in ("train.json", "inference.json", "metadata.json", "logging.conf"):
            (clone / name).write_bytes(archive.read(f"cpc3d/{name}"))
    before = packages.tree(clone)
    fetch(packed, clone.parent)
    after = packages.tree(clone)
    assert set(after) - set(before) == {"models", "models/model.pt", "models/passport.json", RECORD}
    assert {name: after[name] for name in before} == before, "links stay links, and pages stay"


@pytest.mark.filterwarnings("ignore:No hash value provided")  # MONAI's own word on what it does not check
def test_monai_downloads_a_package_into_a_fresh_folder_only(server, packed: Path) -> None:
    address = server.put(packed.name, packed.read_bytes())
    download("cpc3d", url=address, bundle_dir="down", progress=False)
    assert (Path("down/cpc3d/models/model.pt")).is_file()
    Path("clone/cpc3d").mkdir(parents=True)
    Path("clone/cpc3d/train.json").write_text("{}")
    download("cpc3d", url=address, bundle_dir="clone", progress=False)
    assert not Path("clone/cpc3d/models").exists(), "docs/fetch.md says so; if MONAI unpacks there now, correct it"
