"""One vector per image: equal to the bundle's own inference, whole or not at all, and every refusal by name."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from medvol import bundles
from medvol.bundles.embedding import embed as module
from medvol.bundles.embedding.embed import embed
from medvol.networks import weights_hash

FILES = ["embeddings.parquet", "map.html", "map.png"]


@pytest.fixture(scope="module")
def weights(trained: dict[str, Path]) -> str:
    return str(trained["cpc3d"] / "model.pt")


@pytest.fixture(scope="module")
def result(weights: str, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embed") / "deep" / "out"
    embed("cpc3d", dataset, out, {"weights": weights, "device": "cpu"}, color="section")
    return out


@pytest.fixture
def embed_here(
    weights: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Path]]:
    """``embed`` with arguments that work, but for those that are given; one section of one case, no drawing."""
    monkeypatch.setattr(module, "draw_map", lambda *_: b"")

    def call(images: object = dataset, bundle: str = "cpc3d", out: Path | None = None, **more: object) -> list[Path]:
        own = more.pop("overrides", {})
        overrides = {"weights": weights, "device": "cpu", **own}
        if images == dataset:
            overrides.setdefault("section", "test")
        return embed(bundle, images, tmp_path / "out" if out is None else out, overrides, **more)

    return call


@pytest.fixture
def folder(dataset: Path, tmp_path: Path) -> Path:
    """Two cases in a plain folder."""
    for case in ("c0", "c1"):
        (tmp_path / "in" / case).mkdir(parents=True)
        for file in (dataset.parent / case).glob("*.nii.gz"):
            if "_seg" not in file.name:
                (tmp_path / "in" / case / file.name).write_bytes(file.read_bytes())
    return tmp_path / "in"


def test_the_table(result: Path, weights: str) -> None:
    assert sorted(path.name for path in result.iterdir()) == FILES
    table = pd.read_parquet(result / "embeddings.parquet")
    assert table.columns.tolist() == ["case", "patient", "section", *(f"e{i}" for i in range(8))]
    assert table["case"].tolist() == [f"c{k}" for k in range(5)]
    assert table["patient"].tolist() == [f"p{k}" for k in range(5)]
    assert table["section"].tolist() == ["training"] * 3 + ["validation", "test"]
    assert (table.dtypes[3:] == np.float32).all()
    record = json.loads(pq.read_schema(result / "embeddings.parquet").metadata[b"medvol"])
    assert record["weights"] == weights_hash(weights)
    assert record["run"]["bundle"] == "cpc3d"
    assert record["spacing"] == [1.0, 1.0, 1.0]  # the passport's, not the config's 2 mm
    assert record["stages"] == [{"stage": 2, "features": 8, "stride": 4}]
    assert record["nearest_neighbor"]["color"] == "section"
    assert record["spectrum"]["dimensions"] == 8


def test_the_vectors_are_those_of_the_bundles_inference(
    embed_here: Callable, result: Path, weights: str, dataset: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    run = {"device": "cpu", "weights": weights, "manifest": str(dataset), "results_dir": str(own)}
    bundles.run("cpc3d", "inference.json", **run)
    (written, *_) = embed_here(file_format="npz")
    with np.load(written) as found, np.load(own / "embeddings.npz") as expected:
        assert set(expected) <= set(found)
        for key in ("cases", "patients"):
            assert found[key].tolist() == expected[key].tolist()
            assert found[key].dtype == expected[key].dtype
        np.testing.assert_allclose(found["embeddings"], expected["embeddings"], rtol=1e-5, atol=1e-6)
        assert found["embeddings"].std() > 0
        row = pd.read_parquet(result / "embeddings.parquet").set_index("case").loc["c4"]
        np.testing.assert_allclose(found["embeddings"][0], row.iloc[2:].astype(float), rtol=1e-5, atol=1e-6)


def test_equal_input_gives_equal_bytes(result: Path, weights: str, dataset: Path, tmp_path: Path) -> None:
    embed("cpc3d", dataset, tmp_path, {"weights": weights, "device": "cpu"}, color="section")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (result / name).read_bytes(), name


def test_stages_of_a_whole_unet(embed_here: Callable, trained: dict[str, Path]) -> None:
    """The bundle describes the whole U-Net; its encoder is taken, and weights of a pre-training fit it as well."""
    own = {"weights": str(trained["unet_brats"] / "model.pt")}
    (every, *_) = embed_here(bundle="unet_brats", stages="all", overrides=own)
    table = pd.read_parquet(every)
    assert table.columns.tolist()[3:] == [f"s{s}_{i}" for s in range(3) for i in range(8)]
    (last, *_) = embed_here(bundle="unet_brats", overrides=own)
    assert pd.read_parquet(last).iloc[0, 3:].tolist() == table.iloc[0, -8:].tolist()
    (some, *_) = embed_here(bundle="unet_brats", stages=["2", "0"])
    assert pd.read_parquet(some).columns.tolist()[3:] == [f"s{s}_{i}" for s in (0, 2) for i in range(8)]


def test_a_folder_and_one_file(embed_here: Callable, folder: Path, one_channel: Path, trained: dict) -> None:
    table = pd.read_parquet(embed_here(folder)[0])
    assert table["case"].tolist() == table["patient"].tolist() == ["c0", "c1"]
    assert "section" not in table
    own = {"weights": str(trained["unet_hippocampus"] / "model.pt")}
    file = one_channel.parent / "c3" / "c3_t1.nii.gz"
    written = embed_here(file, "unet_hippocampus", overrides=own)
    assert pd.read_parquet(written[0])["case"].tolist() == ["c3_t1"]
    assert "needs at least 3 cases" in written[2].read_text(encoding="utf-8")


def test_an_untrained_encoder_has_to_be_asked_for(embed_here: Callable) -> None:
    own = {"weights": "random", "filters": [8, 8, 8], "spacing": [3.0, 3.0, 3.0]}
    first, second = (embed_here(overrides=own)[0].read_bytes() for _ in range(2))
    assert first == second
    assert json.loads(pq.read_schema(io.BytesIO(first)).metadata[b"medvol"])["weights"] == "random"
    with pytest.raises(SystemExit, match=r"--weights random for an untrained"):
        embed_here(overrides={"weights": "none"})


def test_weights_are_the_newest_run_or_the_released_ones(
    weights: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, own = tmp_path / "cpc3d", Path(module.__file__).parents[3] / "bundles" / "cpc3d"
    shutil.copytree(own, bundle, ignore=shutil.ignore_patterns("eval"))
    for place in (bundle / "models", bundle / "eval" / "r1"):
        place.mkdir(parents=True, exist_ok=True)
        for name in ("model.pt", "passport.json"):
            (place / name).write_bytes((Path(weights).parent / name).read_bytes())
    opened = []
    monkeypatch.setattr(module, "trained_encoder", lambda _, path: opened.append(path) or 1 / 0)
    for ready in (False, True):
        if ready:
            (bundle / "eval" / "latest.txt").write_text("r1")
        with pytest.raises(ZeroDivisionError):
            embed(bundle, dataset, tmp_path / "out", {})
    assert [path.relative_to(bundle).as_posix() for path in opened] == ["models/model.pt", "eval/r1/model.pt"]
    shutil.rmtree(bundle / "eval")
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(SystemExit, match="no run has finished"):
        embed(bundle, dataset, tmp_path / "out", {})


def test_the_channels_of_the_weights_in_another_order_are_refused(embed_here: Callable) -> None:
    with pytest.raises(SystemExit, match="leave --modalities out"):
        embed_here(overrides={"modalities": ["t2", "t1ce", "t1", "flair"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"file_format": "csv"}, "format must be one of parquet, npz; found 'csv'"),
        ({"method": "tsne"}, "must be pca or umap; found 'tsne'"),
        ({"stages": ["7"]}, r"stages must be .* found \['7'\]; write"),
        ({"stages": []}, "stages must be"),
        ({"color": "sektion"}, "found 'sektion'; did you mean 'section'"),
        ({"overrides": {"section": "tset"}}, "no section 'tset'"),
        ({"overrides": {"manifest": "phantom"}}, "found --manifest, too; leave it out"),
        ({"overrides": {"modalities": ["pet"]}}, "channels that the network reads, pet; .* not pet; choose"),
        ({"overrides": {"filters": [8, 9, 8]}}, "must be buildable; found: .*correct the overrides"),
        ({"overrides": {"filters": [8, 16, 8]}}, "of another shape"),
        ({"bundle": "bundles/cpc3d/train.json"}, "must be an inference config"),
        ({"images": "no_such_thing"}, "an image file, or the name or file of a manifest, found 'no_such_thing'"),
        ({"images": "/no/such.json"}, "no file /no/such.json"),
    ],
)
def test_what_is_wrong_is_said_before_an_image_is_read(
    embed_here: Callable, monkeypatch: pytest.MonkeyPatch, arguments: dict, message: str
) -> None:
    monkeypatch.chdir(Path(module.__file__).parents[3])
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("images were read"))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        embed_here(**arguments)


def test_keys_and_weights_are_refused_as_the_guard_does(embed_here: Callable, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="did you mean 'section'"):
        embed_here(overrides={"sectoin": "test"})
    with pytest.raises(SystemExit, match=r"found:\s+weights expect an existing file"):
        embed_here(overrides={"weights": str(tmp_path / "none.pt")})


def test_a_missing_package_is_named(embed_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="needs the package umap-learn, found none; run pip install"):
        embed_here(method="umap")


def test_a_broken_file_is_met_before_anything_is_embedded(
    embed_here: Callable, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    embed_here(folder)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (folder / "c1" / "c1_t1.nii.gz").write_bytes(b"no image")
    with monkeypatch.context() as patch:
        patch.setattr(module, "embed_image", lambda *_: pytest.fail("an image was embedded"))
        with pytest.raises(ValueError, match=r"case 'c1' must be .* found: .*c1_t1\.nii\.gz.*--skip_failing"):
            embed_here(folder)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_failing_images_can_be_left_out(
    embed_here: Callable, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder / "c1" / "c1_t1.nii.gz"
    file.write_bytes(file.read_bytes()[:-2000])  # its header is whole
    with pytest.raises(ValueError, match="case 'c1' must be an image that this bundle can read"):
        embed_here(folder)
    written = embed_here(folder, skip_failing=True)
    assert pd.read_parquet(written[0])["case"].tolist() == ["c0"]
    assert "left out: case 'c1'" in caplog.text
    assert "Left out, because they could not be read: c1" in " ".join(written[2].read_text(encoding="utf-8").split())
    record = json.loads(pq.read_schema(written[0]).metadata[b"medvol"])
    assert record["left_out"] == ["c1"]
    shutil.rmtree(folder / "c0")
    with pytest.raises(ValueError, match="all 1 failed"):
        embed_here(folder, skip_failing=True)


def test_the_folder_must_take_files(embed_here: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=rf"--out must be a folder that takes files; found .*{out.name}"):
            embed_here(out=out)


def test_a_failed_call_leaves_no_empty_folder(embed_here: Callable, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        embed_here("no_such_thing", out=tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()
    (tmp_path / "mine").mkdir()  # not made by the call
    with pytest.raises(FileNotFoundError):
        embed_here("no_such_thing", out=tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


def old_result(out: Path) -> None:
    out.mkdir()
    for name in FILES:
        (out / name).write_text("old")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    old_result(tmp_path / "out")
    real = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "map.html" and path.suffix == ".part":
            raise OSError(number, os.strerror(number))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=r"with 3\.0 MB free; found .*out .*; make room or give another one"):
        module._write(tmp_path / "out", dict.fromkeys(FILES, bytes(1_000_000)))
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == dict.fromkeys(FILES, "old")


def test_what_cannot_be_replaced_leaves_the_old_result(embed_here: Callable, tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    old_result(out)
    (out / "map.png").unlink()
    (out / "map.png").mkdir()
    with pytest.raises(OSError, match=r"map\.png, map\.html can be replaced; found .*; move away") as raised:
        embed_here(folder)
    assert "MB free" not in str(raised.value)
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all((out / name).read_text() == "old" for name in FILES if name != "map.png")
