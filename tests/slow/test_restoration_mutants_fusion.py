"""Defects put into volume fusion and into the drawing of partners: each must be found, for the reason it has."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from defects import put
from monai.transforms import Compose, RandGaussianNoised

from medvol.data import StreamDataset, datasets, partner, stream_loader
from medvol.metrics import VoxelAccuracy, voxels
from medvol.transforms import RandVolumeFusiond, fusion

pytestmark = pytest.mark.slow

SHAPE = (26, 14, 19)  # no two axes alike
PATIENTS = [0, 0, 0, 1, 2, 2]


def fused() -> None:
    """Image and map, from the recorded boxes; an own image is above 4, a partner's below -4."""
    own, other = torch.rand(2, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        sample = {"image": own + 4, "partner_image": other - 5}
        result = RandVolumeFusiond("image", side=(4, 0.5)).set_random_state(seed)(sample)
        expected = np.zeros(SHAPE, dtype=int)
        for start, stop, number in result["pretext"]["fusion"]:
            expected[tuple(map(slice, start, stop))] = number
        assert set(np.unique(expected)) == {0, 1, 2, 3, 4}, "the test has power"
        label = result["label"][0].long().numpy()
        assert label.shape == SHAPE, "label: of another shape"
        assert (label == expected).all(), "label: not the class of the last box"
        share = torch.as_tensor(expected) / 4
        mixed = share * sample["image"] + (1 - share) * sample["partner_image"]
        assert torch.allclose(result["image"], mixed), "image: not the share of its class"


def boxes() -> None:
    """What is drawn, over many draws."""
    task, sides, numbers = RandVolumeFusiond("image").set_random_state(0), [], set()
    for _ in range(300):
        task.randomize((32, 64, 48))
        assert (task.start >= 0).all(), "boxes: outside"
        assert (task.stop <= (32, 64, 48)).all(), "boxes: outside"
        sides.append(task.stop - task.start)
        numbers |= set(task.drawn.tolist())
    assert numbers == {0, 1, 2, 3, 4}, "boxes: another set of classes"
    assert np.concatenate(sides).min(axis=0).tolist() == [8, 8, 8], "boxes: another least side"
    assert np.concatenate(sides).max(axis=0).tolist() == [20, 40, 30], "boxes: another largest side"


def paired(kind: str | None = "patient") -> StreamDataset:
    rows = [{"image": torch.full((1, 3), float(n)), "number": n, "patient": p} for n, p in enumerate(PATIENTS)]
    return StreamDataset(rows, Compose([RandGaussianNoised("image", 1.0)]), 3, tempfile.mkdtemp(), partner=kind)


def partners() -> None:
    """Whose the second items are, and that the first ones do not change."""
    data, plain, seen = paired(), paired(None), set()
    for position in range(120):
        index = position % len(PATIENTS)
        sample = data[index, position]
        assert sample["partner_patient"] != sample["patient"], "partner: of the same patient"
        assert torch.equal(sample["image"], plain[index, position]["image"]), "sample: other draws with a partner"
        seen.add((index, sample["partner_number"]))
    assert len(seen) == sum(a != b for a in PATIENTS for b in PATIENTS), "partner: never some of the items"


def workers() -> None:
    """That the stream is the same for any number of workers."""
    alone, *others = (
        [batch["partner_number"].tolist() for batch in islice(stream_loader(paired(), 3, 5, number), 6)]
        for number in (0, 1, 2)
    )
    assert all(found == alone for found in others), "stream: other partners in a worker"


def accuracy() -> None:
    """The monitor on a map of known answers."""
    label = torch.tensor([[[0, 0, 0, 0, 1, 2]], [[1, 1, 1, 1, 1, 1]]])
    answer = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    monitor = VoxelAccuracy()
    monitor.update(torch.nn.functional.one_hot(answer, 4).movedim(-1, 1).float(), label)
    found = monitor.compute()
    assert found["accuracy"] == pytest.approx(7 / 12), "accuracy: another"
    assert found["chance"] == pytest.approx(10 / 12), "chance: another"
    assert found["dice"] == pytest.approx(((6 / 7 + 2 / 4 + 0) / 3 + 6 / 9) / 2), "dice: another"


ORACLES = (fused, boxes, partners, workers, accuracy)


class Mutant(NamedTuple):
    """A defect: its name, what must find it and say, and the one place in a function's source that it changes."""

    name: str
    oracle: Callable[[], None]
    words: str
    owner: Any
    function: str
    old: str
    new: str

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, self.owner, self.function, [(self.old, self.new)])


FUSION, PARTNERS = fusion.RandVolumeFusiond, partner.Partners
LABEL, IMAGE = "label: not the class of the last box", "image: not the share of its class"

MUTANTS = [
    Mutant("fused map off by one class", fused, LABEL, FUSION, "__call__",
           "= fusion_map[None]", "= (fusion_map[None] + 1) % (self.classes + 1)"),
    Mutant("the share is (c + 1) / (K + 1)", fused, IMAGE, FUSION, "__call__",
           "fusion_map.to(own.device, own.dtype) / self.classes",
           "(fusion_map.to(own.device, own.dtype) + 1) / (self.classes + 1)"),
    Mutant("foreground and background exchanged", fused, IMAGE, FUSION, "__call__",
           "share * own + (1 - share) * partner", "share * partner + (1 - share) * own"),
    Mutant("a mixture of more than one", fused, IMAGE, FUSION, "__call__",
           "+ (1 - share) * partner", "+ partner"),
    Mutant("earlier boxes overwrite", fused, LABEL, FUSION, "_map",
           "zip(self.start, self.stop, self.drawn, strict=True)",
           "zip(self.start[::-1], self.stop[::-1], self.drawn[::-1], strict=True)"),
    Mutant("map transposed", fused, LABEL, FUSION, "_map",
           "return fusion_map", "return np.ascontiguousarray(fusion_map.T).reshape(shape)"),
    Mutant("map of the axes in another order", fused, "label: of another shape", FUSION, "__call__",
           "= fusion_map[None]", "= fusion_map.permute(2, 1, 0)[None]"),
    Mutant("the last class is never drawn", boxes, "boxes: another set of classes", FUSION, "randomize",
           "self.R.randint(0, self.classes + 1, size=count)", "self.R.randint(0, self.classes, size=count)"),
    Mutant("the largest side is that of the first axis", boxes, "boxes: another largest side|boxes: outside",
           FUSION, "randomize", "int(self.side[1] * size)", "int(self.side[1] * shape[0])"),
    Mutant("boxes that end outside", boxes, "boxes: outside", FUSION, "randomize",
           "self.R.randint(0, size - sides + 1)", "self.R.randint(0, size, size=count)"),
    Mutant("partner of the same patient", partners, "partner: of the same patient", PARTNERS, "index",
           "place + self._counts[group] * (place >= self._first[group])", "place"),
    Mutant("partner is the next item of another patient", partners, "partner: never some of the items", PARTNERS,
           "index", "generator.randint(len(self._codes) - self._counts[group])",
           "self._first[group] % (len(self._codes) - self._counts[group])"),
    Mutant("the partner takes from the transforms' draws", partners, "sample: other draws with a partner",
           datasets.StreamDataset, "__getitem__",
           "_seed_of(self.seed, position)", "_seed_of(self.seed, position + (self._partners is not None))"),
    Mutant("the partner's seed depends on the worker", workers, "stream: other partners in a worker", PARTNERS, "index",
           "(self.seed, position)", "(self.seed, position, __import__('os').getpid())"),
    Mutant("chance is that of equal classes", accuracy, "chance: another", voxels.VoxelAccuracy, "update",
           "there.amax(dim=1).sum()", "there.sum() / classes"),
    Mutant("Dice of absent classes", accuracy, "dice: another", voxels.VoxelAccuracy, "update",
           "present = there > 0", "present = there >= 0"),
    Mutant("Dice without its two", accuracy, "dice: another", voxels.VoxelAccuracy, "update",
           "(2 * right /", "(right /"),
]  # fmt: skip


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
def test_the_oracle_passes(oracle: Callable[[], None]) -> None:
    oracle()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_oracle_finds_the_defect(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.words):
        mutant.oracle()
