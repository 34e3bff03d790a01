from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from medvol.__main__ import main
from medvol.bundles.export import export, export_network
from medvol.bundles.formats import FORMATS
from medvol.networks import read_weights, weights_hash

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(p.parent.name for p in ROOT.glob("*/train.json"))


def weights_of(trained: dict[str, Path], bundle: str) -> Path:
    return trained[bundle] / "model.pt"


def config_of(bundle: str) -> dict:
    return json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("bundle", [BUNDLES[0], *(pytest.param(b, marks=pytest.mark.slow) for b in BUNDLES[1:])])
def test_plain_weights(bundle: str, trained: dict[str, Path], tmp_path: Path) -> None:
    weights = weights_of(trained, bundle)
    file = export(bundle, tmp_path / "new" / "net.pt", "pt", weights)
    assert weights_hash(file) == weights_hash(weights)
    assert [f.name for f in file.parent.iterdir()] == ["net.pt"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_safetensors(bundle: str, trained: dict[str, Path], tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    weights = weights_of(trained, bundle)
    file = export(bundle, tmp_path / "net.safetensors", "safetensors", weights)
    assert weights_hash(file) == weights_hash(weights), "also the second names of shared tensors are read back"
    with safetensors.safe_open(file, framework="pt") as opened:
        stored, notes = set(opened.keys()), opened.metadata()
    assert stored <= set(read_weights(weights))
    network = config_of(bundle)["network_def"]["_target_"]
    whole = network.endswith("DynUNet")  # it lists tensors twice
    assert (len(stored) < len(read_weights(weights))) == whole
    passport = json.loads(weights.with_name("passport.json").read_text(encoding="utf-8"))
    assert json.loads(notes["medvol.passport"]) == passport
    assert (notes["format"], notes["medvol.bundle"], notes["medvol.run"]) == ("pt", bundle, passport["run"])


# The graph of a Swin transformer that takes any size is not made within ten minutes.
GRAPHS = [b for b in BUNDLES if b != "simmim3d"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch_export", "onnx"])
@pytest.mark.parametrize("bundle", GRAPHS)
def test_graphs_take_any_batch_and_size(bundle: str, kind: str, trained: dict[str, Path], tmp_path: Path) -> None:
    for package in (*FORMATS[kind].packages, *(["onnxruntime"] if kind == "onnx" else [])):
        pytest.importorskip(package)
    done = export_network(bundle, tmp_path / f"net{FORMATS[kind].suffix}", kind, weights_of(trained, bundle))
    assert done.takes[0] == "B"
    meta = json.loads((ROOT / bundle / "metadata.json").read_text(encoding="utf-8"))
    assert done.takes[2:] == tuple(meta["network_data_format"]["inputs"]["image"]["spatial_shape"])
    assert len(done.compared) == 2
    assert done.difference < (1e-6 if kind == "torch_export" else 1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [done.file.name]


def test_released_weights_are_the_default(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bundles" / "cpc3d"
    shutil.copytree(ROOT / "cpc3d", folder, ignore=shutil.ignore_patterns("eval", "models"))
    with pytest.raises(FileNotFoundError, match="released weights"):
        export("cpc3d", "net.pt", "pt")
    (folder / "models").mkdir()
    for name in ("model.pt", "passport.json"):
        shutil.copy(trained["cpc3d"] / name, folder / "models")
    for bundle in ("cpc3d", folder / "train.json"):
        Path("net.pt").write_text("old")
        assert weights_hash(export(bundle, "net.pt", "pt")) == weights_hash(folder / "models" / "model.pt")


def test_the_command_says_what_it_wrote(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "net.pt"
    words = ["export", "cpc3d", "--weights", str(weights_of(trained, "cpc3d")), "--format", "pt", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"written: {out}" in said
    assert "(B, 4, 8*n, 8*n, 8*n)" in said
    assert "largest difference to the network's output: 0" in said
    assert main([*words[:-1], str(out.with_suffix(".onnx"))]) == 2
    assert "must end in .pt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "kind", "weights", "message"),
    [
        ("net.pt", "tensorflow", None, "must be one of pt, safetensors, torch_export, onnx; found 'tensorflow'"),
        ("net.pt", "safetensors", None, "must end in .safetensors; found 'net.pt'"),
        ("net", "pt", None, "must end in .pt; found 'net'"),
        ("folder.pt", "pt", None, "must be a file; found the folder"),
        ("net.pt", "pt", "none", "must have weights; found 'none'"),
        ("net.pt", "pt", "nothing.pt", "nothing at nothing.pt"),
        ("net.pt", "pt", "garbage.pt", "state dict"),
        ("model.pt", "pt", "model.pt", "a file of its own; found the weights themselves"),
        ("net.pt", "pt", "other.pt", "misses"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    out: str, kind: str, weights: str | None, message: str,
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "garbage.pt").write_bytes(b"garbage")
    shutil.copy(weights_of(trained, "cpc3d"), "model.pt")
    shutil.copy(trained["cpc3d"] / "passport.json", "passport.json")
    torch.save({"a.weight": torch.zeros(1)}, "other.pt")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises((ValueError, OSError)) as error:
        export("cpc3d", out, kind, weights or "model.pt")
    if message != "misses":
        assert message in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_unknown_bundle_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Did you mean cpc3d"):
        export("cpc3", tmp_path / "net.pt", "pt")


@pytest.mark.parametrize(
    ("kind", "package"), [("safetensors", "safetensors"), ("onnx", "onnx"), ("onnx", "onnxscript")]
)
def test_a_missing_package_is_a_sentence(
    kind: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"needs the package {package}; found none; run pip install -e '.\[export\]'"
    ):
        export("cpc3d", tmp_path / f"net{FORMATS[kind].suffix}", kind, "nothing.pt")


def test_a_file_that_gives_another_output_is_not_put_in_place(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net.pt"
    out.write_text("old")
    wrong = dataclasses.replace(FORMATS["pt"], run=lambda product, path, image: [product.network(image) + 0.5])
    monkeypatch.setitem(FORMATS, "pt", wrong)  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"must give the network's output; found a difference of 0\.5.*nothing was"):
        export("cpc3d", out, "pt", weights_of(trained, "cpc3d"))
    assert out.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt"]


def test_a_folder_that_takes_no_files_is_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"a folder that takes files; found .*; give another --out"):
        export("cpc3d", tmp_path / "file" / "net.pt", "pt", weights_of(trained, "cpc3d"))


def test_weights_that_are_not_numbers_are_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    state = torch.load(weights_of(trained, "cpc3d"), weights_only=True)
    next(iter(state.values())).fill_(float("nan"))
    torch.save(state, tmp_path / "nan.pt")
    shutil.copy(trained["cpc3d"] / "passport.json", tmp_path)
    with pytest.raises(ValueError, match="expect"):
        export("cpc3d", tmp_path / "net.pt", "pt", tmp_path / "nan.pt")
    assert not (tmp_path / "net.pt").exists()


def test_weights_of_another_bundle_are_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="DynUNet"):
        export("unet_brats", tmp_path / "net.pt", "pt", weights_of(trained, "cpc3d"))


def test_a_passport_of_nonsense_is_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(weights_of(trained, "cpc3d"), tmp_path / "model.pt")
    (tmp_path / "passport.json").write_text(json.dumps({"bundle": "cpc3d", "recipe": {"filters": "wide"}}))
    with pytest.raises(ValueError, match=r"must build 'network_def' with the values of .*passport\.json; found "):
        export("cpc3d", tmp_path / "net.pt", "pt", tmp_path / "model.pt")


def test_a_flat_network_is_exported_flat(trained: dict[str, Path], tmp_path: Path) -> None:
    """The passport's number of dimensions counts, and not that of the metadata."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "unet_brats" / "inference.json"))
    recipe = {"spatial_dims": 2, "filters": [8, 8, 8, 8, 8], "modalities": ["t1"]}
    for key, value in recipe.items():
        parser[key] = value
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    (tmp_path / "passport.json").write_text(json.dumps({"bundle": "unet_brats", "recipe": recipe}))
    done = export_network("unet_brats", tmp_path / "net.pt", "pt", tmp_path / "model.pt")
    assert done.takes == ("B", 1, "16*n", "16*n")
