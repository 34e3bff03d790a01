"""Pictures of the best, the median and the worst case that an evaluator scored."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Orientation, SpatialResample

from medvol.distributed import is_main
from medvol.engines.evaluation import gather_objects, samples
from medvol.engines.pictures import draw, remove_overlays
from medvol.figures import find_cuts, gray_range, save_overlay

__all__ = ["SaveOverlays"]

_AXES = (("L", "R"), ("P", "A"), ("I", "S"))


class SaveOverlays:
    """Draw image, prediction and reference of the best, the median and the worst case, three slices of each.

    List it beside a :class:`ScoreCases`, whose scores say which cases these are: those with the highest, the middle and
    the lowest mean of one metric over all regions. When the evaluation is complete, the main process writes
    ``<output_dir>/best_<case>.png``, ``median_...`` and ``worst_...`` and removes those of an earlier evaluation. Two
    cases give best and worst, one gives best. The pictures show the grid of the label file, its axes turned to right,
    anterior, superior, and the first channel of the network's input, resampled to that grid. Of many validations of a
    training only the last one draws.

    Until the end, each case waits as the three slices of its image in 8 bits and its two label maps, all compressed:
    about 0.15 MB for a BraTS case (240 x 240 x 155), 10 kB for a hippocampus. A picture that cannot be drawn is one
    warning and never the end of the training.

    Args:
        output_dir: folder to write, made when needed.
        names: label name -> integer, the data set's ``label_map``.
        metric: the metric that ranks the cases; higher is better.
        image_key: key of the image ``(C, *spatial)``.
        pred_key: key of the predicted label map ``(1, *spatial)``.
        label_key: key of the reference label map ``(1, *spatial)``.

    Raises:
        ValueError: while running, if the evaluator has no :class:`ScoreCases`, or does not decollate.

    Example:
        >>> SaveOverlays("eval/1a2b3c4d/overlays", {"tumor": 1}).output_dir.as_posix()
        'eval/1a2b3c4d/overlays'
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Mapping[str, int] | None = None,
        metric: str = "dice",
        image_key: str = "image",
        pred_key: str = "pred",
        label_key: str = "label",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.names = dict(names or {})
        self.metric = metric
        self.keys = (image_key, pred_key, label_key)
        self._kept: dict[str, bytes] = {}
        self._warned = False

    def attach(self, engine: Engine) -> None:
        """Register the three steps on an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._kept, self._warned = {}, False

    def _collect(self, engine: Engine) -> None:
        if not hasattr(engine.state, "case_rows"):
            raise ValueError(
                "SaveOverlays must have a ScoreCases on the same evaluator, but found none; list both as handlers, "
                "or leave SaveOverlays out"
            )
        if not getattr(engine.state, "is_last_validation", True):
            return
        for sample in samples(engine):
            image, prediction, reference = (sample.get(key) for key in self.keys)
            if not isinstance(reference, torch.Tensor | np.ndarray):
                continue  # not scored either
            try:
                self._kept[sample["case"]] = _pack(image, prediction, reference)
            except Exception as error:  # as in draw(): no picture is worth the training
                self._warn(sample["case"], error)

    def _warn(self, case: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"expected image, prediction and label of case '{case}' in one space, found {type(error).__name__}: "
                f"{str(error)[:200]}; it is scored, but not drawn; correct that, or leave SaveOverlays out",
                stacklevel=2,
            )

    def _write(self, engine: Engine) -> None:
        if not getattr(engine.state, "is_last_validation", True):
            return
        drawable = {case for names in gather_objects(sorted(self._kept)) for case in names}
        chosen = choose_cases(engine.state.case_rows, self.metric, drawable)
        # Only what is drawn travels between the processes.
        parts = gather_objects({case: self._kept[case] for case in chosen.values() if case in self._kept})
        packed = {case: content for part in parts for case, content in part.items()}
        self._kept = {}
        if not is_main() or not chosen:
            return
        written = set()
        for (role, case), name in zip(chosen.items(), _plain_names(chosen.values()), strict=True):
            png = self.output_dir / f"{role}_{name}.png"
            if not draw(png, lambda png=png, case=case: _draw(packed[case], png, self.names)):
                return  # one warning is enough: what spoils one picture spoils the others
            written.add(png.name)
        remove_overlays(self.output_dir, keep=frozenset(written))


def _plain_names(cases: Iterable[str]) -> list[str]:
    """Return a name for a file for each case; of two that would be one, the second has a number."""
    names: list[str] = []
    for case in cases:
        name = plain = re.sub(r"[^\w.-]", "_", case)
        number = 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names.append(name)
    return names


def choose_cases(rows: Iterable[Mapping[str, Any]], metric: str, cases: Iterable[str]) -> dict[str, str]:
    """Return ``{"best": case, "worst": case, "median": case}`` by the mean of a metric over the regions of a case.

    Cases without a finite score are left out; of cases with equal scores the first name counts as the lower one; of
    two middle ones the lower is the median. Each case has one role.

    Args:
        rows: ``{"case", "region", "metric", "value"}``.
        metric: which metric.
        cases: names of the cases to choose from.

    Example:
        >>> rows = [{"case": c, "region": "all", "metric": "dice", "value": v} for c, v in zip("abc", (0.5, 0.9, 0.1))]
        >>> choose_cases(rows, "dice", "abc")
        {'best': 'b', 'worst': 'c', 'median': 'a'}
    """
    values = defaultdict(list)
    wanted = set(cases)
    for row in rows:
        if row["metric"] == metric and row["case"] in wanted and math.isfinite(row["value"]):
            values[row["case"]].append(float(row["value"]))
    ranked = sorted(values, key=lambda case: (sum(values[case]) / len(values[case]), case))
    places = {"best": len(ranked) - 1, "worst": 0, "median": (len(ranked) - 1) // 2}
    chosen: dict[str, str] = {}
    for role, place in places.items():
        if ranked and ranked[place] not in chosen.values():
            chosen[role] = ranked[place]
    return chosen


def _pack(image: Any, prediction: Any, reference: Any) -> bytes:
    """Compress what the picture of a case needs: both label maps, and the image where they will be cut.

    Args:
        image: ``(C, *spatial)``, on the grid of the network's input.
        prediction: ``(1, *spatial)``, on the grid of the label file.
        reference: ``(1, *spatial)``, on the grid of the label file.
    """
    is_volume = isinstance(reference, MetaTensor) and reference.ndim == 4
    if is_volume:
        turn = Orientation(axcodes="RAS", labels=_AXES)
        target = turn(reference.cpu())
        affine = target.affine.double()
        maps = [turn(MetaTensor(_plain(x), affine=reference.affine.cpu()))[0].numpy() for x in (prediction, reference)]
        spacing = affine_to_spacing(affine, r=3).numpy()
    else:
        maps = [_plain(x)[0].numpy() for x in (prediction, reference)]
        known = isinstance(reference, MetaTensor)
        spacing = affine_to_spacing(reference.affine.cpu(), r=2).numpy() if known else np.ones(maps[0].ndim)
    content = {"spacing": spacing, "ras": np.array(is_volume)}
    for name, labels in zip(("prediction", "reference"), maps, strict=True):
        content[name] = labels.astype(np.min_scalar_type(int(labels.max())))
    first = _plain(image)[:1].float().clone()
    if first.flatten()[0] == 0:  # normalized without the background, whose 0 is now the mean of the rest
        first[first == 0] = first.min()
    gray = gray_range([first.numpy()])
    if not is_volume:
        content["image"] = _to_bytes(first[0].numpy(), gray)
    else:
        source = MetaTensor(first, affine=image.affine.cpu().double())
        for normal, index in find_cuts(maps[1].shape, maps[1], maps[0]).items():
            content[f"slice_{normal}"] = _to_bytes(_resample(source, affine, maps[1].shape, normal, index), gray)
            content[f"index_{normal}"] = np.array(index)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    return buffer.getvalue()


def _resample(source: MetaTensor, affine: torch.Tensor, shape: tuple[int, ...], normal: int, index: int) -> np.ndarray:
    """Return one slice ``(*spatial without normal)`` of an image on another grid; the whole volume is never made."""
    shift = torch.eye(4, dtype=torch.float64)
    shift[normal, 3] = index
    size = [1 if axis == normal else length for axis, length in enumerate(shape)]
    resample = SpatialResample(mode="bilinear", padding_mode="border")
    plane = resample(source, dst_affine=affine @ shift, spatial_size=size)
    return plane[0].select(normal, 0).numpy()


def _plain(values: Any) -> torch.Tensor:
    """Return a tensor on the CPU without metadata; setting an affine over an old one would be announced."""
    return torch.as_tensor(values).detach().as_subclass(torch.Tensor).cpu()


def _to_bytes(plane: np.ndarray, gray: tuple[float, float]) -> np.ndarray:
    scaled = (np.nan_to_num(plane) - gray[0]) / max(gray[1] - gray[0], 1e-6)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _draw(packed: bytes, png: Path, names: Mapping[str, int]) -> None:
    with np.load(io.BytesIO(packed)) as content:
        image, prediction, reference = _image(content), content["prediction"], content["reference"]
        spacing, ras = content["spacing"].tolist(), bool(content["ras"])
    save_overlay(image, prediction, reference, spacing, png, names, ras=ras)


def _image(content: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return an image of the full size that is right in the slices that are drawn."""
    if "image" in content:
        return content["image"]
    slices = {normal: content[f"slice_{normal}"] for normal in range(3) if f"slice_{normal}" in content}
    # The rest holds the same values over and over, so that the gray window is the one of the slices.
    volume = np.resize(np.concatenate([plane.ravel() for plane in slices.values()]), content["reference"].shape)
    for normal, plane in slices.items():
        np.moveaxis(volume, normal, 0)[int(content[f"index_{normal}"])] = plane
    return volume
