"""Defects put into masked transformers, one at a time: the oracle of each must pass without it and fail with it.

Among them is the transposed mask that a widely used implementation has: tokens flattened in one order, the mask in
another. It shows on no cube of tokens of equal axes by the loss alone; the oracles' grids have no equal axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import transformer_oracles as oracles
from defects import put

from medvol.networks import masked_vit, simmim, token_grid

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """A defect: edits of a function's source, each found exactly once; which oracles must find it, and saying what."""

    name: str
    checks: tuple[Callable[[str], None], ...]
    words: str
    owner: Any
    function: str
    edits: tuple[tuple[str, str], ...]
    cases: tuple[str, ...] = oracles.CASES

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, self.owner, self.function, self.edits)


READ, UNREAD = "region: .*hidden voxels are read", "region: visible voxels are not read"
COUNTED, MADE = "region: the loss counts", "reconstruction: off by"
REGION = (oracles.regions, oracles.unread)
LOOPS = (oracles.reconstruction,)
MASKED, SIMMIM, WINDOWS = masked_vit.MaskedViT, simmim.SimMIM, ("simmim", "swin")

MUTANTS = [
    # the mask
    Mutant("mask transposed on its way to the tokens", REGION, READ, MASKED, "_restore",
           (("_visible(hidden.flatten(1))", "_visible(hidden.transpose(1, 3).flatten(1))"),), ("masked",)),
    # SimMIM blanks hidden voxels before it replaces their tokens: what is wrong shows in the visible ones that it lacks
    Mutant("mask transposed on its way to the tokens", (oracles.regions,), UNREAD, SIMMIM, "_restore",
           (("self.token_size).unsqueeze(1)",
             "self.token_size).transpose(1, -1).reshape(len(mask), 1, *[n // s for n, s in "
             "zip(image.shape[2:], self.token_size)])"),), WINDOWS),
    Mutant("mask transposed on its way to the loss", (oracles.regions,), COUNTED, MASKED, "forward",
           (("return self._restore(image, mask), mask",
             "return self._restore(image, mask), mask.transpose(2, 3).reshape(mask.shape)"),), ("masked",)),
    Mutant("mask transposed on its way to the loss", (oracles.regions,), COUNTED, SIMMIM, "forward",
           (("return self._restore(image, mask), mask",
             "return self._restore(image, mask), mask.transpose(2, 3).reshape(mask.shape)"),), WINDOWS),
    Mutant("complement hidden", REGION, READ, token_grid, "hidden_tokens",
           (("return hidden == 1", "return hidden == 0"),), ("masked",)),
    Mutant("complement hidden", (oracles.regions,), UNREAD, token_grid, "hidden_tokens",
           (("return hidden == 1", "return hidden == 0"),), WINDOWS),
    Mutant("complement given to the loss", (oracles.regions,), COUNTED, SIMMIM, "forward",
           (("return self._restore(image, mask), mask", "return self._restore(image, mask), 1 - mask"),), WINDOWS),
    Mutant("mask redrawn inside", REGION, READ, MASKED, "_restore",
           (("_visible(hidden.flatten(1))", "_visible(hidden.flatten(1)[:, torch.randperm(hidden[0].numel())])"),),
           ("masked",)),
    Mutant("mask redrawn inside", (oracles.regions,), UNREAD, SIMMIM, "_restore",
           (("self.token_size).unsqueeze(1)",
             "self.token_size).flatten(1)[:, torch.randperm(math.prod(image.shape[2:]) // math.prod(self.token_size))]"
             ".reshape(len(mask), 1, *[n // s for n, s in zip(image.shape[2:], self.token_size)])"),), WINDOWS),
    Mutant("mask of the first sample for all", REGION, READ, MASKED, "_restore",
           (("_visible(hidden.flatten(1))", "_visible(hidden[:1].expand_as(hidden).flatten(1))"),), ("masked",)),
    # what enters
    Mutant("all tokens encoded", REGION, READ, MASKED, "_encode",
           (("    return chosen", "    return chosen + embedding(image).mean(1, keepdim=True)"),), ("masked",)),
    Mutant("hidden tokens not replaced", LOOPS, MADE, SIMMIM, "_restore",
           (("torch.where(hidden, token.to(embedded.dtype), embedded)",
             "torch.where(hidden, embedded + token.to(embedded.dtype), embedded)"),), ("simmim",)),
    Mutant("hidden tokens not replaced and their voxels not blanked", REGION, READ, SIMMIM, "_restore",
           (("torch.where(hidden, token.to(embedded.dtype), embedded)",
             "torch.where(hidden, embedded + token.to(embedded.dtype), embedded)"),
            ("image.masked_fill(mask.to(image.device) == 1, 0.0)", "image")), WINDOWS),
    Mutant("replaced after the positions", LOOPS, MADE, SIMMIM, "_restore",
           (("token.to(embedded.dtype)",
             "token.to(embedded.dtype) - self.encoder.patch_embedding.position_embeddings.transpose(1, 2)"
             ".reshape(embedded[:1].shape)"),), ("simmim",)),
    Mutant("learned vector without gradient", (oracles.learning,), "learning: .*token", MASKED, "_fill",
           (("self.token.to(", "self.token.detach().to("),), ("masked",)),
    Mutant("learned vector without gradient", (oracles.learning,), "learning: .*token", SIMMIM, "_restore",
           (("self.token.reshape(", "self.token.detach().reshape("),), WINDOWS),
    Mutant("hook left behind", (oracles.aftermath,), "aftermath:", SIMMIM, "_restore",
           (("hook.remove()", "pass"),), WINDOWS),
    # places
    Mutant("positions not gathered with their tokens", LOOPS, MADE, MASKED, "_encode",
           (("for path in self._blocks:",
             "positions = self.encoder.patch_embedding.position_embeddings\n"
             "    chosen = chosen - positions[0][visible] + positions[:, : visible.shape[1]]\n"
             "    for path in self._blocks:"),), ("masked",)),
    Mutant("visible tokens without positions", LOOPS, MADE, MASKED, "_encode",
           (("chosen + embedding.position_embeddings[0, visible]", "chosen"),), ("masked",)),
    Mutant("patches put in a row in another order", REGION + LOOPS, READ + "|" + MADE, token_grid, "to_patches",
           (("split.permute(0, *grid, 1, *inside)", "split.permute(0, *grid[::-1], 1, *inside)"),), ("masked",)),
    Mutant("voxels of a patch in another order", LOOPS, MADE, token_grid, "to_patches",
           (("split.permute(0, *grid, 1, *inside)", "split.permute(0, *grid, 1, *inside[::-1])"),), ("masked",)),
    Mutant("channel of a patch last", LOOPS, MADE, token_grid, "to_patches",
           (("split.permute(0, *grid, 1, *inside)", "split.permute(0, *grid, *inside, 1)"),), ("masked",)),
    Mutant("positions left out of the decoder", LOOPS, MADE, MASKED, "_fill",
           (("return sequence + self._positions[1].to(narrow)", "return sequence"),), ("masked",)),
    Mutant("positions of the decoder transposed", LOOPS, MADE, MASKED, "_fill",
           (("grid_positions(grid,", "grid_positions(tuple(grid)[::-1],"),), ("masked",)),
    Mutant("token added twice", LOOPS, MADE, MASKED, "_fill",
           (("return sequence +", "return sequence + self.token +"),), ("masked",)),
    Mutant("features put first, not at their places", LOOPS, MADE, MASKED, "_fill",
           (("empty.scatter(1, visible.unsqueeze(2).expand_as(narrow), narrow)",
             "torch.cat([narrow, empty[:, narrow.shape[1] :]], 1)"),), ("masked",)),
    Mutant("last norm left out", LOOPS, MADE, MASKED, "_encode",
           (("in self._blocks:", "in self._blocks[:-1]:"),), ("masked",)),
    Mutant("tokens put on the grid in another order", LOOPS, MADE, token_grid.TokenGrid, "to_map",
           (("tokens.transpose(1, 2).unflatten(2, self.of(spatial))",
             "tokens.transpose(1, 2).unflatten(2, self.of(spatial)[::-1]).transpose(2, -1)"),)),
    Mutant("voxels of a token in another order", (oracles.voxels, oracles.reconstruction), "voxels:|reconstruction:",
           token_grid, "to_voxels",
           (("split = maps.unflatten(1, (-1, *size))",
             "split = maps.unflatten(1, (-1, *size[::-1])).transpose(2, 1 + axes)"),)),
    Mutant("channel of a voxel last", (oracles.voxels, oracles.reconstruction), "voxels:|reconstruction:",
           token_grid, "to_voxels",
           (("split = maps.unflatten(1, (-1, *size))", "split = maps.unflatten(1, (*size, -1)).movedim(axes + 1, 1)"),
            )),
    Mutant("grid and voxels exchanged", (oracles.voxels, oracles.reconstruction), "voxels:|reconstruction:",
           token_grid, "to_voxels", (("(2 + axes + n, 2 + n)", "(2 + n, 2 + axes + n)"),)),
]  # fmt: skip

CHECKS = [
    (check, case)
    for case, checks in {
        "masked": (oracles.regions, oracles.unread, oracles.reconstruction, oracles.voxels, oracles.learning),
        "simmim": (
            oracles.regions, oracles.unread, oracles.reconstruction, oracles.voxels, oracles.learning,
            oracles.aftermath,
        ),
        "swin": (oracles.regions, oracles.unread, oracles.learning, oracles.aftermath),
    }.items()
    for check in checks
]  # fmt: skip


@pytest.mark.parametrize(("check", "case"), CHECKS, ids=lambda v: getattr(v, "__name__", v))
def test_the_oracle_passes(check: Callable[[str], None], case: str) -> None:
    check(case)


@pytest.mark.parametrize(
    ("mutant", "check", "case"),
    [(mutant, check, case) for mutant in MUTANTS for check in mutant.checks for case in mutant.cases],
    ids=lambda v: getattr(v, "name", getattr(v, "__name__", v)),
)
def test_the_oracle_finds_the_defect(
    mutant: Mutant, check: Callable[[str], None], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.apply(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.words):
        check(case)
