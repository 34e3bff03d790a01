"""Pictures of what a network makes of hidden or spoiled images while it learns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medvol.distributed import is_main
from medvol.engines.comparison import compare, voxel_size
from medvol.engines.mosaic import HIDDEN, UNCOUNTED, Mosaic, Panel
from medvol.engines.pictures import draw
from medvol.writing import write_whole

__all__ = ["RECONSTRUCTIONS", "SaveReconstructions", "remove_reconstructions"]

RECONSTRUCTIONS = "reconstructions"
_NAME = re.compile(r"(\d{6,})\.png")


class SaveReconstructions:
    """Draw what the network makes of the first samples of a validation, a few times during a training.

    Give it to a :class:`PretextValidator` as ``pictures``. The main process writes
    ``<run_dir>/reconstructions/<step>.png``: a row per sample, with what :func:`medvol.engines.comparison.compare`
    shows of it. Drawn are the first and the last validation, and of those between them as many as ``most`` allows,
    evenly spread over the steps. What is there is not drawn again when a run is resumed. No forward pass is added. A
    picture that cannot be drawn is a warning and never the end of the training; after it, no more are tried.

    All pictures of a training have the same colors of errors: from 0 to a quarter of the range of the targets' gray
    values. The pictures are slices of the images that the network is trained on; whoever may not show those, may not
    show these.

    Args:
        run_dir: the run's folder.
        spacing: millimeters per voxel and axis, for true proportions; one number for all, or None for cubes.
        samples: rows of a picture.
        most: pictures of a training, at least 2.

    Raises:
        ValueError: when the folder is missing, the spacing is no list of numbers, or a number is too small.

    Example:
        >>> SaveReconstructions("eval/1a2b3c4d", (1.0, 1.0, 2.5)).folder.as_posix()
        'eval/1a2b3c4d/reconstructions'
    """

    def __init__(
        self,
        run_dir: str | Path | None,
        spacing: Sequence[float] | float | None = None,
        samples: int = 3,
        most: int = 6,
    ) -> None:
        if not run_dir:
            raise ValueError(
                f"run_dir must be the run's folder; found {run_dir!r}; let $medvol.bundles.guard() fill it"
            )
        for name, value, least in (("samples", samples, 1), ("most", most, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}; found {value!r}; choose another")
        self.folder = Path(run_dir) / RECONSTRUCTIONS
        self.spacing = _checked(spacing)
        self.samples, self.most = samples, most
        self._png: Path | None = None
        self._title, self._activation = "", None
        self._rows: list[list[Panel]] = []
        self._size = (1.0, 1.0)
        self._failed = False

    def start(self, step: int, steps: int, activation: str | None = None) -> bool:
        """Begin a validation, and say whether it will be drawn.

        Args:
            step: optimizer steps that are done.
            steps: optimizer steps of the whole training.
            activation: what the loss does to the output first: None or "sigmoid".
        """
        self._rows, self._png, self._activation = [], None, activation
        if self._failed or not is_main():
            return False
        taken = _taken(self.folder)
        # Each picture ends a further part of the training, and there are most - 1 of them: never more than `most`.
        ended = step * (self.most - 1) // steps
        if not taken or (step not in taken and ended > max(taken) * (self.most - 1) // steps):
            self._png = self.folder / f"{step:06d}.png"
            self._title = f"validation samples at step {step} of {steps}"
        return self._png is not None

    def collect(self, image: Tensor, label: Tensor, prediction: Any) -> None:
        """Take in a batch, of which only what is drawn is kept.

        Args:
            image: ``(B, C, *spatial)``, what the network got.
            label: ``(B, C, *spatial)``, the clean image; or ``(B, 1, *spatial)`` classes. NaN where nothing is counted.
            prediction: ``(B, C, *spatial)``, or scores of classes ``(B, K, *spatial)``; or a tuple of that and the mask
                ``(B, 1, *spatial)``, 1 = hidden.
        """

        def take() -> None:
            output, mask = _parts(prediction, label)
            for number in range(min(len(image), self.samples - len(self._rows))):
                hidden = None if mask is None else mask[number]
                self._rows.append(compare(image[number], label[number], output[number], hidden, self._activation))
            self._size = voxel_size(self.spacing, image.shape[2:])

        if self._png is not None and len(self._rows) < self.samples:
            self._try(self._png, take)

    def write(self) -> None:
        """End a validation: write its picture, if it is to have one."""
        if self._png is not None and self._rows:
            png, rows = self._png, _with_one_scale(self._rows)
            panels = [panel for row in rows for panel in row]
            notes = [(HIDDEN, "hidden from the network")] if any(panel.tint is not None for panel in panels) else []
            notes += [(UNCOUNTED, "not counted by the loss")] if any(np.isnan(p.values).any() for p in panels) else []
            mosaic = Mosaic(self._title, self._size, rows, notes)
            self._try(png, lambda: _write(png, mosaic))
        self._rows, self._png = [], None

    def _try(self, png: Path, action: Callable[[], None]) -> None:
        if not draw(png, action):
            self._failed, self._png = True, None


def remove_reconstructions(folder: Path) -> None:
    """Remove the pictures of a run, and their folder when nothing else is in it.

    Args:
        folder: with or without pictures; it may be missing.

    Example:
        >>> remove_reconstructions(Path("no such folder"))
    """
    if not folder.is_dir():
        return
    for png in (*folder.glob("*.png"), *folder.glob(".*.part")):
        if _NAME.fullmatch(png.name) or png.suffix == ".part":
            png.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _checked(spacing: Sequence[float] | float | None) -> tuple[float, ...]:
    """Return millimeters for three axes; MONAI's ``Spacingd`` reads -1 as "leave it", which nobody knows here."""
    given = (1.0 if spacing is None else spacing,) * 3 if spacing is None or np.isscalar(spacing) else spacing
    try:
        sizes = [float(size) for size in given]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        sizes = []
    if not sizes or not np.isfinite(sizes).all():
        raise ValueError(
            f"spacing must be millimeters, one number or one per axis; found {spacing!r}; give '@spacing', or nothing"
        )
    sizes = [size if size > 0 else 1.0 for size in sizes]
    return tuple((sizes + [sizes[-1]] * 2)[:3])


def _taken(folder: Path) -> set[int]:
    found = (_NAME.fullmatch(png.name) for png in folder.glob("*.png"))
    return {int(name[1]) for name in found if name}


def _parts(prediction: Any, label: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return what a network restored, at full resolution only, and its mask if it has one."""
    output, mask = prediction if isinstance(prediction, (tuple, list)) else (prediction, None)
    return (output[:, 0] if output.ndim == label.ndim + 1 else output), mask


def _with_one_scale(rows: list[list[Panel]]) -> list[list[Panel]]:
    """Give all errors the widest scale among them, so that one bar tells them all."""
    scales = [panel.window for row in rows for panel in row if panel.colored]
    widest = max(scales, key=lambda window: window[1], default=None)
    if widest is None:
        return rows
    return [[replace(panel, window=widest) if panel.colored else panel for panel in row] for row in rows]


def _write(png: Path, mosaic: Mosaic) -> None:
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, mosaic.png())
