"""Defects of masks, of the loss on hidden voxels and of its monitor, one at a time: an oracle must find each.

A defect is an edit of a function's source that must apply exactly once, so that none goes missing when the code
changes; ``words`` are what the oracle must say, so that it fails for that reason and no other. All volumes have sizes
of their own along each axis: on a cube a transposed mask stays unseen.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from defects import put
from monai.engines import PrepareBatchExtraInput
from monai.networks.nets import UNet
from torch import nn

from medvol.data import StreamDataset, stream_loader
from medvol.engines import PretextValidator, Trainer
from medvol.losses.restoration import RestorationLoss
from medvol.metrics.restoration import RestorationError
from medvol.networks import masked_autoencoder
from medvol.transforms import masking
from medvol.transforms.masking import RandBlockMaskd

pytestmark = pytest.mark.slow

SIZE, BLOCK, COUNT = (8, 12, 20), (4, 2, 4), 60


def volume(channels: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, *SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A reconstruction, the mask, the label with voxels left out, and what counts."""
    x, clean = (torch.stack([volume(seed=s), volume(seed=s + 1)]) for s in (1, 3))
    mask = torch.stack([hiding().set_random_state(s)({"image": volume()})["mask"] for s in (0, 1)])
    left = torch.rand(clean.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    return x, mask, clean.masked_fill(left, math.nan), (mask == 1) & ~left


def hiding(**options: Any) -> RandBlockMaskd:
    return RandBlockMaskd("image", BLOCK, **{"ratio": 0.71, **options})  # 42.6 of 60


def blocks() -> None:
    """Whole blocks of the grid, exactly as many as the share says."""
    for seed in range(6):
        mask = hiding().set_random_state(seed)({"image": volume()})["mask"]
        hidden = 0.0
        for corner in product(*(range(0, n, s) for n, s in zip(SIZE, BLOCK, strict=True))):
            cell = mask[(0, *(slice(c, c + s) for c, s in zip(corner, BLOCK, strict=True)))]
            assert len(cell.unique()) == 1, f"cut: the block at {corner} is partly hidden"
            hidden += float(cell.mean())
        assert hidden == math.floor(0.71 * COUNT), f"count: {hidden:g} of {COUNT} blocks are hidden"
    task = hiding(ratio=[0.3, 0.6]).set_random_state(0)
    counts = {int(task({"image": volume()})["mask"].sum()) // math.prod(BLOCK) for _ in range(60)}
    assert len(counts) > 9, f"share: only {sorted(counts)} blocks are hidden"
    assert min(counts) >= 18, f"share: only {min(counts)} blocks are hidden"
    assert max(counts) <= 36, f"share: {max(counts)} blocks are hidden"


def fixed() -> None:
    """The same mask from the same seed, whatever the global generators stand at, and another one from another seed."""
    masks = []
    for seed, noise in ((0, 0), (0, 1), (1, 0)):
        np.random.seed(noise)  # noqa: NPY002 (what a defect may draw from)
        torch.manual_seed(noise)
        masks.append(hiding().set_random_state(seed)({"image": volume()})["mask"])
    assert torch.equal(masks[0], masks[1]), "seed: another mask from the same seed"
    assert not torch.equal(masks[0], masks[2]), "seed: one mask from every seed"


def clean() -> None:
    """The label is the image where it counts, NaN elsewhere; the image is as it was."""
    face, tissue = (volume(1, seed) > level for seed, level in ((5, 1), (6, -1)))
    image = volume()
    made = hiding(exclude_key="face", foreground_key="tissue")({"image": image, "face": face, "tissue": tissue})
    assert torch.equal(made["image"], volume()), "image: changed"
    assert torch.equal(image, volume()), "image: changed in place"
    left = (face | ~tissue).expand_as(image)
    assert torch.equal(made["label"].isnan(), left), "left out: other voxels than said"
    assert torch.equal(made["label"][~left], volume()[~left]), "label: not the clean image"


def value() -> None:
    """The mean by a loop, over hidden voxels that are not left out."""
    x, mask, label, counted = batch()
    errors = [a - b for a, b, c in zip(*(t.flatten().tolist() for t in (x, label, counted)), strict=True) if c]
    for norm, power in (("l2", 2), ("l1", 1)):
        want = sum(abs(error) ** power for error in errors) / len(errors)
        found = RestorationLoss(norm)((x, mask), label).item()
        assert abs(found - want) < 1e-10, f"loss: {found} for {want}"
    squares = [(1 / (1 + math.exp(-a)) - a) ** 2 for a in x.flatten().tolist()]
    found, want = RestorationLoss("l2", "sigmoid")(x, x).item(), sum(squares) / len(squares)
    assert abs(found - want) < 1e-10, f"loss: {found} with a sigmoid for {want}"


def gradient() -> None:
    """Finite, and zero exactly where nothing counts, for the reconstruction and for the target."""
    x, mask, label, counted = batch()
    x.requires_grad_()
    label.requires_grad_()
    RestorationLoss()((x, mask), label).backward()
    for name, found in (("reconstruction", x.grad), ("target", label.grad)):
        assert found.isfinite().all(), f"gradient: of the {name} not finite"
        assert torch.equal(found != 0, counted), f"gradient: of the {name} at voxels that do not count, or not where"


def agreement() -> None:
    """What the loss counts is what the encoder did not see, voxel by voxel."""
    _, mask, _, _ = batch()
    image = torch.stack([volume(), volume(seed=1)]).requires_grad_()
    torch.manual_seed(0)
    # so wide a kernel that every visible voxel is seen
    unet = UNet(3, 2, 2, channels=(4, 8), strides=(2,), kernel_size=7, up_kernel_size=7, act="tanh", norm=None)
    restored, returned = masked_autoencoder.MaskedAutoencoder(unet.double())(image, mask)
    restored.retain_grad()
    RestorationLoss()((restored, returned), image.detach()).backward()
    seen, counted = image.grad != 0, restored.grad != 0
    assert torch.equal(seen, (mask == 0).expand_as(image)), "encoder: sees other voxels than the visible ones"
    assert torch.equal(counted, ~seen), "loss: counts voxels that the encoder sees"


def monitor() -> None:
    """Against the variance around the mean of each sample and channel, by a loop."""
    x, mask, label, counted = batch()
    x, label = x + 3, label + 7 * torch.arange(4.0).reshape(2, 2, 1, 1, 1)
    errors, distances = 0.0, 0.0
    for b, c in product(range(2), range(2)):
        truth = label[b, c][counted[b, c]]
        errors += float((x[b, c][counted[b, c]] - truth).square().sum())
        distances += float((truth - truth.mean()).square().sum())
    error = RestorationError()
    error.update((x, mask), label)
    found = error.compute()
    want = {"mse": errors / int(counted.sum()), "explained": 1 - errors / distances}
    for name in want:
        assert abs(found[name] - want[name]) < 1e-9 * abs(want[name]), f"monitor: {name} {found[name]} for {want[name]}"


class Watched(nn.Module):
    """Draws in the forward pass, and keeps what it drew and the masks that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.masks, self.drawn = nn.Parameter(torch.ones(())), [], []

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.masks.append(mask.clone())
        self.drawn.append(torch.rand(2))
        return self.weight * image * (1 - mask), mask


def validations() -> None:
    """Two validations show the same masks and draw the same in the network, wherever stream and generators stood."""
    data = StreamDataset([{"image": volume(seed=n)} for n in range(3)], hiding(), 0, tempfile.mkdtemp())
    loader, network, loss = stream_loader(data, 2, seed=5), Watched(), RestorationLoss()
    optimizer, shown = torch.optim.SGD(network.parameters(), lr=0.1), PrepareBatchExtraInput(["mask"])
    trainer = Trainer("cpu", 1, loader, network, loss, optimizer, steps=1, steps_per_epoch=1, prepare_batch=shown)
    validator, masks, drawn = PretextValidator(network, loader, loss), [], []
    for start in (0, 3):
        loader.stream.start_batch = start
        torch.manual_seed(start)
        network.masks, network.drawn = [], []
        validator.run(trainer)
        masks.append(torch.cat(network.masks))
        drawn.append(torch.cat(network.drawn))
    assert torch.equal(*masks), "validation: other masks the second time"
    assert torch.equal(*drawn), "validation: the network draws otherwise the second time"
    assert len(masks[0].unique(dim=0)) == len(masks[0]) == 4, "validation: one mask for several samples"


class Mutant(NamedTuple):
    """A defect: what is wrong, which oracle finds it and what that says, and where it is put."""

    name: str
    oracle: Callable[[], None]
    words: str
    owner: Any
    function: str
    edits: tuple[tuple[str, str], ...]

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, self.owner, self.function, self.edits)


DRAW, CALL = (RandBlockMaskd, "randomize"), (RandBlockMaskd, "__call__")
LOSS, UPDATE = (RestorationLoss, "forward"), (RestorationError, "update")
RUN, SAMPLE = (PretextValidator, "run"), (StreamDataset, "__getitem__")
HIDE = (masked_autoencoder.MaskedAutoencoder, "forward")
# Whole blocks change places, as if their grid had been flattened along the other axis first: as many are hidden, none
# is cut, and the shape is right. What the encoder sees then is not what the loss leaves out.
GRID = [n // s for n, s in zip(SIZE, BLOCK, strict=True)]
REORDERED = f"mask[:, :, ::{BLOCK[0]}, ::{BLOCK[1]}, ::{BLOCK[2]}].transpose(2, 4).reshape(-1, 1, *{GRID})" + "".join(
    f".repeat_interleave({side}, {axis})" for axis, side in enumerate(BLOCK, 2)
)

MUTANTS = [
    # masks
    Mutant("mask complement", blocks, "count: 18 of 60", *CALL,
           (("torch.zeros(math.prod(grid))", "torch.ones(math.prod(grid))"),
            ("[torch.as_tensor(self.drawn)] = 1.0", "[torch.as_tensor(self.drawn)] = 0.0"))),
    Mutant("mask transposed voxel by voxel, which shreds its blocks", blocks, "cut: the block at", *CALL,
           (("spread.reshape(1, *shape)", "spread.reshape(shape).transpose(0, 2).reshape(1, *shape)"),)),
    Mutant("voxels hidden, not blocks", blocks, "cut: the block at", *CALL,
           (("spread.reshape(1, *shape)", "spread.flatten()[torch.randperm(math.prod(shape))].reshape(1, *shape)"),)),
    Mutant("floor replaced by round", blocks, "count: 43 of 60", masking, "_hidden",
           (("math.floor(ratio * count + 1e-9)", "round(ratio * count)"),)),
    Mutant("Bernoulli draws", blocks, "count: ", *DRAW,
           (("self.R.permutation(count)[: _hidden(ratio, count)]",
             "np.flatnonzero(self.R.uniform(size=count) < ratio)"),)),
    Mutant("a drawn share that stays", blocks, "share: only", *DRAW,
           (("self.R.uniform(low, high)", "(low + high) / 2"),)),
    Mutant("blocks drawn twice", blocks, "count: ", *DRAW,
           (("self.R.permutation(count)[: _hidden(ratio, count)]",
             "self.R.randint(count, size=_hidden(ratio, count))"),)),
    Mutant("validation masks redrawn", fixed, "seed: another mask from the same seed", *DRAW,
           (("self.R.permutation(count)", "np.random.permutation(count)"),)),
    Mutant("one mask for all", fixed, "seed: one mask", *DRAW,
           (("self.R.permutation(count)", "np.random.RandomState(0).permutation(count)"),)),
    # masks of a validation
    Mutant("a validation from where the stream stood", validations, "validation: other masks", *RUN,
           (("stream.start_batch = 0", "pass"),)),
    Mutant("a validation whose network draws as it likes", validations, "validation: the network draws", *RUN,
           (("torch.manual_seed(", "int("),)),
    Mutant("samples seeded by a counter", validations, "validation: other masks", *SAMPLE,
           (("_seed_of(self.seed, position)",
             "_seed_of(self.seed, self.__dict__.update(made=self.__dict__.get('made', 0) + 1) or self.made)"),)),
    Mutant("samples seeded without their position", validations, "validation: one mask", *SAMPLE,
           (("_seed_of(self.seed, position)", "_seed_of(self.seed, 0)"),)),
    Mutant("samples not seeded", validations, "validation: other masks", *SAMPLE,
           (("self._random.set_random_state(seed=seed)", "pass"),)),
    # label
    Mutant("the label masked too", clean, "label: not the clean image", *CALL,
           (("d[self.label_key] = label", "d[self.label_key] = label * (1 - d[self.mask_key])"),)),
    Mutant("the image masked for the loss, too", clean, "image: changed", *CALL,
           (("d[self.label_key] = label", "d[self.label_key] = label; d[key] = d[key] * (1 - d[self.mask_key])"),)),
    Mutant("the label shares the image's memory", clean, "image: changed", masking, "_copied",
           ((".as_subclass(Tensor).clone()", ".as_subclass(Tensor)"),)),
    Mutant("the face restored, the rest left out", clean, "left out: ", *CALL,
           (("label[self._marked(d, self.exclude_key", "label[~self._marked(d, self.exclude_key"),)),
    Mutant("the background restored", clean, "left out: ", *CALL,
           (("label[~self._marked(d, self.foreground_key", "label[self._marked(d, self.foreground_key"),)),
    # loss
    Mutant("mask complement (loss)", value, "loss: ", *LOSS, (("mask > 0.5", "mask < 0.5"),)),
    Mutant("mask complement (loss, gradient)", gradient, "gradient: of the reconstruction at", *LOSS,
           (("mask > 0.5", "mask < 0.5"),)),
    Mutant("loss over all voxels", value, "loss: ", *LOSS, (("counted & (mask > 0.5)", "counted"),)),
    Mutant("loss over all voxels (gradient)", gradient, "gradient: of the reconstruction at", *LOSS,
           (("counted & (mask > 0.5)", "counted"),)),
    Mutant("loss over all voxels (agreement)", agreement, "loss: counts voxels", *LOSS,
           (("counted & (mask > 0.5)", "counted"),)),
    Mutant("blocks of the mask in another order (loss)", agreement, "loss: counts voxels", *LOSS,
           (("(mask > 0.5)", f"({REORDERED} > 0.5)"),)),
    Mutant("blocks of the mask in another order between encoder and loss", agreement, "loss: counts voxels", *HIDE,
           (("self.fit.run(self.network, holes), mask", f"self.fit.run(self.network, holes), {REORDERED}"),)),
    Mutant("blocks of the mask in another order before the encoder", agreement, "encoder: sees", *HIDE,
           (("self.fit.run(self.network, holes)",
             f"self.fit.run(self.network, image.masked_fill({REORDERED} == 1, 0))"),)),
    Mutant("mask mirrored between encoder and loss", agreement, "loss: counts voxels", *HIDE,
           (("self.fit.run(self.network, holes), mask", "self.fit.run(self.network, holes), mask.flip((2, 3, 4))"),)),
    Mutant("hidden voxels shown to the encoder", agreement, "encoder: sees", *HIDE,
           (("self.fit.run(self.network, holes)", "self.fit.run(self.network, image)"),)),
    Mutant("NaN counted as 0", value, "loss: ", *LOSS,
           (("counted = ~clean.isnan()", "clean = clean.nan_to_num(); counted = clean == clean"),)),
    Mutant("NaN counted in the number", value, "loss: ", *LOSS,
           (("counted.sum().to", "(mask > 0.5).expand_as(x).sum().to"),)),
    Mutant("NaN times 0 in the gradient", gradient, "gradient: of the reconstruction not finite", *LOSS,
           (("torch.where(counted, x - clean, torch.zeros_like(x))", "x - clean"),
            ("total = error.square().sum()", "total = torch.where(counted, error.square(), 0.0).sum()"))),
    Mutant("squared and absolute error exchanged", value, "loss: ", *LOSS, (('== "l2"', '== "l1"'),)),
    Mutant("no sigmoid", value, "loss: .* with a sigmoid", *LOSS, (("x.sigmoid()", "x"),)),
    # monitor
    Mutant("monitor over all voxels", monitor, "monitor: ", *UPDATE, (("counted & (", "counted | ("),)),
    Mutant("monitor counts NaN", monitor, "monitor: ", *UPDATE,
           (("counted = ~clean.isnan()", "clean = clean.nan_to_num(); counted = clean == clean"),)),
    Mutant("variance around the mean of the batch", monitor, "monitor: explained", *UPDATE,
           (("clean - mean[..., None]", "clean - mean.mean()"),)),
    Mutant("variance around the mean of all voxels", monitor, "monitor: explained", *UPDATE,
           (("torch.where(counted, clean, nothing).sum(dim=2) / number.clamp(min=1)", "clean.nanmean(dim=2)"),)),
    Mutant("error not squared", monitor, "monitor: mse", *UPDATE,
           (("x - clean, nothing).square()", "x - clean, nothing).abs()"),)),
    Mutant("the mean of what is restored", monitor, "monitor: explained", RestorationError, "compute",
           (("1 - errors / spread", "errors / spread"),)),
]  # fmt: skip


@pytest.mark.parametrize("oracle", [blocks, fixed, clean, value, gradient, agreement, monitor, validations])
def test_the_oracle_passes(oracle: Callable[[], None]) -> None:
    oracle()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_oracle_finds_the_defect(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.words):
        mutant.oracle()
