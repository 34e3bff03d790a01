from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigWorkflow

from medvol.bundles.packages import archive
from medvol.bundles.packages.archive import read_index
from medvol.bundles.packages.pack import Packed, pack
from medvol.networks import Encoder, read_weights
from medvol.passport import read_passport

ROOT = Path(__file__).parents[3] / "bundles"


@pytest.fixture
def bundle(tmp_path: Path, trained: dict[str, Path]) -> Path:
    """A copy of cpc3d with one finished run, ``mine``."""
    ignored = shutil.ignore_patterns("eval", "models")
    folder = Path(shutil.copytree(ROOT / "cpc3d", tmp_path / "cpc3d", symlinks=True, ignore=ignored))
    runs = folder / "eval"
    shutil.copytree(trained["cpc3d"], runs / "mine")
    (runs / "latest.txt").write_text("mine\n")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def unpacked(packed: Packed, folder: Path) -> Path:
    with zipfile.ZipFile(packed.file) as file:
        file.extractall(folder)
    return folder / "cpc3d"


def test_what_is_written(bundle: Path, tmp_path: Path) -> None:
    packed = pack(bundle, tmp_path / "out", run="mine")
    content = packed.file.read_bytes()
    assert packed.file.name == "cpc3d-0.1.0.zip"
    assert (packed.sha256, packed.size) == (hashlib.sha256(content).hexdigest(), len(content))
    names = set(tree(tmp_path / "out")) - {".index.lock"}
    assert sorted(names) == [
        "cpc3d-0.1.0.zip",
        "cpc3d-0.1.0.zip.sha256",
        "index.json",
    ]
    assert (tmp_path / "out" / "cpc3d-0.1.0.zip.sha256").read_text() == f"{packed.sha256}  cpc3d-0.1.0.zip\n"
    entry = {"version": "0.1.0", "file": "cpc3d-0.1.0.zip", "sha256": packed.sha256, "size": packed.size}
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == {"bundles": {"cpc3d": entry}}
    assert "filters=[8, 8, 8], spacing=[1.0, 1.0, 1.0]" in packed.notes[0]
    assert any("licence of the data 'tiny' is not stated" in note for note in packed.notes)
    folder = unpacked(packed, tmp_path / "dl")
    assert (folder / "models" / "model.pt").read_bytes() == (bundle / "eval" / "mine" / "model.pt").read_bytes()
    assert not [path for path in folder.rglob("*") if path.is_symlink() or path.name.startswith((".", "last", "eval"))]


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("inference.json", '"nonzero": true', '"nonzero": false', "another preparation of images in inference.json"),
        ("train.json", '"dataset_dir": null', '"dataset_dir": "/data/hans"', "the place '/data/hans' at 'dataset_dir'"),
        ("eval/mine/passport.json", '"where": null', '"where": "patient > 3"', "over patients"),
        ("eval/mine/run.json", '"hash": "', '"hash": "0', "in the folder of run 0"),
    ],
)
def test_what_does_not_fit_or_is_private_stays_here(
    bundle: Path, tmp_path: Path, file: str, old: str, new: str, found: str
) -> None:
    text = (bundle / file).read_text(encoding="utf-8")
    assert old in text
    (bundle / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(found)):
        pack(bundle, tmp_path / "out", run="mine")
    assert not (tmp_path / "out").exists()


def test_packing_twice_gives_the_same_bytes(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack(bundle, tmp_path / "one", run="mine", release=False)
    twin = Path(shutil.copytree(bundle, tmp_path / "elsewhere" / "cpc3d"))
    for file in twin.rglob("*"):
        os.utime(file, (86_400, 86_400))
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    monkeypatch.chdir(tmp_path / "elsewhere")
    old = os.umask(0o077)
    try:
        two = pack("../elsewhere/cpc3d", "two", run="latest", release=True)
        three = pack(twin, "three", release=True)
    finally:
        os.umask(old)
    assert one.file.read_bytes() == two.file.read_bytes() == three.file.read_bytes()


def test_only_a_release_changes_the_bundle(bundle: Path, tmp_path: Path) -> None:
    before = tree(bundle)
    pack(bundle, tmp_path / "out", run="mine", weights_url="https://example.org/m.pt", release=False)
    assert tree(bundle) == before
    pack(bundle, tmp_path / "out", run="mine", weights_url="https://example.org/m.pt")
    after = tree(bundle)
    assert {name for name in after if after[name] != before.get(name)} == {
        "models/model.pt", "models/passport.json", "large_files.yml"
    }  # fmt: skip
    assert before.items() <= after.items()
    assert after["models/model.pt"] == before["eval/mine/model.pt"]


@pytest.mark.filterwarnings("ignore:No hash value provided")  # MONAI checks none; fetch does
@pytest.mark.parametrize("workflow", ["train", "inference"])
def test_monai_downloads_and_loads_it(bundle: Path, tmp_path: Path, workflow: str) -> None:
    packed = pack(bundle, tmp_path / "out", run=bundle / "eval" / "mine", release=False)
    there = tmp_path / "dl"
    monai.bundle.download(name="cpc3d", url=packed.file.as_uri(), bundle_dir=there, progress=False)
    network = monai.bundle.load("cpc3d", bundle_dir=there, workflow_type=workflow, device="cpu")
    state = read_weights(bundle / "eval" / "mine" / "model.pt")
    assert isinstance(network, Encoder)
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_the_unpacked_inference_runs_with_its_own_weights(bundle: Path, tmp_path: Path, dataset: Path) -> None:
    folder = unpacked(pack(bundle, tmp_path / "out", run="mine", release=False), tmp_path / "dl")
    workflow = ConfigWorkflow(
        config_file=str(folder / "inference.json"), workflow_type="infer", manifest=str(dataset), device="cpu"
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    assert (folder / "models" / "embeddings" / "embeddings.npz").is_file()


def test_monai_fetches_the_weights_alone(bundle: Path, tmp_path: Path) -> None:
    url = (bundle / "eval" / "mine" / "model.pt").as_uri()
    folder = unpacked(pack(bundle, tmp_path / "out", run="mine", weights_url=url, release=False), tmp_path / "dl")
    weights = folder / "models" / "model.pt"
    content = weights.read_bytes()
    weights.unlink()
    monai.bundle.download_large_files(str(folder))
    assert weights.read_bytes() == content


def test_the_metadata_in_the_zip_fit_the_network(bundle: Path, tmp_path: Path) -> None:
    folder = unpacked(pack(bundle, tmp_path / "out", run="mine", release=False), tmp_path / "dl")
    monai.bundle.verify_net_in_out(
        net_id="network_def", config_file=str(folder / "inference.json"), meta_file=str(folder / "metadata.json"),
        device="cpu", n=4,
    )  # fmt: skip


def _drop(state: dict, record: dict) -> None:
    state.pop(next(iter(state)))


def _rename(state: dict, record: dict) -> None:
    state["other.weight"] = state.pop(next(iter(state)))


def _reshape(state: dict, record: dict) -> None:
    first = next(iter(state))
    state[first] = state[first][:1]


def _foreign(state: dict, record: dict) -> None:
    record["bundle"] = "unet_brats"


def _incomplete(state: dict, record: dict) -> None:
    record.pop("preprocessing")
    record["data"].pop("sections")


def _placed(state: dict, record: dict) -> None:
    record["recipe"]["train"]["dataset"]["cache_dir"] = "/somebody/cache"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"must hold exactly the tensors .*found: input_block\.\S+ is missing"),
        (_rename, r"input_block\.\S+ is missing; other\.weight is unknown to the network"),
        (_reshape, r"input_block\.\S+ has the shape \(1, 4, 3, 3, 3\), the network \(8, 4, 3, 3, 3\)"),
        (_foreign, r"weights of the bundle cpc3d are expected; found those of unet_brats"),
        (_incomplete, r"preprocessing must be a list; found none; data\.sections must be a dict; found none; train"),
        (_placed, r"recipe\.train\.dataset\.cache_dir must not name a place .*found '/somebody/cache'"),
    ],
)
def test_weights_that_are_not_the_bundles_are_refused(
    change: Callable[[dict, dict], None], message: str, bundle: Path, tmp_path: Path
) -> None:
    run = bundle / "eval" / "mine"
    state, record = read_weights(run / "model.pt"), read_passport(run)
    change(state, record)
    torch.save(state, run / "model.pt")
    (run / "passport.json").write_text(json.dumps(record))
    before = tree(bundle)
    with pytest.raises(ValueError, match=message):
        pack(bundle, tmp_path / "out", run="mine")
    assert tree(bundle) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (None, r"released weights must hold model\.pt; found none in .*models; name a run with --run"),
        ("yours", r"run's name or folder is expected; found no yours; runs of cpc3d: mine"),
        ("half", r"finished run half must hold model\.pt; found none in .*; let its training end"),
        ("latest", r"a finished run is expected in .*eval; found none; train first"),
    ],
)
def test_what_is_no_finished_run_is_refused(run: str | None, message: str, bundle: Path, tmp_path: Path) -> None:
    (bundle / "eval" / "half").mkdir()
    (bundle / "eval" / "half" / "last.pt").touch()
    (bundle / "eval" / "latest.txt").unlink()
    with pytest.raises(FileNotFoundError, match=message):
        pack(bundle, tmp_path / "out", run=run)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", None, "the key 'task' in metadata.json is expected; found none; add 'task'"),
        ("changelog", {"0.0.1": "first"}, r"version 0\.1\.0 in the changelog .*found only 0\.0\.1"),
        ("version", "../../evil", r"version .*(changelog|must be like)"),
    ],
)
def test_invalid_metadata_are_refused(key: str, value: object, message: str, bundle: Path, tmp_path: Path) -> None:
    metadata = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
    metadata |= {key: value}
    if value is None:
        metadata.pop(key)
    (bundle / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=message):
        pack(bundle, tmp_path / "out", run="mine")
    metadata["changelog"] = {str(metadata["version"]): "all"}
    (bundle / "metadata.json").write_text(json.dumps(metadata))
    if key == "version":
        with pytest.raises(ValueError, match=r"must be like 0\.1\.0.*; found '\.\./\.\./evil'"):
            pack(bundle, tmp_path / "out", run="mine")


@pytest.mark.parametrize("name", ["con", "Aux", "lpt1", "b" * 65, "-b", "a.b"])
def test_a_name_that_fetch_would_refuse_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"a bundle's name must be .*; found '.*'; rename"):
        pack(bundle.rename(tmp_path / name), tmp_path / "out", run="mine")


@pytest.mark.parametrize("version", ["1" * 65, 1, "1 0", ""])
def test_a_version_that_fetch_would_refuse_is_refused(bundle: Path, tmp_path: Path, version: object) -> None:
    metadata = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
    metadata |= {"version": version, "changelog": {str(version): "all"}}
    (bundle / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=r"version"):
        pack(bundle, tmp_path / "out", run="mine")


def test_a_name_in_which_monai_sees_a_version_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without '_v', .*; found 'moco_v3'; rename"):
        pack(bundle.rename(tmp_path / "moco_v3"), tmp_path / "out", run="mine")


@pytest.mark.parametrize("place", ["archive_in", "replace_together", "write_checksum"])
def test_an_interrupted_pack_leaves_what_was_there(
    place: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    pack(bundle, out, run="mine")
    (bundle / "README.md").write_text("another page")
    before = {**tree(out), **tree(bundle)}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if place == "archive_in":
        monkeypatch.setattr(archive, "_add", stop)
    else:
        monkeypatch.setattr(f"medvol.bundles.packages.pack.{place}", stop)
    with pytest.raises(KeyboardInterrupt):
        pack(bundle, out, run="mine")
    after = {**tree(out), **tree(bundle)}
    if place == "write_checksum":  # the zip is whole, and a reader sees that its checksum is not yet its own
        assert zipfile.ZipFile(out / "cpc3d-0.1.0.zip").testzip() is None
        before.pop("cpc3d-0.1.0.zip"), after.pop("cpc3d-0.1.0.zip")
    assert after == before
    monkeypatch.undo()
    again = pack(bundle, out, run="mine")
    assert (out / "cpc3d-0.1.0.zip.sha256").read_text() == f"{again.sha256}  cpc3d-0.1.0.zip\n"
    assert hashlib.sha256(again.file.read_bytes()).hexdigest() == again.sha256
    assert read_index(out / "index.json")["cpc3d"]["sha256"] == again.sha256


def test_a_broken_index_is_refused_before_anything_is_written(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        pack(bundle, out, run="mine")
    assert tree(out) == {"index.json": b"{"}
    assert not (bundle / "models").exists()


def test_notes_on_size_on_a_replaced_version_and_on_what_is_left_out(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(bundle, tmp_path / "out", run="mine")
    (bundle / "README.md").write_text("another page")
    (bundle / "patients.json").write_text("{}")
    monkeypatch.setattr("medvol.bundles.packages.pack.SMALL", 100)
    notes = " ".join(pack(bundle, tmp_path / "out", run="mine").notes)
    for text in (
        "bytes, more than 100: serve them",
        "cpc3d-0.1.0.zip held something else",
        "left out of the zip: patients",
    ):
        assert text in notes
