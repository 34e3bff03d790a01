"""The whole way of a case: file, network, native grid, saved label map, scores; and embeddings."""

import csv
import itertools
import json
import logging

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointSaver

from medvol.engines import evaluation
from medvol.engines.evaluation import COLUMNS, SaveEmbeddings, ScoreCases
from medvol.metrics import BRATS_REGIONS, SegmentationScores

LABELS = {"necrosis": 1, "oedema": 2, "enhancing": 4}
SPACING = (1.1, 0.9, 2.5)
INTENSITY = {0: 0.0, 2: 100.0, 1: 200.0, 4: 300.0}  # by label, so that thresholds give the nested regions
CONFIG = {
    "device": "$torch.device('cpu')",
    "label_map": LABELS,
    "regions": BRATS_REGIONS,
    "validate": {
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": ["image", "label"], "allow_missing_keys": True},
                {"_target_": "EnsureChannelFirstd", "keys": ["image", "label"], "allow_missing_keys": True},
                {"_target_": "medvol.transforms.SelectChannelsd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"},
                {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True},
            ],
        },
        "inferer": {
            "_target_": "medvol.engines.FlipInferer",
            "inferer": {
                "_target_": "SlidingWindowInferer",
                "roi_size": [16, 16, 16],
                "sw_batch_size": 4,
                "overlap": 0.5,
                "mode": "gaussian",
            },
            "axes": [0, 2],
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@validate::preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                },
                {
                    "_target_": "medvol.transforms.RegionsToLabelsd",
                    "keys": "pred",
                    "label_map": "@label_map",
                    "regions": "@regions",
                },
                {"_target_": "medvol.transforms.SavePredictiond", "keys": "pred", "output_dir": "@output_dir"},
            ],
        },
        "handlers": [
            {
                "_target_": "medvol.engines.ScoreCases",
                "scores": {
                    "_target_": "medvol.metrics.SegmentationScores",
                    "regions": "@regions",
                    "label_map": "@label_map",
                },
                "path": "$@output_dir + '/metrics.csv'",
                "run": "abc",
                "arm": "scratch",
                "seed": 3,
            }
        ],
    },
}


class Levels(torch.nn.Module):
    """A network that knows the intensity of each region: logits of WT, TC, ET from the first channel."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def forward(self, x):
        return torch.cat([20 * (x - level) for level in self.levels], dim=1)


def affine_of(codes, angle=0.2, spacing=SPACING):
    """A rotated, flipped, anisotropic affine whose closest axes are ``codes``."""
    start = nibabel.orientations.axcodes2ornt(codes)
    flip = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(start):
        flip[int(world), axis] = sign
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ flip @ np.diag(spacing)
    affine[:3, 3] = (12.0, -30.0, 7.5)
    assert nibabel.aff2axcodes(affine) == tuple(codes)
    return affine


def write_case(folder, name, affine, shape=(34, 30, 14), with_label=True):
    """Two image files and a label file with an asymmetric nested target; returns the data item."""
    label = np.zeros(shape, dtype=np.uint8)
    label[4:28, 6:22, 2:11] = 2
    label[8:24, 8:18, 3:9] = 1
    label[8:18, 8:14, 4:8] = 4
    image = np.vectorize(INTENSITY.__getitem__)(label).astype(np.float32)
    folder.mkdir(exist_ok=True)
    item = {"image": [], "case": name, "patient": len(name), "channels": [1]}
    for suffix, data in (("t1", -image), ("flair", image), ("seg", label)):
        file = folder / f"{name}_{suffix}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(data, affine), file)
        item["image"] += [str(file)] if suffix != "seg" else []
        item.update({"label": str(file)} if suffix == "seg" and with_label else {})
    return item, label


def run_chain(items, config, **options):
    """Run a MONAI evaluator built from the JSON, as a bundle would."""
    parser = ConfigParser(json.loads(json.dumps(config)))
    preprocess = parser.get_parsed_content("validate::preprocessing")
    image = preprocess(items[0])["image"]
    # Normalization is linear: find where it put the middle between two intensities.
    low, high = float(image.min()), float(image.max())
    levels = [low + (high - low) * middle / 300 for middle in (50, 150, 250)]
    evaluator = SupervisedEvaluator(
        device=parser.get_parsed_content("device"),
        val_data_loader=DataLoader([preprocess(item) for item in items], batch_size=1),
        network=Levels(levels),
        inferer=parser.get_parsed_content("validate::inferer"),
        postprocessing=parser.get_parsed_content("validate::postprocessing"),
        val_handlers=parser.get_parsed_content("validate::handlers"),
        decollate=True,
        **options,
    )
    evaluator.run()
    return evaluator


@pytest.mark.parametrize(("codes", "native"), [("LPS", False), ("SLA", False), ("PIR", True)])
def test_from_a_foreign_orientation_to_native_scores_and_files(tmp_path, codes, native):
    affine = affine_of(codes)
    item, label = write_case(tmp_path / "in", "patient.01", affine)
    config = json.loads(json.dumps(CONFIG))
    if native:  # no resampling: the way there and back must then be exact
        turned = np.array(SPACING)[np.argsort(nibabel.orientations.axcodes2ornt(codes)[:, 0])]
        config["validate"]["preprocessing"]["transforms"][4]["pixdim"] = turned.tolist()
    config["output_dir"] = str(tmp_path / "out")
    evaluator = run_chain([item], config)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.csv", "patient.01.nii.gz"]
    saved = nibabel.load(tmp_path / "out" / "patient.01.nii.gz")
    prediction = np.asarray(saved.dataobj)
    assert saved.get_data_dtype() == np.uint8
    assert saved.shape == label.shape
    assert np.allclose(saved.affine, affine, atol=1e-4)
    assert set(np.unique(prediction)) == {0, 1, 2, 4}
    for value in (1, 2, 4):
        one, two = prediction == value, label == value
        assert 2 * np.sum(one & two) / (one.sum() + two.sum()) > 0.9
    assert not native or np.array_equal(prediction, label)
    # The file says the same as a direct comparison of the two files on disk.
    expected = SegmentationScores(BRATS_REGIONS, LABELS)(prediction, label, SPACING)
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {(row["region"], row["metric"]): float(row["value"]) for row in rows} == pytest.approx(
        {(row["region"], row["metric"]): row["value"] for row in expected}, rel=1e-5
    )
    assert {(row["case"], row["patient"], row["seed"], row["arm"], row["run"]) for row in rows} == {
        ("patient.01", "10", "3", "scratch", "abc")
    }
    mean = np.mean([row["value"] for row in expected if row["metric"] == "dice"])
    assert evaluator.state.metrics["mean_dice"] == pytest.approx(mean)
    assert evaluator.state.metrics["ET_dice"] > 0.9


def test_without_inversion_the_scores_are_refused(tmp_path):
    item, _ = write_case(tmp_path / "in", "a", affine_of("LPS", angle=0.0, spacing=(1.0, 1.0, 1.0)))
    config = json.loads(json.dumps(CONFIG))
    config["output_dir"] = str(tmp_path / "out")
    del config["validate"]["postprocessing"]["transforms"][1]
    with pytest.raises(ValueError, match=r"case 'a' must have one affine.*Invertd"):
        run_chain([item], config)
    assert not (tmp_path / "out" / "metrics.csv").exists()


def test_cases_of_any_shape_and_cases_without_a_label(tmp_path, caplog):
    items = [
        write_case(tmp_path / "in", "b", affine_of("LPS"))[0],
        write_case(tmp_path / "in", "aaa", affine_of("RAS"), shape=(31, 29, 13))[0],
        write_case(tmp_path / "in", "cc", affine_of("SLA"), with_label=False)[0],
    ]
    config = {**json.loads(json.dumps(CONFIG)), "output_dir": str(tmp_path / "out")}
    config["validate"]["inferer"] = {"_target_": "SimpleInferer"}
    with caplog.at_level(logging.INFO):
        evaluator = run_chain(items, config)
    assert "1 cases without 'label' were not scored" in caplog.text
    text = (tmp_path / "out" / "metrics.csv").read_text()
    lines = [line.split(",")[:4] for line in text.splitlines()]
    assert lines[0] == ["case", "patient", "region", "metric"]
    assert lines[1:] == [
        [case, patient, region, metric]
        for case, patient in (("aaa", "3"), ("b", "1"))
        for region in ("ET", "TC", "WT")
        for metric in ("dice", "hd95", "lesion_dice", "lesion_hd95")
    ]
    assert (tmp_path / "out" / "cc.nii.gz").exists()
    evaluator.run()
    assert (tmp_path / "out" / "metrics.csv").read_text() == text


class Fixed:
    """Scores made from the values of prediction and reference."""

    def __call__(self, prediction, reference, spacing):
        value = float(prediction.sum() - reference.sum()) * spacing[0]
        return [{"region": "ET", "metric": "dice", "value": value}]

    def mean(self, rows):
        return {"mean_dice": sum(row["value"] for row in rows) / len(rows)}


def loader(values, batch_size=2, **entries):
    items = [
        {
            "image": MetaTensor(torch.full((1, 2, 2), float(value)), affine=np.diag([0.1, 1, 1, 1])),
            "label": MetaTensor(torch.zeros(1, 2, 2), affine=np.diag([0.1, 1, 1, 1])),
            "case": f"case{number}",
            "patient": number,
        }
        for number, value in enumerate(values)
    ]
    for key, value in entries.items():
        for item in items:
            item[key] = value
    return DataLoader([{k: v for k, v in item.items() if v is not None} for item in items], batch_size=batch_size)


def evaluator_of(handlers, values=(1, 2, 4), **options):
    entries = options.pop("entries", {})
    return SupervisedEvaluator(
        device="cpu",
        val_data_loader=loader(values, **entries),
        network=torch.nn.Identity(),
        val_handlers=handlers,
        **options,
    )


def test_numbers_are_written_so_that_they_read_back_exactly(tmp_path):
    evaluator_of([ScoreCases(Fixed(), tmp_path / "new" / "m.csv")], values=(1, 2, 1 / 3)).run()
    with (tmp_path / "new" / "m.csv").open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    spacing = float(np.sqrt(0.1**2))
    assert values == pytest.approx([4 * spacing, 8 * spacing, 4 / 3 * spacing], rel=1e-6)
    assert all(repr(value) in (tmp_path / "new" / "m.csv").read_text() for value in values)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.csv"]


def test_means_are_there_for_later_handlers_and_start_anew_each_run(tmp_path):
    model = torch.nn.Identity()
    saver = CheckpointSaver(str(tmp_path), {"net": model}, save_key_metric=True, key_metric_name="mean_dice")
    evaluator = evaluator_of([ScoreCases(Fixed(), spacing=(3.0, 1.0)), saver])
    for _ in range(2):
        evaluator.run()
        assert evaluator.state.metrics["mean_dice"] == pytest.approx(28.0)
    assert [path.name for path in tmp_path.iterdir()] == ["net_key_metric=28.0000.pt"]


def test_ranks_are_joined_and_repeated_cases_count_once(tmp_path, monkeypatch):
    """The second rank reports one new case and, as padding, one that the first rank also had."""
    score = ScoreCases(Fixed(), tmp_path / "m.csv", spacing=(1.0, 1.0))

    def two_ranks(part):
        rows, skipped = part
        again = dict(itertools.islice(rows.items(), 1))
        new = {"case9": [{**next(iter(again.values()))[0], "case": "case9", "value": 100.0}]}
        return [part, ({**again, **new}, skipped + 2)]

    monkeypatch.setattr(evaluation, "gather_objects", two_ranks)
    evaluator = evaluator_of([score])
    evaluator.run()
    assert evaluator.state.metrics["mean_dice"] == pytest.approx((4 + 8 + 16 + 100) / 4)
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 5
    monkeypatch.setattr(evaluation, "is_main", lambda: False)
    (tmp_path / "m.csv").unlink()
    evaluator.run()
    assert not (tmp_path / "m.csv").exists()


def test_wrong_evaluators_and_cases_are_refused(tmp_path):
    score = ScoreCases(Fixed(), tmp_path / "m.csv")
    for options, message in [
        ({"decollate": False}, "decollate=True"),
        ({"entries": {"case": None}}, r"'case' \(a name\).*None"),
        ({"entries": {"patient": None}}, r"'patient' \(an integer\)"),
        ({"entries": {"case": "same"}}, "'same' came twice"),
        ({"entries": {"label": torch.zeros(1, 2, 2)}}, "MetaTensor with an affine.*LoadImaged"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluator_of([score], **options).run()
    with pytest.raises(ValueError, match=r"end in \.npz"):
        SaveEmbeddings(tmp_path / "e.csv")


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_embeddings_are_the_spatial_means_sorted_by_case(tmp_path, batch_size):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 5, 1)
    cases = DataLoader(
        [
            {"image": torch.randn(1, 6, 4), "case": name, "patient": patient}
            for name, patient in (("c", 3), ("a", 7), ("b", 7))
        ],
        batch_size=batch_size,
    )
    path = tmp_path / "deep" / "embeddings.npz"
    evaluator = SupervisedEvaluator(
        device="cpu", val_data_loader=cases, network=network, val_handlers=[SaveEmbeddings(path)]
    )
    evaluator.run()
    first = path.read_bytes()
    with np.load(path) as saved:
        assert saved["cases"].tolist() == ["a", "b", "c"]
        assert saved["patients"].tolist() == [7, 7, 3]
        embeddings = saved["embeddings"]
    assert embeddings.dtype == np.float32
    order = {item["case"]: item["image"] for item in cases.dataset}
    with torch.no_grad():
        expected = torch.stack([network(order[name][None]).mean((0, 2, 3)) for name in "abc"])
    assert np.allclose(embeddings, expected.numpy(), atol=1e-6)
    evaluator.run()
    assert path.read_bytes() == first


def test_vectors_are_kept_as_they_are(tmp_path):
    network = torch.nn.Flatten()
    cases = DataLoader([{"image": torch.arange(6.0).view(1, 2, 3), "case": "a", "patient": 0}])
    path = tmp_path / "e.npz"
    SupervisedEvaluator("cpu", cases, network, val_handlers=[SaveEmbeddings(path)]).run()
    with np.load(path) as saved:
        assert saved["embeddings"].tolist() == [[0, 1, 2, 3, 4, 5]]
