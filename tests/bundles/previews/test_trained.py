"""The network of a run in a preview: which run, which values, and that its output is the network's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medvol.bundles import identity, refusal
from medvol.bundles.opening import open_bundle
from medvol.bundles.previews import page
from medvol.bundles.previews import preview as preview_module
from medvol.bundles.previews.preview import preview
from medvol.bundles.previews.trained import Restored, Restorer, _restored, find_run, take_recipe
from medvol.engines.comparison import compare

BUNDLE = "mae3d"


@pytest.fixture
def values(overrides) -> dict:
    return overrides(BUNDLE)


@pytest.fixture
def run(values, tmp_path) -> Path:
    return untrained(BUNDLE, values, tmp_path)


def untrained(bundle: str, values: dict, place: Path) -> Path:
    """A run as training leaves it, with an untrained network, and not finished."""
    opened = open_bundle(bundle, overrides=values)
    torch.manual_seed(1)
    network = opened.parser.get_parsed_content("network")
    folder = place / bundle / "first"
    folder.mkdir(parents=True)
    torch.save({"network": network.state_dict(), "clock": {"step": 7}}, folder / "last.pt")
    data = {"name": "tiny", "synthetic": True}
    note = {"bundle": bundle, "run": "first", "recipe": identity.recipe(opened.config), "data": data}
    (folder / "run.json").write_text(json.dumps(note), encoding="utf-8")
    return folder


def test_a_run_is_found_by_name_folder_file_and_as_the_newest(values, run) -> None:
    opened = open_bundle(BUNDLE, overrides=values)
    for spec in ("first", f"{BUNDLE}@first", run, str(run), run / "last.pt"):
        assert find_run(opened, spec) == run, spec
    (run.parent / "latest.txt").write_text("first\n", encoding="utf-8")
    assert find_run(opened, "latest") == find_run(opened, f"{BUNDLE}@latest") == run


@pytest.mark.parametrize("spec", ["second", "..", "", "latest", f"{BUNDLE}@second", "nowhere/run"])
def test_no_such_run(values, run, spec) -> None:
    with pytest.raises(FileNotFoundError, match=r"a run with last.pt and run.json is expected; .*mae3d: first"):
        find_run(open_bundle(BUNDLE, overrides=values), spec)


def test_the_values_of_the_run_hold_but_those_of_the_user_win(values, run) -> None:
    opened = open_bundle(BUNDLE, overrides={"seed": 5, "train::trainer::clip_norm": 3.0})
    before = dict(opened.config)
    words = take_recipe(opened, run, {"seed": 5, "train::trainer::clip_norm": 3.0})
    assert words == "run first, trained on tiny (synthetic data)"
    assert opened.config["filters"] == values["filters"] != before["filters"]
    assert opened.config["seed"] == 5
    assert opened.config["train"]["trainer"]["clip_norm"] == 3.0
    for key in ("manifest", "output_dir", "shards", "cache_dir", "bundle_root"):
        assert opened.config[key] == before[key], key


def test_a_run_of_another_bundle_is_refused(values, run) -> None:
    note = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**note, "bundle": "spark3d"}), encoding="utf-8")
    with pytest.raises(ValueError, match="run must be one of the bundle mae3d; found one of spark3d"):
        take_recipe(open_bundle(BUNDLE, overrides=values), run, {})


def test_the_picture_shows_what_the_network_makes_of_the_samples(values, run, tmp_path, monkeypatch) -> None:
    pages, observed = [], []
    monkeypatch.setattr(page.Page, "png", lambda self, dpi=130: pages.append(self) or b"PNG")
    observe = preview_module.observe

    def watched(*arguments):
        observed.extend(observe(*arguments))
        return observed

    monkeypatch.setattr(preview_module, "observe", watched)
    places = {key: values[key] for key in ("manifest", "cache_dir", "output_dir")}  # the sizes come with the run
    preview(BUNDLE, tmp_path / "a.png", overrides=places, samples=1, run="first")
    sample = observed[0].sample
    network = open_bundle(BUNDLE, overrides=values).parser.get_parsed_content("network")
    network.load_state_dict(torch.load(run / "last.pt", weights_only=True)["network"])
    with torch.no_grad():
        output, mask = network.eval()(sample["image"][None], sample["mask"][None])
    index = sample["image"].shape[-1] // 2
    drawn = pages[0].figure.axes[6].images[0].get_array()
    assert np.allclose(drawn, output[0, 0, :, :, index].T, atol=1e-5)
    error = pages[0].figure.axes[12].images[0].get_array()
    expected = (output[0, 0] - sample["label"][0]).abs()[:, :, index].T.numpy()
    hidden = mask[0, 0, :, :, index].T.numpy() > 0
    assert hidden.any()
    assert np.array_equal(np.ma.getmaskarray(error), ~hidden)
    assert np.allclose(np.asarray(error)[hidden], expected[hidden], atol=1e-5)
    words = [text.get_text() for text in pages[0].figure.texts]
    assert f"{BUNDLE}: what the network sees, and what it makes of it" in words
    assert "network: run first, trained on tiny (synthetic data), 7 steps" in words


def test_without_a_mask_all_of_the_image_is_compared(overrides, tmp_path, monkeypatch) -> None:
    values, pages, observed, bundle = overrides("genesis3d"), [], [], "genesis3d"
    run = untrained(bundle, values, tmp_path)
    monkeypatch.setattr(page.Page, "png", lambda self, dpi=130: pages.append(self) or b"PNG")
    observe = preview_module.observe
    monkeypatch.setattr(preview_module, "observe", lambda *given: observed.extend(observe(*given)) or observed)
    places = {key: values[key] for key in ("manifest", "cache_dir", "output_dir")}
    preview(bundle, tmp_path / "a.png", overrides=places, samples=1, run="first")
    sample = observed[0].sample
    network = open_bundle(bundle, overrides=values).parser.get_parsed_content("network")
    network.load_state_dict(torch.load(run / "last.pt", weights_only=True)["network"])
    with torch.no_grad():
        output = network.eval()(sample["image"][None])[0, 0].sigmoid()  # as the loss compares it
    target, index = sample["label"][0], output.shape[-1] // 2
    rows = {"target": target, "input": sample["image"][0], "output": output, "error": (output - target).abs()}
    for row, (name, volume) in enumerate(rows.items(), start=1):
        drawn = pages[0].figure.axes[3 * row].images[0].get_array()
        assert not np.ma.getmaskarray(drawn).any()
        assert np.allclose(drawn, volume[:, :, index].T, atol=1e-5), name


def test_a_segmentation_is_not_drawn_as_a_restoration(overrides, tmp_path) -> None:
    values, name = overrides("unet_hippocampus"), "unet_hippocampus"
    folder = Path(values["output_dir"]) / "first"
    folder.mkdir(parents=True)
    (folder / "last.pt").touch()
    (folder / "run.json").write_text(json.dumps({"bundle": name, "run": "first"}), encoding="utf-8")
    with pytest.raises(refusal.GuardError, match=r"(?s)samples that are restored for --run.*those of unet_hippocampus"):
        preview(name, tmp_path / "a.png", overrides=values, samples=1, run="first")
    assert not (tmp_path / "a.png").exists()


def test_weights_that_do_not_fit_are_refused(values, run) -> None:
    other = open_bundle(BUNDLE, overrides={**values, "filters": [8, 8, 16]})
    with pytest.raises(
        refusal.GuardError, match=r"(?s)the weights of the network of mae3d in .*last.pt.*size mismatch"
    ):
        Restorer(other, run)


@pytest.mark.parametrize("content", [b"no checkpoint", None])
def test_a_foreign_checkpoint_is_refused(values, run, content) -> None:
    torch.save({"weights": 1}, run / "last.pt") if content is None else (run / "last.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"last.pt must be the checkpoint of a run; found .*; choose another run"):
        Restorer(open_bundle(BUNDLE, overrides=values), run)


def test_samples_of_other_tasks_are_refused(values, run) -> None:
    restorer = Restorer(open_bundle(BUNDLE, overrides=values), run)
    size = values["crop_size"]
    image = torch.rand(len(restorer.network.network.state_dict()) and 4, *size)
    for sample in ({"image": image, "mask": torch.zeros(1, *size)}, {"image": image, "label": torch.tensor([3])}):
        with pytest.raises(
            refusal.GuardError, match=r"(?s)--run with a network that returns an image.*leave out --run"
        ):
            restorer.restore(sample)


@pytest.mark.parametrize("kind", ["masked", "whole", "classes"])
def test_preview_and_training_show_the_same(kind) -> None:
    shape = (4, 6, 5)
    generator = torch.Generator().manual_seed(0)
    image, output = (torch.rand(2, *shape, generator=generator) + 1 for _ in "ab")
    label = torch.randint(0, 2, (1, *shape), generator=generator) if kind == "classes" else image.clone()
    if kind == "masked":
        label[:, 0] = torch.nan
    mask = (torch.rand(1, *shape, generator=generator) > 0.5).float() if kind == "masked" else None
    activation = "sigmoid" if kind == "whole" else None
    made = _restored(image, label, output, mask, activation)
    panels = {panel.title: panel.values for panel in compare(image, label, output, mask, activation)}
    planes = {"output": made.output, "target": made.target, "composite": made.composite}
    planes["wrong" if kind == "classes" else "error"] = made.error
    for title, volume in planes.items():
        if volume is None:
            assert title not in panels
            continue
        slices = [volume[0, :, :, k].T[::-1] for k in range(5)]
        assert any(np.allclose(panels[title], plane, equal_nan=True) for plane in slices), title


def test_a_summary_in_words() -> None:
    zeros = np.zeros((1, 2, 2))
    assert Restored(zeros, zeros, zeros * np.nan, None, 0).summary == "no voxel is counted"
    assert Restored(zeros, zeros, np.array([[[0, 1.0, np.nan]]]), None, 3).summary == (
        "wrong in 50.0% of the counted voxels"
    )


def test_the_command_hands_on_the_run(monkeypatch, capsys) -> None:
    from medvol.__main__ import main

    asked = {}
    monkeypatch.setattr(preview_module, "preview", lambda *arguments, **more: asked.update(more) or "a.png")
    assert main(["preview", BUNDLE, "--out", "a.png", "--run", "latest"]) == 0
    assert asked == {"samples": 2, "run": "latest"}
    assert capsys.readouterr().out == "written: a.png\n"
    assert main(["preview", BUNDLE, "--out", "a.png"]) == 0
    assert asked["run"] is None
