"""What the network of a run makes of a sample: a restoration, and how far it is from what was to be restored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.engines import default_prepare_batch
from torch import Tensor, nn

from medvol.networks import find_bundle

from ..opening import OpenBundle
from ..refusal import innermost, refuse
from ..runs import NOTE

__all__ = ["Restored", "Restorer", "find_run", "take_recipe"]

# Of a run's recipe: where it lay and what it read, which this machine and this preview know better.
_NOT_TAKEN = frozenset(
    "imports bundle_root output_dir cache_dir manifest dataset_dir shards pretrained weights data device "
    "initialize run finalize _meta_".split()
)


@dataclass(frozen=True)
class Restored:
    """What a network made of one sample.

    Attributes:
        output: ``(C, *spatial)`` all that it returned; or the classes with the highest scores, ``(1, *spatial)``.
        target: ``(C, *spatial)`` the label, NaN where nothing is counted.
        error: ``(C, *spatial)`` absolute difference, or for classes 1 where they are wrong; NaN where it is no matter.
        composite: the output where voxels are hidden and the image elsewhere; None without a mask.
        classes: how many there are; 0 for gray values.
    """

    output: np.ndarray
    target: np.ndarray
    error: np.ndarray
    composite: np.ndarray | None
    classes: int

    @property
    def summary(self) -> str:
        """Return the mean error in words."""
        counted = self.error[~np.isnan(self.error)]
        if not counted.size:
            return "no voxel is counted"
        if self.classes:
            return f"wrong in {counted.mean():.1%} of the counted voxels"
        return f"mean absolute error {counted.mean():.3g} over the counted voxels of all channels"


def find_run(opened: OpenBundle, run: str | Path) -> Path:
    """Return the folder of a run, finished or not.

    Args:
        opened: the bundle that it is looked for in.
        run: its name, ``"latest"``, ``"<bundle>@<run>"``, its folder, or a file in that.

    Raises:
        FileNotFoundError: no such run; the message lists those that there are.
    """
    bundle, at, name = str(run).rpartition("@")
    path = Path(run)
    runs = find_bundle(bundle) / "eval" if at and bundle != opened.name else _runs(opened)
    latest = runs / "latest.txt"
    if name == "latest" and latest.is_file():
        name = latest.read_text(encoding="utf-8").strip()
    inside = [runs / name] if len(Path(name).parts) == 1 and name not in ("", "..", ".") else []
    for folder in (*inside, path, path.parent if path.is_file() else path):
        if (folder / "last.pt").is_file() and (folder / NOTE).is_file():
            return folder.absolute()
    known = ", ".join(sorted(found.parent.name for found in runs.glob("*/last.pt"))) or "none"
    raise FileNotFoundError(
        f"a run with last.pt and {NOTE} is expected; found none at '{run}'; name one of {opened.name}: {known}; "
        "or train first"
    )


def take_recipe(opened: OpenBundle, folder: Path, given: Mapping[str, Any]) -> str:
    """Make a config describe a run, but for what the user gave, and return the run in words.

    Images are those of the config or the user, not those that the run was trained on.

    Args:
        opened: the config; its values are replaced.
        folder: the run's folder.
        given: the user's values by key.

    Raises:
        ValueError: the run is one of another bundle.
    """
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    if note.get("bundle") != opened.name:
        raise ValueError(
            f"run must be one of the bundle {opened.name}; found one of {note.get('bundle')} in {folder}; preview that "
            "bundle, or choose another run"
        )
    kept = _NOT_TAKEN | {key.replace("#", "::").partition("::")[0] for key in given}
    for key, value in note.get("recipe", {}).items():
        if key in opened.config and key not in kept:
            opened.parser[key] = value
    data = note.get("data") or {}
    made_up = " (synthetic data)" if data.get("synthetic") else ""
    return f"run {note.get('run', folder.name)}, trained on {data.get('name', 'unknown data')}{made_up}"


class Restorer:
    """The network of a run, which restores samples.

    Args:
        opened: the config of the run.
        folder: the run's folder.

    Raises:
        ValueError: the checkpoint cannot be read.
        GuardError: it is not one of the config's network.
    """

    def __init__(self, opened: OpenBundle, folder: Path) -> None:
        state = _checkpoint(folder / "last.pt")
        self.name = opened.name
        self.network, self.activation, self.prepare = _built(opened)
        self.steps = int(state.get("clock", {}).get("step", 0))
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            refuse(
                f"the weights of the network of {opened.name} in {folder / 'last.pt'}",
                innermost(error),
                "give the run's own values for the keys that it was trained with, or leave out --run",
            )
        self.network.float().eval()

    @torch.no_grad()
    def restore(self, sample: Mapping[str, Any]) -> Restored:
        """Return what the network makes of a sample.

        Args:
            sample: ``image`` ``(C, *spatial)``, ``label``, and what else the network reads.

        Raises:
            GuardError: the network is none that restores images, or fails.
        """
        tensors = {key: torch.as_tensor(value) for key, value in sample.items() if hasattr(value, "__array__")}
        batch = {key: value.as_subclass(Tensor)[None] for key, value in tensors.items()}
        try:
            image, label, *rest = self.prepare(batch, torch.device("cpu"), False)
            args, kwargs = (*rest, (), {})[:2] if len(rest) != 1 else (rest[0], {})
            prediction = self.network(image, *args, **kwargs)
        except Exception as error:  # networks of other methods want other samples
            self._refuse(innermost(error))
        output, mask = (
            prediction if isinstance(prediction, (tuple, list)) and len(prediction) == 2 else (prediction, None)
        )
        arrays = (image, label, output)
        if not all(isinstance(x, Tensor) and x.shape[2:] == image.shape[2:] and x.ndim > 3 for x in arrays):
            self._refuse(f"an image {_shape(image)}, a label {_shape(label)} and an output {_shape(output)}")
        return _restored(*(x[0] for x in arrays), None if mask is None else mask[0], self.activation)

    def _refuse(self, found: str) -> None:
        refuse(
            f"--run with a network that returns an image of the size that it gets; that of {self.name} does not",
            found,
            "leave out --run",
        )


def _built(opened: OpenBundle) -> tuple[nn.Module, str | None, Callable]:
    parser = opened.parser
    try:
        has_own = parser.config.get("prepare_batch") is not None
        prepare = parser.get_parsed_content("prepare_batch") if has_own else default_prepare_batch
        activation = getattr(parser.get_parsed_content("loss"), "activation", None)
        return parser.get_parsed_content("network"), activation, prepare
    except Exception as error:  # MONAI wraps whatever a component says
        refuse(f"a 'network' and a 'loss' that can be built in {opened.file.name}", innermost(error), "leave out --run")


def _restored(image: Tensor, label: Tensor, output: Tensor, mask: Tensor | None, activation: str | None) -> Restored:
    classes = len(output) if len(label) == 1 and len(output) != 1 else 0
    if classes:
        output = output.argmax(0, keepdim=True)
    elif activation == "sigmoid":
        output = output.float().sigmoid()
    seen, target, made = (x.float().numpy() for x in (image, label, output))
    hidden = None if mask is None else mask.numpy() > 0.5
    miss = np.abs(made - target)
    error = np.where(np.isnan(target), np.nan, miss > 0 if classes else np.nan_to_num(miss, nan=np.inf))
    if hidden is None:
        return Restored(made, target, error, None, classes)
    return Restored(made, target, np.where(hidden, error, np.nan), np.where(hidden, made, seen), classes)


def _checkpoint(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = "no 'network' in it" if not isinstance(state, dict) or "network" not in state else ""
    except Exception as error:  # foreign bytes make the restricted unpickler fail in any way
        found = f"a damaged or foreign file ({type(error).__name__})"
    if found:
        raise ValueError(f"{path} must be the checkpoint of a run; found {found}; choose another run, or train again")
    return state


def _runs(opened: OpenBundle) -> Path:
    try:
        return Path(opened.parser.get_parsed_content("output_dir"))
    except Exception:  # a config without one, or one that only a running workflow can resolve
        return opened.folder / "eval"


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__
