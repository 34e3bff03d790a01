"""medvol.engines.overlays: which cases are drawn, and that the slices lie where the labels do"""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator

from medvol.engines import SaveOverlays, ScoreCases, overlays
from medvol.engines.overlays import _image, _pack, choose_cases
from medvol.engines.validation import validate

LPS = torch.diag(torch.tensor([-1.0, -1.0, 2.0, 1.0], dtype=torch.float64))


class Overlap:
    """Scores: the share of labeled voxels that were found."""

    def __call__(self, prediction, reference, spacing):
        value = float((prediction * reference).sum() / reference.sum())
        return [{"region": region, "metric": "dice", "value": value} for region in "ab"]

    def mean(self, rows):
        return {"mean_dice": float(np.mean([row["value"] for row in rows]))}


class Shrink(torch.nn.Module):
    """Predicts a label map out of the image: the brighter the case, the more of it is found."""

    def forward(self, x):
        found = torch.zeros_like(x[:, :1])
        found[..., 2 : 2 + int(x.max()), 2:6, 2:6] = 1
        return found


def case(name, brightness, affine=LPS):
    label = torch.zeros(1, 8, 9, 10)
    label[:, 2:6, 2:6, 2:6] = 1
    image = torch.zeros(2, 8, 9, 10)
    image[0, 2:6, 2:6, 2:6] = brightness
    wrap = lambda x: MetaTensor(x, affine=affine)  # noqa: E731
    return {"image": wrap(image), "label": wrap(label), "case": name, "patient": len(name)}


def evaluate(cases, folder, handlers=None, **settings):
    handlers = handlers or [ScoreCases(Overlap()), SaveOverlays(folder, {"tumor": 1}, **settings)]
    evaluator = SupervisedEvaluator("cpu", DataLoader(cases), Shrink(), val_handlers=handlers)
    evaluator.run()
    return evaluator


@pytest.fixture
def drawn(monkeypatch):
    """Record instead of drawing."""
    calls = {}

    def record(image, prediction, reference, spacing, png, names, ras):
        png.parent.mkdir(parents=True, exist_ok=True)
        png.touch()
        calls[png.name] = SimpleNamespace(
            image=image, prediction=prediction, reference=reference, spacing=spacing, names=names, ras=ras
        )

    monkeypatch.setattr(overlays, "save_overlay", record)
    return calls


def rows(**values):
    return [{"case": c, "region": r, "metric": "dice", "value": v} for c, vs in values.items() for r, v in vs.items()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"a": [0.5]}, {"best": "a"}),
        ({"a": [0.5], "b": [0.7]}, {"best": "b", "worst": "a"}),
        ({"a": [0.5], "b": [0.7], "c": [0.1]}, {"best": "b", "worst": "c", "median": "a"}),
        ({"a": [0.1], "b": [0.2], "c": [0.3], "d": [0.4]}, {"best": "d", "worst": "a", "median": "b"}),
        ({"a": [0.0, 1.0], "b": [0.6, 0.6], "c": [0.1, 0.1]}, {"best": "b", "worst": "c", "median": "a"}),
        ({"c": [0.5], "b": [0.5], "a": [0.5]}, {"best": "c", "worst": "a", "median": "b"}),
        ({"a": [float("nan")], "b": [0.7], "c": [0.1, float("nan")]}, {"best": "b", "worst": "c"}),
    ],
)
def test_choose_cases(values, expected):
    table = rows(**{name: dict(enumerate(found)) for name, found in values.items()})
    noise = [{**row, "metric": "hd95", "value": 1 - row["value"]} for row in table]
    assert choose_cases(table + noise, "dice", values) == expected


def test_only_kept_cases_are_chosen():
    assert choose_cases(rows(a={0: 0.9}, b={0: 0.1}), "dice", ["b"]) == {"best": "b"}


def test_roles_files_and_grid(tmp_path, drawn):
    cases = [case(f"c{n}", n) for n in (3, 1, 4, 2)]
    evaluate(cases, tmp_path / "overlays")
    assert sorted(drawn) == ["best_c4.png", "median_c2.png", "worst_c1.png"]
    best, worst = drawn["best_c4.png"], drawn["worst_c1.png"]
    flipped = cases[0]["label"][0].flip(0, 1).numpy()  # LPS, turned to RAS
    assert np.array_equal(best.reference, flipped)
    assert np.array_equal(best.prediction, flipped)
    assert worst.prediction.sum() == 16
    assert worst.prediction.dtype == np.uint8
    assert best.spacing == [1.0, 1.0, 2.0]
    assert best.ras
    assert best.names == {"tumor": 1}
    # Where the slices are cut, the image is the case's, turned as the labels are.
    for axis, index in ((2, 2), (1, 3), (0, 2)):
        shown, labeled = (np.take(x, index, axis=axis) for x in (best.image, flipped))
        assert np.array_equal(shown > 128, labeled > 0)


def test_two_cases_and_one(tmp_path, drawn):
    evaluate([case("a", 2), case("b", 3)], tmp_path)
    assert sorted(drawn) == ["best_b.png", "worst_a.png"]
    drawn.clear()
    evaluate([case("a", 2)], tmp_path)
    assert sorted(drawn) == ["best_a.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["best_a.png"]  # those of the evaluation before are gone


def test_no_labels_no_pictures(tmp_path, drawn):
    evaluate([{k: v for k, v in case("a", 2).items() if k != "label"}], tmp_path / "o")
    assert not drawn
    assert not (tmp_path / "o").exists()


def test_names_of_cases_never_lead_out_of_the_folder(tmp_path, drawn):
    evaluate([case("../../x y", 2)], tmp_path / "o")
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["best_.._.._x_y.png"]


def test_two_cases_never_have_one_name(tmp_path, drawn):
    evaluate([case("a/b", 3), case("a b", 1), case("a_b", 2)], tmp_path)
    assert sorted(drawn) == ["best_a_b.png", "median_a_b_3.png", "worst_a_b_2.png"]


def test_an_image_without_a_finite_value_is_drawn():
    label = MetaTensor(torch.ones(1, 8, 8, 8), affine=torch.eye(4))
    nothing = MetaTensor(torch.full((1, 8, 8, 8), torch.nan), affine=torch.eye(4))
    with np.load(io.BytesIO(_pack(nothing, label, label))) as content:
        assert not content["slice_2"].any()


def test_a_training_draws_its_last_validation_only(tmp_path, drawn):
    handler = SaveOverlays(tmp_path)
    evaluator = SupervisedEvaluator(
        "cpu", DataLoader([case("a", 2)]), Shrink(), val_handlers=[ScoreCases(Overlap()), handler]
    )
    trainer = SimpleNamespace(steps=4, state=SimpleNamespace(step=2, epoch=1))
    assert validate(evaluator, trainer)["val_mean_dice"] == 0.5
    assert not drawn
    assert not handler._kept
    trainer.state.step, trainer.state.epoch = 4, 2
    validate(evaluator, trainer)
    assert sorted(drawn) == ["best_a.png"]
    assert not handler._kept


def test_a_failed_drawing_is_one_warning(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(overlays, "save_overlay", full)
    with pytest.warns(UserWarning, match="No space left") as caught:
        evaluator = evaluate([case(f"c{n}", n) for n in (1, 2, 3)], tmp_path)
    assert len(caught) == 1
    assert evaluator.state.metrics["mean_dice"] == 0.5


def test_a_case_that_cannot_be_drawn_is_one_warning(tmp_path, drawn):
    broken = [{**case(name, 2), "image": torch.full((1, 3, 3), 2.0)} for name in "ab"]  # no volume, no affine
    scores = ScoreCases(Overlap(), spacing=(1.0, 1.0, 1.0))

    class Whole(torch.nn.Module):
        def forward(self, x):
            return torch.ones(1, 1, 8, 9, 10)

    evaluator = SupervisedEvaluator(
        "cpu", DataLoader(broken), Whole(), val_handlers=[scores, SaveOverlays(tmp_path / "o")]
    )
    with pytest.warns(UserWarning, match=r"case 'a' in one space, found .*scored, but not drawn") as caught:
        evaluator.run()
    assert len(caught) == 1
    assert evaluator.state.metrics["mean_dice"] == 1.0
    assert not drawn


def test_needs_scores(tmp_path):
    with pytest.raises(ValueError, match="must have a ScoreCases on the same evaluator, but found none"):
        evaluate([case("a", 2)], tmp_path, handlers=[SaveOverlays(tmp_path)])


def test_an_image_on_another_grid_is_shown_where_the_label_lies():
    """A ramp along each world axis, sampled at other places: the slices hold the world coordinate."""
    label = torch.zeros(1, 12, 14, 16)
    label[:, 3:8, 4:9, 5:9] = 2
    native = torch.tensor(
        [[-1.5, 0, 0, 30], [0, 0, 2.0, -20], [0, 1.0, 0, 5], [0, 0, 0, 1]], dtype=torch.float64
    )  # (L, S, A)
    grid = torch.diag(torch.tensor([2.0, 2.5, 1.25, 1.0], dtype=torch.float64))
    grid[:3, 3] = torch.tensor([0.0, -30.0, -5.0])
    shape = (20, 20, 24)
    for world in range(3):
        size, start = grid[world, world], grid[world, 3]
        ramp = (start + size * torch.arange(shape[world])).view([-1 if a == world else 1 for a in range(3)])
        image = MetaTensor(ramp.expand(shape)[None].float(), affine=grid)
        packed = _pack(image, MetaTensor(label, affine=native), MetaTensor(label, affine=native))
        with np.load(io.BytesIO(packed)) as content:
            assert content["spacing"].tolist() == [1.5, 2.0, 1.0]
            reference, shown = content["reference"], _image(content)
            cuts = {axis: int(content[f"index_{axis}"]) for axis in range(3)}
        assert reference.shape == (12, 16, 14)  # right, anterior, superior
        origin = {0: 30 - 1.5 * 11, 1: -20.0, 2: 5.0}[world]
        expected = origin + (1.5, 2.0, 1.0)[world] * np.arange(reference.shape[world])
        low, high = np.percentile(ramp.numpy(), (0.5, 99.5))
        expected = 255 * np.clip((expected - low) / (high - low), 0, 1)
        expected = np.broadcast_to(expected.reshape([-1 if a == world else 1 for a in range(3)]), reference.shape)
        for axis, index in cuts.items():
            assert (np.take(reference, index, axis=axis) == 2).any()
            one, two = (np.take(x, index, axis=axis).astype(float) for x in (shown, expected))
            assert np.abs(one - two).max() < 2, (world, axis)


def test_what_waits_is_small():
    shape = (1, 48, 64, 48)
    label = torch.zeros(shape)
    label[:, 10:30, 20:40, 10:30] = 1
    image = MetaTensor(torch.randn(shape, generator=torch.Generator().manual_seed(0)), affine=torch.eye(4))
    assert len(_pack(image, MetaTensor(label), MetaTensor(label))) < 12_000


def test_a_background_of_zero_is_dark():
    """Normalized without the background, its 0 is the mean of the brain."""
    image = torch.zeros(1, 8, 8, 8)
    image[:, 2:6, 2:6, 2:6] = torch.linspace(-2, 2, 64).reshape(4, 4, 4)
    label = MetaTensor((image != 0).float(), affine=torch.eye(4))
    with np.load(io.BytesIO(_pack(MetaTensor(image, affine=torch.eye(4)), label, label))) as content:
        assert content["slice_2"][0, 0] == 0


@pytest.mark.parametrize("shape", [(1, 9, 8), (1, 9, 8, 1)])
def test_planes_and_volumes_of_depth_one_are_really_drawn(tmp_path, shape):
    label = torch.zeros(shape)
    label[:, 2:5, 2:5] = 1
    sample = {"image": torch.randn(shape), "label": label, "case": "a", "patient": 0}
    if len(shape) == 4:
        sample = {k: MetaTensor(v, affine=LPS) if k in ("image", "label") else v for k, v in sample.items()}
    handlers = [ScoreCases(Overlap(), spacing=(1.0,) * (len(shape) - 1)), SaveOverlays(tmp_path)]
    network = torch.nn.Sequential(torch.nn.Identity())
    SupervisedEvaluator("cpu", DataLoader([sample]), network, val_handlers=handlers, postprocessing=_threshold).run()
    assert (tmp_path / "best_a.png").read_bytes().startswith(b"\x89PNG")


def _threshold(sample):
    return {**sample, "pred": (sample["pred"] > 0).float()}
