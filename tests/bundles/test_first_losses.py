"""The shipped pretext tasks begin where theory says, their samples do not depend on who prepares them, and what a run
leaves is what trained: its encoder goes into a U-Net, its passport names its puzzles.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose

from medvol.engines.reconstructions import RECONSTRUCTIONS
from medvol.networks import Encoder, load_pretrained
from medvol.networks.weights import read_weights
from medvol.passport import read_passport, rows_hash

ROOT = Path(__file__).parents[2] / "bundles"
PRETEXT = sorted(p.parent.name for p in ROOT.glob("*/train.json") if not (p.parent / "evaluate.json").exists())
CLASSES = {"rpl3d": 26, "rpl2d": 8, "jigsaw3d": 100, "jigsaw2d": 72, "rotation3d": 10, "rotation2d": 4}
RESTORED = {"genesis3d", "genesis2d", "mae3d", "mae2d", "spark3d", "simmim3d", "volumefusion3d"}
QUICK = {"rpl3d", "jigsaw3d", "rotation2d", "cpc2d"}


def some(bundles: list[str], quick: set[str] = QUICK) -> list:
    """Bundles, of which most are slow."""
    return [b if b in quick else pytest.param(b, marks=pytest.mark.slow) for b in bundles]


def workflow(bundle: str, given: dict) -> ConfigWorkflow:
    found = ConfigWorkflow(config_file=str(ROOT / bundle / "train.json"), workflow_type="train", **given)
    found.initialize()
    return found


def batches(flow: ConfigWorkflow, count: int) -> list[dict]:
    loader = iter(flow.parser.get_parsed_content("train::dataloader"))
    return [next(loader) for _ in range(count)]


@pytest.mark.parametrize("bundle", some([b for b in PRETEXT if b in CLASSES]))
def test_the_first_loss_is_the_logarithm_of_the_classes(bundle: str, overrides: Callable[..., dict]) -> None:
    flow = workflow(bundle, overrides(bundle))
    parts = {key: flow.parser.get_parsed_content(key) for key in ("network", "loss", "prepare_batch")}
    image, label, more, _ = parts["prepare_batch"](batches(flow, 1)[0])
    logits = parts["network"](image, *more)
    assert logits.shape[1] == CLASSES[bundle]
    assert (label >= 0).any()
    assert parts["loss"](logits, label).item() == pytest.approx(math.log(CLASSES[bundle]), rel=1e-6)


@pytest.mark.parametrize("bundle", some(["cpc3d", "cpc2d"]))
def test_the_first_loss_is_near_the_logarithm_of_the_candidates(bundle: str, overrides: Callable[..., dict]) -> None:
    """Not exactly, for predictions point somewhere from the start."""
    flow = workflow(bundle, overrides(bundle))
    parts = {key: flow.parser.get_parsed_content(key) for key in ("network", "loss", "prepare_batch")}
    torch.manual_seed(0)
    image, label, more, _ = parts["prepare_batch"](batches(flow, 1)[0])
    output = parts["network"](image, *more)
    _, _, positive, valid = output
    assert (positive >= 0).any()
    expected = valid[positive >= 0].sum(dim=1).double().log().mean().item()
    assert parts["loss"](output, label).item() == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["exemplar3d", "exemplar2d"])
def test_the_loss_of_equal_embeddings_is_the_logarithm_of_the_candidates(
    bundle: str, overrides: Callable[..., dict]
) -> None:
    """The bundle's loss on its labels; embeddings of the shape of the network's, all the same."""
    flow = workflow(bundle, overrides(bundle, batch_size=3))
    batch = batches(flow, 1)[0]
    assert len(set(batch["label"].tolist())) > 1
    embeddings = flow.parser.get_parsed_content("network")(batch["image"])
    loss = flow.parser.get_parsed_content("loss")
    negatives = [2 * int((batch["label"] != patient).sum()) for patient in batch["label"]]
    expected = sum(math.log(n + 1) for n in negatives) / len(negatives)
    assert loss(torch.ones_like(embeddings), batch["label"]).item() == pytest.approx(expected, rel=1e-5)


def with_zeros(bundle: str, overrides: Callable[..., dict]) -> tuple[float, dict]:
    """The bundle's own loss of a network that answers 0 everywhere, on a batch of the bundle, and that batch."""
    flow = workflow(bundle, overrides(bundle, batch_size=2))
    parts = {key: flow.parser.get_parsed_content(key) for key in ("network", "loss", "prepare_batch")}
    batch = batches(flow, 1)[0]
    image, label, more, _ = parts["prepare_batch"](batch)
    with torch.no_grad():
        output = parts["network"](image, *more)
    pair = isinstance(output, tuple)
    zeros = (torch.zeros_like(output[0]), output[1]) if pair else torch.zeros_like(output)
    return parts["loss"](zeros, label).item(), batch


@pytest.mark.parametrize("bundle", some(["mae3d", "mae2d", "spark3d", "simmim3d"], {"mae3d"}))
def test_the_loss_of_zeros_is_the_mean_over_hidden_voxels(bundle: str, overrides: Callable[..., dict]) -> None:
    """Of the squares, or in SimMIM of the absolute values; visible voxels do not count."""
    loss, batch = with_zeros(bundle, overrides)
    clean, mask = batch["label"], batch["mask"]
    values = clean[mask.expand_as(clean) > 0.5].double()
    assert 0 < len(values) < clean.numel()
    expected = values.abs().mean() if bundle == "simmim3d" else values.square().mean()
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_of_equal_scores_of_shares_is_known(overrides: Callable[..., dict]) -> None:
    """Cross-entropy ln 5, and Dice of all five classes, the first among them, from the numbers of their voxels."""
    loss, batch = with_zeros("volumefusion3d", overrides)
    label = batch["label"].flatten(1)
    assert {0.0} < set(label.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    voxels, s = label.shape[1], 1e-5
    counts = torch.stack([(label == share).sum(1) for share in range(5)], 1).double()  # (samples, classes)
    dice = (1 - (2 * counts / 5 + s) / (voxels / 5 + counts + s)).mean().item()
    assert loss == pytest.approx(math.log(5) + dice, rel=1e-5)


GENESIS = some(["genesis3d", "genesis2d"], {"genesis3d"})
PROBABILITIES = {"flip_prob": 0.4, "shuffle_prob": 0.5, "curve_prob": 0.9, "paint_prob": 0.9, "outer_prob": 0.8}


@pytest.mark.parametrize("bundle", ["genesis3d", "genesis2d"])
def test_distortions_stand_in_the_published_order_with_the_published_probabilities(bundle: str) -> None:
    config = json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))
    assert {key: config[key] for key in PROBABILITIES} == PROBABILITIES
    chain = config["train"]["preprocessing"]["transforms"]
    names = [step["_target_"].rpartition(".")[2] for step in chain]
    copied = names.index("CopyItemsd")  # what is before it happens to the target, too
    assert names[copied - 3 :] == [
        "RandAxisFlipsd", "Compose", "DeleteItemsd", "CopyItemsd",
        "RandLocalShuffled", "RandBezierIntensityd", "RandPaintd", "ScaleIntensityRanged", "DeleteItemsd",
    ]  # fmt: skip
    read = [step["prob"] for step in (chain[copied - 3], *chain[copied + 1 : copied + 4])]
    assert read == ["@flip_prob", "@shuffle_prob", "@curve_prob", "@paint_prob"]
    assert chain[copied + 3]["outer_prob"] == "@outer_prob"
    scaling = chain[copied - 2]["transforms"]
    assert all(step["keys"] == ["image"] for step in (*scaling, *chain[copied : copied + 5]))


@pytest.mark.parametrize("bundle", GENESIS)
def test_without_distortions_the_target_is_the_image(bundle: str, overrides: Callable[..., dict]) -> None:
    """And the target of a place in the stream is the same, bit for bit, however the image is distorted."""
    never = {"shuffle_prob": 0.0, "curve_prob": 0.0, "paint_prob": 0.0}
    last = {"train::preprocessing::transforms::16::_disabled_": True}  # what leaves the range of the target
    shipped, still = (
        workflow(bundle, overrides(bundle, **more)).parser.get_parsed_content("train::dataset")
        for more in ({}, {**never, **last})
    )
    distorted = 0
    for position in range(4):
        place = (position % len(shipped), position)
        found, clean = shipped[place], still[place]
        assert torch.equal(clean["image"], clean["label"])
        assert torch.equal(found["label"], clean["label"])
        distorted += not torch.allclose(found["image"], clean["label"] * 4 - 2, atol=1e-5)
    assert distorted


@pytest.mark.filterwarnings("ignore:Divide by zero")
@pytest.mark.parametrize("bundle", ["genesis3d", "genesis2d"])
def test_a_crop_of_one_value_stays_finite(bundle: str) -> None:
    """As crops of padding or of air are; MONAI's scaling says that it would divide by zero."""
    parser = ConfigParser(json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8")))
    chain = parser.get_parsed_content("train::preprocessing").transforms[9:]
    size = [24, 24, 24 if bundle == "genesis3d" else 1]
    sample = {"image": torch.full((4, *size), 3.0), "foreground": torch.ones(1, *size), "label": "path"}
    sample = Compose(chain).set_random_state(0)(sample)
    assert torch.isfinite(sample["image"]).all()
    assert (sample["label"] == 0).all()
    sample = {"image": torch.full((4, *size), 3.0), "foreground": torch.ones(1, *size), "label": "path"}
    sample["image"][0, 4, 5] = 900.0  # one bright voxel, or line, above the percentiles
    sample = Compose(chain).set_random_state(0)(sample)
    assert set(sample["label"].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("bundle", PRETEXT)
def test_samples_do_not_depend_on_the_number_of_workers(bundle: str, overrides: Callable[..., dict]) -> None:
    alone, two = (batches(workflow(bundle, overrides(bundle, num_workers=n, restart=True)), 6) for n in (0, 2))
    for mine, theirs in zip(alone, two, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            same = torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor) else value == theirs[key]
            assert same, key


@pytest.mark.slow
@pytest.mark.parametrize("bundle", [b for b in PRETEXT if b not in RESTORED])
def test_a_record_names_every_patch_or_view(bundle: str, overrides: Callable[..., dict]) -> None:
    """What the preview reads is there, in plain values."""
    dataset = workflow(bundle, overrides(bundle)).parser.get_parsed_content("train::dataset")
    assert isinstance(dataset.transform, Compose)
    sample = dataset[0, 0]
    record = sample["pretext"]
    assert {"boxes", "crop"} & set(record)
    assert json.loads(json.dumps(record)) == record
    for name, key in (("boxes", "image"), ("names", "image"), ("class", "label")):
        if name in record:
            assert len(record[name]) == len(sample[key]), name


def segmentation_network(config: dict) -> torch.nn.Module:
    parser = ConfigParser(json.loads((ROOT / "unet_brats" / "train.json").read_text(encoding="utf-8")))
    parser["spatial_dims"], parser["filters"] = config["spatial_dims"], [8, 8, 8]
    return parser.get_parsed_content("network_def")


@pytest.mark.parametrize("bundle", some([b for b in PRETEXT if b not in RESTORED], {"rpl3d"}))
def test_the_encoder_of_a_run_goes_into_the_segmentation_network(bundle: str, trained: dict[str, Path]) -> None:
    """Acceptance test 21: every tensor of the file arrives, and the features are the same."""
    run = trained[bundle]
    config = json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))
    source = segmentation_network(config)
    stored = read_weights(run / "model.pt")
    unknown = source.load_state_dict({key: value.clone() for key, value in stored.items()}, strict=False)
    assert not unknown.unexpected_keys
    target = segmentation_network(config)
    load_pretrained(target, run / "model.pt", scope="encoder", adapt=config["modalities"])
    arrived = target.state_dict()
    assert stored.keys() <= arrived.keys()
    assert not [key for key, value in stored.items() if not torch.equal(arrived[key], value)]
    image = torch.randn(1, len(config["modalities"]), *[16] * config["spatial_dims"])
    with torch.no_grad():
        mine, theirs = Encoder(target, output="last")(image), Encoder(source, output="last")(image)
    assert torch.allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("bundle", some(sorted(RESTORED - {"simmim3d"}), {"mae3d"}))
def test_a_restoring_network_goes_into_the_segmentation_network(bundle: str, trained: dict[str, Path]) -> None:
    """With its encoder, or with all of it but the output layer; nothing else changes."""
    run = trained[bundle]
    config = json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))
    stored = read_weights(run / "model.pt")
    for scope in ("encoder", "all"):
        target = segmentation_network(config)
        before = {key: value.clone() for key, value in target.state_dict().items()}
        encoder = {value.data_ptr() for value in Encoder(target).state_dict().values()}
        output = {value.data_ptr() for value in target.output_block.state_dict().values()}
        load_pretrained(target, run / "model.pt", scope=scope, adapt=config["modalities"])
        for key, value in target.state_dict().items():
            loaded = value.data_ptr() in encoder if scope == "encoder" else value.data_ptr() not in output
            assert torch.equal(value, stored[key] if loaded else before[key]), (scope, key)


@pytest.mark.parametrize("bundle", some(sorted(RESTORED), {"mae3d"}))
def test_a_run_leaves_a_picture_of_what_was_restored(bundle: str, trained: dict[str, Path]) -> None:
    """One for each validation, the last after the last step; what is on it: tests/engines/test_reconstructions.py."""
    pictures = sorted((trained[bundle] / RECONSTRUCTIONS).iterdir())
    assert pictures[-1].name == "000002.png"
    assert all(imread(png)[..., :3].std() > 0.05 for png in pictures)  # not of one color


@pytest.mark.slow
@pytest.mark.parametrize("bundle", sorted(RESTORED - {"volumefusion3d"}))
def test_what_is_to_be_restored_is_the_clean_image(bundle: str, overrides: Callable[..., dict]) -> None:
    """The label is the crop before it was distorted; masked methods leave the image itself alone."""
    flow = workflow(bundle, overrides(bundle))
    dataset = flow.parser.get_parsed_content("train::dataset")
    for position in range(6):
        sample = dataset[position % len(dataset), position]
        image, label = sample["image"], sample["label"]
        assert image.shape == label.shape == (len(flow.parser.config["modalities"]), *overrides(bundle)["crop_size"])
        if "mask" in sample:
            assert torch.equal(image, label)
            assert 0 < sample["mask"].mean() < 1
        else:  # restored in [0, 1], seen on the scale of a fine-tuning
            assert label.min() >= 0
            assert label.max() <= 1
            assert image.abs().max() <= 2 + 1e-5
            assert image.abs().max() > 1


@pytest.mark.parametrize("bundle", some(["jigsaw3d", "jigsaw2d"]))
def test_the_passport_of_a_run_names_the_puzzles_that_it_showed(
    bundle: str, trained: dict[str, Path], overrides: Callable[..., dict]
) -> None:
    dataset = workflow(bundle, overrides(bundle)).parser.get_parsed_content("train::dataset")
    (shown,) = [step.permutations for step in dataset.transform.transforms if hasattr(step, "permutations")]
    found = read_passport(trained[bundle] / "model.pt")["permutations"]
    assert found == rows_hash(shown)
    assert found != rows_hash(shown[::-1])
