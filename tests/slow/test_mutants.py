"""Defects put into medvol's own code, one at a time: the oracle of each must pass without it and fail with it.

Among them are the four of the reference implementation of Taleb et al. 2020. A defect is an edit of a function's source
that must apply exactly once, so that none goes missing when the code changes; ``words`` are what the oracle must say,
so that it fails for that reason and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import loss_oracles
import oracles
import pytest
from defects import put, replace

from medvol.losses import infonce, masked, ntxent, pairing, triplet
from medvol.networks import context, cpc, directions, projection, sets
from medvol.transforms import grids, intensity, jigsaw, location, patches, permutations, rotations, views

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """A defect, where it is put, and how it is found.

    Attributes:
        name: what is wrong.
        oracle: which check must find it.
        words: what that check must say.
        owner: the module or class that the function belongs to.
        function: its name, or that of a value.
        edits: replacements in its source, each found exactly once.
        bundles: where it is looked for, one after another.
        value: what stands there instead; no edits then.
    """

    name: str
    oracle: Callable[[str], None]
    words: str
    owner: Any
    function: str
    edits: tuple[tuple[str, str], ...] = ()
    bundles: tuple[str, ...] = ("",)
    value: Any = None

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if self.edits:
            put(monkeypatch, self.owner, self.function, self.edits)
        else:
            replace(monkeypatch, self.owner, self.function, self.value)


def corner(mask: Any, crop: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The place of every crop, in a corner of the volume and without a look at the mask."""
    return (0,) * mask.ndim, (0,) * mask.ndim


PATCHED, CPC = ("rpl3d", "jigsaw3d", "cpc3d", "rpl2d", "jigsaw2d", "cpc2d"), ("cpc3d", "cpc2d")
RPL, JIGSAW, ROTATION = ("rpl3d", "rpl2d"), ("jigsaw3d", "jigsaw2d"), ("rotation3d", "rotation2d")
EXEMPLAR = ("exemplar3d", "exemplar2d")
CLASSIFIED = (*RPL, *JIGSAW, *ROTATION)
NORMALIZED = (*PATCHED, *ROTATION)

# not what the oracles say of shapes
WRONG_WAY, WRONG_ORDER = r"label: -?\d+ for the direction", r"label: -?\d+ for permutation"
WRONG_SCORES = "scores: .* from those of sets"

ORACLES = [
    (oracles.cut, PATCHED),
    (oracles.location, RPL),
    (oracles.puzzle, JIGSAW),
    (oracles.permutations, JIGSAW),
    (oracles.rotation, ROTATION),
    (oracles.normalization, NORMALIZED),
    (oracles.classifier, CLASSIFIED),
    (oracles.places_head, ("jigsaw2d",)),
    (oracles.views, EXEMPLAR),
    (oracles.projector, EXEMPLAR),
    (oracles.context, CPC),
    (oracles.overlapping_context, CPC),
    (loss_oracles.cross_entropy, ("",)),
    (loss_oracles.info_nce, ("",)),
    (loss_oracles.ntxent, ("",)),
    (loss_oracles.triplet, ("",)),
]

MUTANTS = [
    # the reference's four
    Mutant("exemplar with a head for each role", oracles.projector, "embedding: not that of one shared head",
           projection.Projector, "forward",
           (("self.head(self.embed(views))",
             "torch.stack([head(self.embed(views[:, role : role + 1]))[:, 0] for role, head in enumerate([self.head, "
             "nn.Sequential(nn.ReLU(), nn.Linear(self.head[1].in_features, self.head[1].out_features)).to(views)])], 1)"
             ),),
           EXEMPLAR),
    Mutant("rotation class left unturned", oracles.rotation, "picture: one turn is class",
           rotations, "_allowed", (("return tuple(found)", "return (*found[:-1], ())"),), ROTATION),
    Mutant("random instead of distant permutations", oracles.permutations, "distance: two permutations differ in",
           permutations, "_algebraic", (), JIGSAW, permutations._random),
    Mutant("context with mirrored patches", oracles.context, "context: holds voxels of the target",
           context._MaskedBlock, "forward",
           (("functional.pad(y, pads) + outside",
             "functional.pad(torch.cat([y[:, 1:2] if y.shape[1] > 1 else y[:, :1] * 0, y], dim=1), "
             "[*pads[:-2], 0, 0]) + 0 * outside"),), CPC),
    # cutting
    Mutant("gap removed", oracles.cut, "gap: patches", grids, "cell_layout",
           (("half = math.ceil(gap / 2) if cells > 1 else 0", "half = 0"),), PATCHED),
    Mutant("a border left in", oracles.cut, "border: voxels from outside", patches, "crop_range", (), PATCHED, corner),
    Mutant("jitter constant over the patches", oracles.cut, "jitter: moves by", patches.RandPatchGridd, "_draw",
           (("self.R.randint(a, b + 1, size=count)", "np.full(count, self.R.randint(a, b + 1))"),), PATCHED),
    Mutant("jitter constant over the draws", oracles.cut, "jitter: moves by", patches.RandPatchGridd, "_draw",
           (("self.R.randint(a, b + 1, size=count)", "np.full(count, a)"),), PATCHED),
    Mutant("jitter never to the end", oracles.cut, "jitter: moves by", patches.RandPatchGridd, "_draw",
           (("self.R.randint(a, b + 1, size=count)", "self.R.randint(a, b, size=count)"),), PATCHED),
    Mutant("normalization over all patches", oracles.normalization, "normalization: a", intensity, "_standardize",
           (("x, deviation = centered(x)",
             "x = x - x.mean(dim=(0, -1), keepdim=True)\n"
             "    deviation = x.square().mean(dim=(0, -1), keepdim=True).sqrt().expand(len(x), -1, 1)"),), NORMALIZED),
    Mutant("a border left in the views", oracles.views, "border: voxels that are made up", views.RandViewsd, "__call__",
           (("self.scale[0], inside, places)", "self.scale[0], None, places)"),), EXEMPLAR),
    Mutant("one view twice", oracles.views, "views: the same twice", views.RandViewsd, "randomize",
           (("self.boxes.append(self._draw_box(frame, mask))",
             "self.boxes.append(self.boxes[0] if self.boxes else self._draw_box(frame, mask))"),), EXEMPLAR),
    # labels
    Mutant("location shifted by one", oracles.location, WRONG_WAY, location.RandRelativeLocationd, "__call__",
           (("torch.as_tensor(self._kept)", "torch.as_tensor((self._kept + 1) % (self.count - 1))"),), RPL),
    Mutant("center counted as a class", oracles.location, WRONG_WAY, location.RandRelativeLocationd, "__call__",
           (("torch.as_tensor(self._kept)", "torch.as_tensor(queries[self._kept] % (self.count - 1))"),), RPL),
    Mutant("pairs from the first patch, not the center", oracles.location, WRONG_WAY,
           location, "center_of", (("(math.prod(grid) - 1) // 2", "0"),), RPL),
    Mutant("puzzle shifted by one", oracles.puzzle, WRONG_ORDER, jigsaw.RandJigsawd, "_label",
           (("self.classes if tissue.all()", "(self.classes + 1) % len(self.permutations) if tissue.all()"),), JIGSAW),
    Mutant("permutation not applied", oracles.puzzle, f"order: no listed permutation|{WRONG_ORDER}",
           jigsaw.RandJigsawd, "__call__", (("torch.as_tensor(d[key])[first]", "torch.as_tensor(d[key])"),), JIGSAW),
    Mutant("permutation inverted", oracles.puzzle, f"order: no listed permutation|{WRONG_ORDER}",
           jigsaw.RandJigsawd, "__call__", (("d[key])[first]", "d[key])[torch.argsort(first)]"),), JIGSAW),
    Mutant("order of the grid, not of the image", oracles.puzzle, "order: the image is not the first puzzle",
           jigsaw.RandJigsawd, "__call__", (("where[self.drawn]", "self.drawn"),), JIGSAW),
    Mutant("turn shifted by one", oracles.rotation, "turn: class", rotations.RandRotationsd, "__call__",
           (("label = torch.as_tensor(self.drawn)", "label = torch.as_tensor((self.drawn + 1) % len(rotations))"),),
           ROTATION),
    Mutant("wrong plane", oracles.rotation, "turn: class", rotations, "_PLANES",
           (), ("rotation3d",), ((0, 1), (2, 1), (2, 0))),
    Mutant("turned backwards", oracles.rotation, "turn: class", rotations, "rotate",
           (("np.rot90(image, turns,", "np.rot90(image, -turns,"),), ROTATION),
    Mutant("turned and mirrored", oracles.rotation, "picture: one turn|turn: class", rotations, "rotate",
           (("np.rot90(image, turns, axes=(a + 1, b + 1))",
             "np.flip(np.rot90(image, turns, axes=(a + 1, b + 1)), a + 1)"),), ROTATION),
    Mutant("a class twice", oracles.rotation, "picture: one turn is class", rotations, "_allowed",
           (("return tuple(found)", "return (*found[:-1], found[1])"),), ROTATION),
    # networks
    Mutant("target inside the context", oracles.context, "context: holds voxels of the target",
           context._MaskedBlock, "forward",
           (("[1, 1] * self.plane_axes, 1, 0]", "[1, 1] * self.plane_axes, 0, 2]"),
            ("(slice(None), slice(0, layers), *window)", "(slice(None), slice(1, layers + 1), *window)")), CPC),
    Mutant("first step too early", oracles.overlapping_context, "context: holds voxels of the target",
           directions, "first_steps", (("math.ceil(p / s)", "math.floor(p / s)"),), CPC),
    Mutant("overlapping negatives", oracles.overlapping_context, "candidates: share voxels",
           directions, "overlapping", (("(apart * torch.as_tensor(stride)", "(999 * apart * torch.as_tensor(stride)"),),
           CPC),
    Mutant("codes of another volume are right", oracles.context, "positive: of volume", cpc.CPC, "_answers",
           (("self.targets + first, -100", "self.targets + first.flip(0), -100"),), CPC),
    Mutant("scores set by set, not sample by sample", oracles.classifier, WRONG_SCORES, sets.SetClassifier, "forward",
           (("logits = self.head(chosen.reshape(-1, self.set_size * embeddings.shape[2]))",
             "logits = self.head(chosen.reshape(len(image), -1, self.set_size * embeddings.shape[2]).transpose(0, 1)"
             ".flatten(0, 1))"),), CLASSIFIED),
    Mutant("scores of places transposed", oracles.places_head, "scores: a class of one place",
           sets.SetClassifier, "forward",
           (("return logits.reshape(-1, self.num_classes)",
             "return logits.reshape(-1, self.num_classes, self.set_size).transpose(1, 2).flatten(0, 1)"),),
           ("jigsaw2d",)),
    Mutant("a head for each set", oracles.classifier, WRONG_SCORES, sets.SetClassifier, "forward",
           (("chosen.reshape(-1, self.set_size * embeddings.shape[2])",
             "torch.stack([c.roll(r % sets.shape[1]) for r, c in enumerate("
             "chosen.reshape(-1, self.set_size * embeddings.shape[2]))])"),), CLASSIFIED),
    # losses
    Mutant("scores of classes transposed", loss_oracles.cross_entropy, "loss:",
           masked.MaskedCrossEntropyLoss, "forward",
           (("scores = logits.to", "scores = logits.T.reshape(logits.shape).to"),)),
    Mutant("samples left out are counted", loss_oracles.cross_entropy, "loss:",
           masked.MaskedCrossEntropyLoss, "forward",
           (("(target != _IGNORED).sum()", "torch.as_tensor(len(target))"),)),
    Mutant("predictions and codes exchanged", loss_oracles.info_nce, "loss:", infonce.InfoNCELoss, "forward",
           (("predictions.to(dtype) @ gather(codes.to(dtype)).T",
             "gather(codes.to(dtype)) @ predictions.to(dtype).T"),)),
    Mutant("all codes are candidates", loss_oracles.info_nce, "loss:", infonce.InfoNCELoss, "forward",
           (("scores.masked_fill(~candidates, float(\"-inf\"))", "scores"),)),
    Mutant("positives from another patient (NT-Xent)", loss_oracles.ntxent, "loss:", pairing, "pair_views",
           (("(image[:, None] == all_images) & ~itself", "image[:, None] == (all_images + 1) % count"),)),
    Mutant("positives from another patient (triplets)", loss_oracles.triplet, "loss:", pairing, "pair_views",
           (("(image[:, None] == all_images) & ~itself", "image[:, None] == (all_images + 1) % count"),)),
    Mutant("negatives from the same patient", loss_oracles.triplet, "loss:", pairing, "pair_views",
           (("patient[:, None] != all_patients", "image[:, None] != all_images"),)),
    Mutant("the positive left out of the sum", loss_oracles.ntxent, "loss:", ntxent.NTXentLoss, "_own",
           (("torch.logaddexp(gap, torch.zeros_like(gap))", "gap"),)),
    Mutant("near and far exchanged", loss_oracles.triplet, "loss:", triplet.TripletLoss, "forward",
           (("(near - distances[anchor])", "(distances[anchor] - near)"),)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("oracle", "bundle"), [(o, b) for o, found in ORACLES for b in found], ids=lambda v: getattr(v, "__name__", v)
)
def test_the_oracle_passes(oracle: Callable[[str], None], bundle: str) -> None:
    oracle(bundle)


@pytest.mark.parametrize(
    ("mutant", "bundle"), [(m, b) for m in MUTANTS for b in m.bundles], ids=lambda v: getattr(v, "name", v)
)
def test_the_oracle_finds_the_defect(mutant: Mutant, bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.words):
        mutant.oracle(bundle)
