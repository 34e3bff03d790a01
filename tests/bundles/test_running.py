"""The main job from end to end on a tiny data set, in this process."""

from __future__ import annotations

import csv
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medvol import bundles
from medvol.bundles import GuardError
from medvol.engines import Trainer, TrainingSuite


def rows(path: Path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_pretrain_finetune_score_and_predict(
    trained: dict[str, Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cpc, unet = trained["cpc3d"], trained["unet_brats"]
    passport = json.loads((unet / "passport.json").read_text())
    assert passport["pretrained"]["bundle"] == "cpc3d"
    assert passport["arm"] == "cpc3d"
    assert passport["data"]["synthetic"] is True
    names = {r["name"] for r in rows(cpc / "log.csv")}
    assert {"loss", "accuracy", "chance"} <= names
    scores = rows(unet / "metrics.csv")
    assert {(r["region"], r["metric"]) for r in scores} >= {
        (g, m) for g in ("TC", "WT", "ET") for m in ("dice", "hd95")
    }
    assert {r["arm"] for r in scores} == {"cpc3d"}

    small = {"device": "cpu", "weights": str(unet / "model.pt"), "manifest": str(dataset)}
    bundles.run("unet_brats", "evaluate.json", **small)
    assert "test, synthetic data: 1 cases scored" in capsys.readouterr().out
    tested = rows(unet / "test" / "metrics.csv")
    assert {r["run"] for r in tested} == {passport["run"]}
    bundles.run(
        "unet_brats",
        "inference.json",
        **small,
        input_dir=str(folder_of_one(dataset, tmp_path)),
        results_dir=str(tmp_path / "out"),
    )
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    image = nib.load(dataset.parent / "c4" / "c4_t1.nii.gz")
    prediction = nib.load(written)
    assert prediction.shape == image.shape
    np.testing.assert_allclose(prediction.affine, image.affine)
    assert set(np.unique(prediction.get_fdata())) <= {0, 1, 2, 4}


def folder_of_one(dataset: Path, tmp_path: Path) -> Path:
    """A plain folder that holds one case, without its label."""
    folder = tmp_path / "in" / "c4"
    folder.mkdir(parents=True)
    for file in (dataset.parent / "c4").glob("*.nii.gz"):
        if "_seg" not in file.name:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder.parent


def test_embeddings(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    cpc = trained["cpc3d"]
    bundles.run(
        "cpc3d",
        "inference.json",
        device="cpu",
        weights=str(cpc / "model.pt"),
        manifest=str(dataset),
        results_dir=str(tmp_path / "e"),
    )
    with np.load(tmp_path / "e" / "embeddings.npz") as file:
        assert file["embeddings"].shape == (1, 8)


def test_the_product_is_what_was_trained(trained: dict[str, Path]) -> None:
    """Every key of network_def is in model.pt and no other, and the encoder is that of the U-Net."""
    cpc, unet = trained["cpc3d"], trained["unet_brats"]
    encoder = torch.load(cpc / "model.pt", weights_only=True)
    whole = torch.load(unet / "model.pt", weights_only=True)
    assert encoder.keys() < whole.keys()
    assert not [k for k in encoder if "upsample" in k or "output" in k]
    assert all(encoder[k].shape == whole[k].shape for k in encoder)


def test_equal_runs_give_equal_bytes_and_a_finished_one_is_skipped(
    overrides: Callable[..., dict], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = bundles.run("cpc3d", **overrides("cpc3d"))
    before = (first / "model.pt").stat().st_mtime_ns
    assert bundles.run("cpc3d", **overrides("cpc3d")) == first
    assert "finished already" in capsys.readouterr().out
    assert (first / "model.pt").stat().st_mtime_ns == before
    second = bundles.run("cpc3d", **overrides("cpc3d", output_dir=str(tmp_path / "again")))
    assert (second / "model.pt").read_bytes() == (first / "model.pt").read_bytes()
    assert (second / "passport.json").read_bytes() == (first / "passport.json").read_bytes()
    again = bundles.run("cpc3d", **overrides("cpc3d", restart=True))
    assert again == first
    assert (first / "model.pt").stat().st_mtime_ns > before


def test_an_unfinished_run_goes_on(overrides: Callable[..., dict], monkeypatch: pytest.MonkeyPatch) -> None:
    """Same hash and cut after two of four steps: two more in the same folder, and the weights of an uncut run."""
    more = {"steps": 4, "train::handlers::0::save_every_steps": 1}
    whole = bundles.run("cpc3d", **overrides("cpc3d", **more, run_name="whole"))
    made: list[int] = []

    def stepped(suite: TrainingSuite, engine: Trainer) -> None:
        made.append(engine.state.step)

    def cut(suite: TrainingSuite, engine: Trainer) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt("cut")

    with monkeypatch.context() as patched:
        patched.setattr(TrainingSuite, "_optimizer_stepped", stepped)
        patched.setattr(TrainingSuite, "_gradients_ready", cut)
        with pytest.raises(KeyboardInterrupt):
            bundles.run("cpc3d", **overrides("cpc3d", **more, run_name="cut"))
    folder = whole.with_name("cut")
    assert (folder / "last.pt").is_file()
    assert not (folder / "model.pt").exists()
    monkeypatch.setattr(TrainingSuite, "_optimizer_stepped", stepped)
    assert bundles.run("cpc3d", **overrides("cpc3d", **more, run_name="cut")) == folder
    assert made == [1, 2, 3, 4]
    assert (folder / "model.pt").read_bytes() == (whole / "model.pt").read_bytes()


def test_a_depth_of_one_runs_by_the_same_bundle(
    write_tiny_dataset: Callable[..., Path],
    overrides: Callable[..., dict],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    """Volumes of one slice, from the same config: a grid, a crop and patches with a last axis of 1."""
    manifest = write_tiny_dataset(tmp_path / "slices", shape=(28, 30, 1))
    flat = {"crop_size": [24, 24, 1], "grid": [3, 3, 1], "patch_size": [6, 6, 1], "manifest": str(manifest)}
    folder = bundles.run("cpc3d", **overrides("cpc3d", **flat))
    assert (folder / "model.pt").is_file()
    assert "(synthetic data)" in capsys.readouterr().out


def test_the_recurrent_context_is_an_override_away(overrides: Callable[..., dict]) -> None:
    more = {"network::context": "gru", "network::hidden": 16}
    assert (bundles.run("cpc3d", **overrides("cpc3d", **more)) / "model.pt").is_file()


def test_two_modalities_by_name_fit_weights_of_four(trained: dict[str, Path], overrides: Callable[..., dict]) -> None:
    start = str(trained["cpc3d"] / "model.pt")
    folder = bundles.run("unet_brats", **overrides("unet_brats", pretrained=start, modalities=["t1ce", "flair"]))
    source = torch.load(start, weights_only=True)["input_block.conv1.conv.weight"]
    assert json.loads((folder / "passport.json").read_text())["modalities"] == ["t1ce", "flair"]
    assert source.shape[1] == 4
    assert torch.load(folder / "model.pt", weights_only=True)["input_block.conv1.conv.weight"].shape[1] == 2


@pytest.mark.parametrize("bundle", ["unet_brats", "unet_hippocampus", "unet_pancreas"])
def test_an_evaluation_repeats_the_validation_of_the_training(
    bundle: str, trained: dict[str, Path], overrides: Callable[..., dict], tmp_path: Path
) -> None:
    """Same weights, same cases, same numbers: no channel may change its meaning on the way through the passport."""
    given = {"weights": str(trained[bundle] / "model.pt"), "manifest": overrides(bundle)["manifest"], "device": "cpu"}
    bundles.run(bundle, "evaluate.json", **given, section="validation", results_dir=str(tmp_path / "v"))
    assert rows(tmp_path / "v" / "metrics.csv") == rows(trained[bundle] / "metrics.csv")


@pytest.mark.parametrize("bundle", ["unet_brats", "unet_hippocampus", "unet_pancreas"])
def test_what_is_inherited_does_not_depend_on_the_order_of_keys(bundle: str) -> None:
    """A passport sorts its keys, so nothing whose order matters may be an object of the config."""
    config = json.loads((Path(__file__).parents[2] / "bundles" / bundle / "train.json").read_text())
    assert isinstance(config["regions"], list)


def test_a_config_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"found no nothing\.json; give one of .*train\.json"):
        bundles.run("cpc3d", "nothing.json")


def test_the_suffix_may_be_left_out(overrides: Callable[..., dict], tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="'steps' of at least 1"):
        bundles.run("cpc3d", "train", **overrides("cpc3d", steps=0))


@pytest.mark.slow
def test_a_run_leaves_no_workers_behind(overrides: Callable[..., dict]) -> None:
    before = set(multiprocessing.active_children())
    bundles.run("unet_brats", **overrides("unet_brats", num_workers=1))
    assert set(multiprocessing.active_children()) == before
