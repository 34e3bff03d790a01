"""A picture of what a network sees: a few samples exactly as training draws them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from medvol.data import load_manifest
from medvol.networks import CPC
from medvol.writing import write_whole

from ..checks.rules import data_rule, keys_rule, problems_of, shards_rule, values_rule
from ..checks.trying import on_the_side
from ..inherit import fill_inherited
from ..opening import OpenBundle, open_bundle
from ..plain import located
from ..refusal import innermost, refuse, refuse_errors
from .observation import Observation, observe
from .page import Page
from .pictures import draw_sample
from .prediction import Prediction, example_prediction
from .restorations import is_restoration
from .trained import Restored, Restorer, find_run, take_recipe

__all__ = ["preview"]

MOST = 16  # samples on one page


def preview(
    bundle: str | Path,
    out: str | Path,
    config: str = "train.json",
    overrides: Mapping[str, Any] | None = None,
    samples: int = 2,
    run: str | Path | None = None,
) -> Path:
    """Draw what the network of a bundle sees, and, of a run that restores images, what it makes of that.

    A training config's own data set draws the first samples of its stream, with the seeds that training uses; no
    network is trained and nothing is written but the picture (and the cache of the data set). Patches and views are
    shown in the volume they were cut from, by the record ``pretext`` (docs/previews.md); labels as outlines, before and
    after random changes. Of a config for inference or evaluation the first images are drawn as they go in.

    With ``run``, its network as it stands in ``last.pt`` restores the samples; the config then has the run's values,
    except for those that are given here, and except for the data.

    Args:
        bundle: a bundle's name, folder or config file.
        out: a ``.png`` file in a folder that exists; an older picture is replaced.
        config: which config, where ``bundle`` is not itself a file.
        overrides: values by key, such as ``{"manifest": "mine.json", "patch_size": [12, 12, 12]}``.
        samples: how many samples, 1 to 16.
        run: a run's name, ``"latest"``, ``"<bundle>@<run>"`` or its folder; None draws no network's output.

    Returns:
        The picture.

    Raises:
        ValueError: ``out`` is no PNG file, ``samples`` out of range, a record is not as it should be, or the run is one
            of another bundle.
        FileNotFoundError: no such bundle, config, folder or run.
        GuardError: a wrong key, missing data, a config without a data set, a transform that fails, or a network that
            restores no images.

    Example:
        >>> preview("cpc3d", "cpc3d.jpg")
        Traceback (most recent call last):
        ...
        ValueError: out must be a file that ends in .png; found 'cpc3d.jpg'; choose another name
    """
    out = _checked(out, samples)
    opened = open_bundle(bundle, config, overrides)
    folder = None if run is None else find_run(opened, run)
    words = "" if folder is None else take_recipe(opened, folder, overrides or {})
    refuse_errors(problems_of((keys_rule, values_rule, data_rule, shards_rule), opened))
    parser = opened.parser
    fill_inherited(parser, opened.original)
    section = _section(opened)
    try:
        with on_the_side():
            seen = observe(parser, section, samples)
            network = _predictor(parser) if section else None
    except Exception as error:  # a transform may raise anything, and MONAI wraps it several times
        refuse(
            f"a data set of {opened.file.name} whose transforms can read and cut its images",
            innermost(error),
            "correct the sizes, the spacing or the transform that this names, by --key value; "
            f"'python -m medvol check {opened.name}' looks at all of them",
        )
    restored: list[Restored] = []
    if folder is not None:
        _check_restoration(opened, seen)
        with on_the_side():
            restorer = Restorer(opened, folder)
            restored = [restorer.restore(one.sample) for one in seen]
        words = f"network: {words}, {restorer.steps} steps"
    return write_whole(out, _page(opened, seen, network, restored, words).png())


def _checked(out: str | Path, samples: int) -> Path:
    out = Path(out).expanduser()
    if out.suffix.lower() != ".png":
        raise ValueError(f"out must be a file that ends in .png; found '{out}'; choose another name")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"out must lie in a folder that exists; found no folder {out.absolute().parent}; make it "
            "or correct the path"
        )
    if out.is_dir():
        raise ValueError(f"out must be a file; found a folder at {out}; choose another name")
    if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= MOST:
        raise ValueError(f"samples must be a whole number from 1 to {MOST}; found {samples!r}; choose another")
    return out


def _check_restoration(opened: OpenBundle, seen: list[Observation]) -> None:
    if not all(is_restoration(one.sample) for one in seen):
        refuse(
            "samples that are restored for --run: with a mask, an image as the label, or the record of a task",
            f"those of {opened.name}, which have none of them",
            "leave out --run; of a segmentation, 'evaluate' draws what a network makes of its images",
        )


def _section(opened: OpenBundle) -> str:
    """Return the prefix of the config's data set."""
    for section, place in (("train::", opened.config.get("train")), ("", opened.config)):
        if isinstance(place, Mapping) and {"dataset", "dataloader", "preprocessing"} <= set(place):
            return section
    refuse(
        f"a data set in {opened.file.name}: 'preprocessing', 'dataset' and 'dataloader', under 'train' or at the top",
        f"the keys {', '.join(key for key in opened.config if key != '_meta_')}",
        "give another config of the bundle by --config, such as --config train.json",
    )


def _page(
    opened: OpenBundle, seen: list[Observation], network: CPC | None, restored: list[Restored], words: str
) -> Page:
    parser = opened.parser
    name, synthetic, label_map = _data(parser)
    modalities = parser.config.get("modalities")
    named = [modalities] if isinstance(modalities, str) else list(modalities or ())
    labels = {
        "regions": [region[0] for region in parser.config.get("regions") or ()],
        "classes": parser.config.get("classes"),
        "label_map": label_map,
    }
    page = Page()
    makes = ", and what it makes of it" if restored else ""
    page.text(f"{opened.name}: what the network sees{makes}", size=12, bold=True)
    page.text(f"data: {name}{', synthetic data' if synthetic else ''}; {opened.file.name}", size=9)
    if words:
        page.text(words, size=9)
    for number, one in enumerate(seen):
        page.space(0.08)
        page.text(_caption(one, parser.config), size=8, color="0.35")
        channels = one.source.shape[0]
        names = named if len(named) == channels else [f"channel {number}" for number in range(channels)]
        prediction, background = _prediction(network, one)
        made = restored[number] if restored else None
        # What a pretext task has made has other numbers than the manifest's labels.
        known = labels if one.record is None else {}
        draw_sample(page, one, names, known, prediction, background, made)
    return page


def _data(parser: ConfigParser) -> tuple[str, bool, dict[str, int]]:
    config = parser.config
    if config.get("input_dir") is not None:
        return Path(config["input_dir"]).name, False, dict(config.get("label_map") or {})
    if config.get("manifest") is None:
        return "", False, {}
    manifest = load_manifest(config["manifest"], config.get("dataset_dir"))
    return manifest.name, manifest.synthetic, dict(manifest.label_map)


def _caption(one: Observation, config: Mapping[str, Any]) -> str:
    place = "" if one.position is None else f"seed {config.get('seed', 0)}, position {one.position}"
    sizes = " x ".join(f"{size:.3g}" for size in one.geometry.spacing)
    spacing = f"voxels of {sizes} mm" if one.geometry.known else "voxels of no stated size"
    shape = " x ".join(str(size) for size in one.source.shape[1:])
    return "; ".join(word for word in (one.case, place, f"{shape} {spacing}") if word)


def _predictor(parser: ConfigParser) -> CPC | None:
    """Build the network of a config of contrastive predictive coding, whose grid says what is predicted from what."""
    target = located(parser.config.get("network"))
    if not (isinstance(target, type) and issubclass(target, CPC)):
        return None
    return parser.get_parsed_content("network")


def _prediction(network: CPC | None, one: Observation) -> tuple[Prediction | None, list[bool]]:
    foreground = one.sample.get("foreground")
    if network is None or one.record is None or len(one.record.boxes) != np.prod(network.grid):
        return None, []
    share = np.ones(len(one.record.boxes)) if foreground is None else np.asarray(foreground)
    return example_prediction(network, share.tolist()), (share < network.foreground_threshold).tolist()
