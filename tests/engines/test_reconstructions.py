"""medvol.engines.reconstructions"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from medvol.engines import PretextValidator, SaveReconstructions
from medvol.engines import reconstructions as module
from medvol.engines.product import remove_run


@pytest.fixture
def mosaics(monkeypatch):
    """What would be painted, by step; files are written, but empty."""
    kept = {}

    def write(png, mosaic):
        png.parent.mkdir(parents=True, exist_ok=True)
        png.touch()
        kept[int(png.stem)] = mosaic

    monkeypatch.setattr(module, "_write", write)
    return kept


def batch(number=2, seed=0):
    return torch.rand(number, 1, 4, 5, 6, generator=torch.Generator().manual_seed(seed)) + 1


def validate(pictures, step, steps, images=None):
    images = batch() if images is None else images
    drawn = pictures.start(step, steps)
    pictures.collect(images, images, images)
    pictures.write()
    return drawn


def test_a_picture_is_written_whole(tmp_path):
    images, mask = batch(), torch.zeros(2, 1, 4, 5, 6)
    mask[:, :, :2] = 1
    pictures = SaveReconstructions(tmp_path, (1.0, 1.0, 2.0))
    assert pictures.start(7, 9)
    pictures.collect(images, images, (images, mask))
    pictures.write()
    (png,) = (tmp_path / "reconstructions").iterdir()
    assert png.name == "000007.png"
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("most", "every", "steps"), [(6, 1, 500), (6, 7, 500), (2, 1, 9), (6, 100, 300), (3, 1, 2)])
def test_the_first_the_last_and_few_between_are_drawn(mosaics, tmp_path, most, every, steps):
    pictures = SaveReconstructions(tmp_path, most=most)
    validated = [*range(every, steps, every), steps]
    for step in validated:
        validate(pictures, step, steps)
    assert len(mosaics) == min(most, len(validated))
    assert {validated[0], steps} <= set(mosaics)
    gaps = [b - a for a, b in itertools.pairwise(sorted(mosaics))]
    assert most < 6 or max(gaps) <= steps / 5 + every  # no stretch without one
    assert len(list(pictures.folder.iterdir())) == len(mosaics)


def test_a_resumed_run_draws_nothing_again(mosaics, tmp_path):
    for step in range(10, 61, 10):
        validate(SaveReconstructions(tmp_path), step, 100)
    before = set(mosaics)
    mosaics.clear()
    resumed = SaveReconstructions(tmp_path)  # from a checkpoint of step 30
    for step in range(40, 101, 10):
        validate(resumed, step, 100)
    assert not before & set(mosaics)
    assert len(before | set(mosaics)) <= 6
    assert 100 in mosaics
    assert not validate(resumed, 100, 100)


def test_rows_are_the_first_samples_of_the_first_batches_on_one_scale(mosaics, tmp_path):
    pictures = SaveReconstructions(tmp_path, samples=3)
    pictures.start(1, 1)
    first, second = batch(), batch(seed=1) * 10
    for images in (first, second, batch(seed=2)):
        pictures.collect(images, images, images + 0.5)
    pictures.write()
    rows = mosaics[1].rows
    assert len(rows) == 3
    for row, image in zip(rows, (first[0], first[1], second[0]), strict=True):
        target = next(panel for panel in row if panel.title == "target")
        index = next(k for k in range(6) if np.array_equal(target.values, image[0, :, :, k].numpy().T[::-1]))
        assert index == 2  # all slices are full: the middle one
    scales = {panel.window for row in rows for panel in row if panel.title == "error"}
    targets = [panel.window for row in rows for panel in row if panel.title == "target"]
    assert scales == {(0.0, max(high - low for low, high in targets) / 4)}


def test_deep_supervision_shows_the_full_resolution_and_spacing_the_proportions(mosaics, tmp_path):
    pictures = SaveReconstructions(tmp_path, (1.0, 2.0, 5.0))
    pictures.start(1, 1)
    images = batch()
    pictures.collect(images, images, torch.stack([images, images * 0], 1))
    pictures.write()
    assert all((row[-1].values == 0).all() for row in mosaics[1].rows)
    assert mosaics[1].size == (2.0, 1.0)
    assert mosaics[1].notes == []


def test_notes_name_the_colors_that_are_there(mosaics, tmp_path):
    pictures = SaveReconstructions(tmp_path)
    pictures.start(1, 1)
    images = batch()
    pictures.collect(images, images, (images, torch.ones(2, 1, 4, 5, 6)))
    pictures.write()
    assert [words for _, words in mosaics[1].notes] == ["hidden from the network"]
    label = images.clone()
    label[:, :, 0] = torch.nan
    pictures = SaveReconstructions(tmp_path / "other")
    pictures.start(2, 2)
    pictures.collect(images, label, images)
    pictures.write()
    assert [words for _, words in mosaics[2].notes] == ["not counted by the loss"]


def test_a_picture_that_fails_is_one_warning(tmp_path, monkeypatch):
    pictures = SaveReconstructions(tmp_path)
    assert pictures.start(1, 9)
    with pytest.warns(UserWarning, match=r"expected to draw .*000001.png, found ValueError"):
        pictures.collect(batch(), batch(), batch().mT)
    pictures.write()
    assert not validate(pictures, 9, 9)  # warnings are errors here
    assert not pictures.folder.exists()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.warns(UserWarning, match="No space left"):
        validate(SaveReconstructions(tmp_path), 1, 9)


def test_only_the_first_process_draws(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "is_main", lambda: False)
    assert not validate(SaveReconstructions(tmp_path), 1, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run_dir": None}, "run_dir must be the run's folder; found None; let .*guard"),
        ({"run_dir": "a", "samples": 0}, "samples must be a whole number of at least 1; found 0"),
        ({"run_dir": "a", "most": 1}, "most must be a whole number of at least 2; found 1"),
        ({"run_dir": "a", "most": True}, "found True"),
        ({"run_dir": "a", "spacing": "1mm"}, "spacing must be millimeters, one number or one per axis; found '1mm'"),
        ({"run_dir": "a", "spacing": [1.0, float("nan")]}, "spacing must be millimeters"),
        ({"run_dir": "a", "spacing": []}, "spacing must be millimeters"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SaveReconstructions(**arguments)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, (1, 1, 1)), (2, (2, 2, 2)), ((1, 2), (1, 2, 2)), ((1, 2, -1), (1, 2, 1)), (np.array([1, 2, 3]), (1, 2, 3))],
)
def test_spacings(given, kept):
    assert SaveReconstructions("a", given).spacing == kept


class Halved(nn.Module):
    """Returns half of the image, and which half of it is hidden."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        mask = torch.zeros_like(image[:, :1])
        mask[:, :, :2] = 1
        return image * 0.5 + self.weight, mask


class Loss(nn.Module):
    activation = "sigmoid"

    def forward(self, output, label):
        return ((output[0] - label) * output[1]).square().mean()


def test_the_validator_shows_what_it_validates(trainer_factory, mosaics, tmp_path):
    batches = [{"image": batch(seed=seed), "label": batch(seed=seed) * 2} for seed in (0, 1)]
    network, loss = Halved(), Loss()
    trainer = trainer_factory(network=network, train_data_loader=batches, loss_function=loss)
    plain = PretextValidator(network, batches, loss).run(trainer)
    validator = PretextValidator(network, batches, loss, pictures=SaveReconstructions(tmp_path))
    assert validator.run(trainer) == plain  # looking on changes nothing
    rows = mosaics[0].rows
    assert len(rows) == 3
    shown = {panel.title: panel.values for panel in rows[2]}  # of the second batch
    image = batches[1]["image"][0, 0, :, :, 2].numpy().T[::-1]
    assert np.array_equal(shown["hidden"], image)
    assert np.array_equal(shown["target"], image * 2)
    assert np.allclose(shown["output"], 1 / (1 + np.exp(-image / 2)), atol=1e-6)
    assert (shown["input"][:, :2] == 0).all()
    assert np.array_equal(shown["input"][:, 2:], image[:, 2:])
    assert validator.run(trainer) == plain
    assert list(mosaics) == [0]


def test_a_restart_removes_them_and_nothing_else(tmp_path):
    folder = tmp_path / "reconstructions"
    folder.mkdir()
    for name in ("000100.png", "1234567.png", ".000100.png.x.part"):
        (folder / name).touch()
    remove_run(tmp_path)
    assert not folder.exists()
    folder.mkdir()
    for name in ("000100.png", "mine.png"):
        (folder / name).touch()
    remove_run(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["mine.png"]
