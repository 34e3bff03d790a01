"""Read the arms of a study file: where each starts from, and how its fine-tuning differs from the others'."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvol.bundles.keys import suggest
from medvol.bundles.reading import read_json
from medvol.bundles.showing.listing import bundle_folders

from .design import Arm, Pretraining
from .entries import entry_name, known_object, number, objects, refuse, text, unique

__all__ = ["check_bundles", "nearest_args", "read_arms", "read_overrides", "written_out"]

_HOW = ("frozen", "longer", "learning_rate", "overrides")
_KEYS = ("pretrain", "weights", "against", *_HOW)
_EACH = ("each", "args", "bundles", *_HOW)
_PRETEXT = "pretext bundles"
_OF_THE_PLAN = {
    "seed": "seeds", "arm": "arms", "run_name": "arms", "output_dir": "--out", "run_dir": "--out", "mlflow": "",
    "restart": "",
}  # fmt: skip
"""Keys of all runs that the plan decides, and where they are stated instead."""
_OF_A_FINE_TUNING = {"num_patients": "counts", "subset_seed": "seeds", "pretrained": "arms::<arm>::weights"}


def written_out(arms: Any) -> dict[str, Any]:
    """Return the arms of a study file with the bundles of each ``each`` noted in it.

    ``{"each": "pretext bundles", "args": F}`` stands for every bundle on disk that starts from nothing and has the
    file F. Its list ``bundles`` fixes which these are; where it is missing, it is filled from the disk, so that a study
    that was planned once keeps its arms.

    Args:
        arms: the entry ``arms`` of a study file.

    Raises:
        ValueError: an entry is malformed.

    Example:
        >>> entry = {"each": "pretext bundles", "args": "args_hippocampus.json"}
        >>> "cpc3d" in written_out({"pretext": entry})["pretext"]["bundles"]
        True
    """
    found = {}
    for name, node in objects(arms, "arms", dict, 1).items():
        place = f"arms::{entry_name(name, 'a name in arms')}"
        if isinstance(node, Mapping) and "each" in node:
            node = known_object(node, place, _EACH)
            if node["each"] != _PRETEXT:
                refuse(f"{place}::each", f'"{_PRETEXT}"', repr(node["each"]), "write it so")
            args = node.get("args")
            names = node.get("bundles")
            names = _pretext_bundles(None if args is None else text(args, f"{place}::args")) if names is None else names
            node["bundles"] = [text(entry, f"{place}::bundles") for entry in objects(names, f"{place}::bundles", list)]
        found[name] = node
    return found


def read_arms(arms: Mapping[str, Any], pretraining: Mapping[str, Any] | None = None) -> dict[str, Arm]:
    """Return the arms by name.

    Args:
        arms: as :func:`written_out` returns them.
        pretraining: overrides of every pre-training, under those of an arm.

    Raises:
        ValueError: an unknown key, a value of another type, two arms of one name, or an arm that there is not in the
            place of a learning rate or to be compared with.

    Example:
        >>> read_arms({"scratch": {}})["scratch"].starts_from_scratch
        True
    """
    entries: list[tuple[str, str, Mapping[str, Any]]] = []
    for name, node in arms.items():
        place = f"arms::{name}"
        if isinstance(node, Mapping) and "each" in node:
            how = {key: node[key] for key in _HOW if key in node}
            entries += [
                (bundle, place, {"pretrain": {"bundle": bundle, "args": node.get("args")}, **how})
                for bundle in node["bundles"]
            ]
        else:
            entries.append((entry_name(name, "a name in arms"), place, known_object(node, place, _KEYS)))
    if not entries:
        refuse("arms", "at least one arm", "none, for no bundle fits", 'add an arm, such as "scratch": {}')
    unique([name.lower() for name, _, _ in entries], "the names of the arms, in small letters,")
    found = {name: _arm(name, place, node, pretraining or {}) for name, place, node in entries}
    for arm in found.values():
        _check_rate(arm, found)
        _check_against(arm, found)
    return found


def read_overrides(node: Any, place: str, pretraining: bool = False) -> dict[str, Any]:
    """Return overrides of a bundle's config, after refusing keys that the plan decides.

    Args:
        node: values by key; ``"train::trainer::clip_norm"`` reaches into the config.
        place: where they stand.
        pretraining: whether they are of a pre-training, which may be given its own patients and start.

    Raises:
        ValueError: it is no object, or has such a key.

    Example:
        >>> read_overrides({"steps": 600}, "downstream::overrides")
        {'steps': 600}
    """
    decided = _OF_THE_PLAN if pretraining else {**_OF_THE_PLAN, **_OF_A_FINE_TUNING}
    for key in objects(node, place, dict):
        if not key.strip():
            refuse(place, "overrides of keys that have a name", repr(key), "name the key")
        if key in decided:
            where = decided[key]
            remedy = f"state it by {where}" if where else "leave it out"
            refuse(place, "overrides of other keys than those that the study decides", f"'{key}'", remedy)
    return {str(key).replace("#", "::"): value for key, value in node.items()}


def check_bundles(downstream: Mapping[str, str], arms: Mapping[str, Arm]) -> None:
    """Refuse bundles and files of overrides that there are not.

    Args:
        downstream: bundles to fine-tune and to score, by the place where the study file names them.
        arms: the arms.

    Raises:
        ValueError: with the nearest name.
    """
    for place, name in downstream.items():
        if not (bundle_folder(name, place) / "evaluate.json").is_file():
            remedy = "give a bundle that segments or classifies"
            refuse(place, "a downstream bundle, which has an evaluate.json", f"'{name}' without it", remedy)
    for arm in arms.values():
        if arm.pretraining is not None:
            place = f"arms::{arm.name}::pretrain"
            folder = bundle_folder(arm.pretraining.bundle, f"{place}::bundle")
            read_args(folder, arm.pretraining.args, f"{place}::args")


def bundle_folder(name: str, place: str) -> Path:
    """Return the folder of a bundle, given its name or its folder.

    Raises:
        ValueError: there is no such bundle, or it has no ``train.json``.
    """
    known = bundle_folders()
    folder = known.get(name) or Path(name)
    if not (folder / "train.json").is_file():
        found = f"'{name}'{suggest(name, known)}"
        refuse(place, "a bundle with a train.json", found, f"give one of {', '.join(known)}, or a bundle's folder")
    return folder


def read_args(folder: Path, args: str | None, place: str) -> dict[str, Any]:
    """Return the overrides in a file of a bundle, none for None.

    Raises:
        ValueError: there is no such file, or it is no JSON object.
    """
    if args is None:
        return {}
    if not (folder / args).is_file():
        known = sorted(file.name for file in folder.glob("args*.json"))
        found = f"no '{args}' in {folder.name}{suggest(args, known)}"
        refuse(place, "a file of overrides in the bundle's folder", found, f"give one of {', '.join(known) or 'none'}")
    return read_json(folder / args)


def nearest_args(args: str) -> str:
    """Return ``"; did you mean 'args_x.json'?"`` for the file of overrides that is named almost so, or nothing.

    Example:
        >>> nearest_args("args_hipocampus.json")
        "; did you mean 'args_hippocampus.json'?"
    """
    known = {file.name for folder in bundle_folders().values() for file in folder.glob("args*.json")}
    stems = {name.removeprefix("args_").removesuffix(".json"): name for name in sorted(known)}  # what tells them apart
    near = difflib.get_close_matches(args.removeprefix("args_").removesuffix(".json"), stems, n=1)
    return f"; did you mean '{stems[near[0]]}'?" if near else ""


def _pretext_bundles(args: str | None) -> list[str]:
    folders = [folder for folder in bundle_folders().values() if (folder / "train.json").is_file()]
    starting = [folder for folder in folders if "pretrained" not in read_json(folder / "train.json")]
    return [folder.name for folder in starting if args is None or (folder / args).is_file()]


def _arm(name: str, place: str, node: Mapping[str, Any], common: Mapping[str, Any]) -> Arm:
    pretrain, weights, rate = node.get("pretrain"), node.get("weights"), node.get("learning_rate")
    if pretrain is not None and weights is not None:
        refuse(place, "an arm with one start", "'pretrain' and 'weights'", "keep one of them")
    frozen = node.get("frozen", False)
    if not isinstance(frozen, bool):
        refuse(f"{place}::frozen", "true or false", repr(frozen), "correct it")
    if frozen and pretrain is None and weights is None:
        refuse(f"{place}::frozen", "false for an arm from scratch", "true", "give it 'pretrain' or 'weights'")
    overrides = read_overrides(node.get("overrides", {}), f"{place}::overrides")
    if "learning_rate" in overrides:
        refuse(f"{place}::overrides", "without 'learning_rate'", "it", f"state it as {place}::learning_rate")
    if isinstance(rate, str):
        rate = text(rate, f"{place}::learning_rate")
    elif rate is not None:
        rate = number(rate, f"{place}::learning_rate", above=0)
    return Arm(
        name=name,
        pretraining=None if pretrain is None else _pretraining(pretrain, f"{place}::pretrain", common),
        weights=None if weights is None else text(weights, f"{place}::weights"),
        frozen=frozen,
        longer=number(node.get("longer", 1), f"{place}::longer", above=0),
        learning_rate=rate,
        overrides=overrides,
        against=None if node.get("against") is None else text(node["against"], f"{place}::against"),
    )


def _pretraining(node: Any, place: str, common: Mapping[str, Any]) -> Pretraining:
    node = known_object(node, place, ("bundle", "args", "overrides"), ("bundle",))
    args = node.get("args")
    own = read_overrides(node.get("overrides", {}), f"{place}::overrides", pretraining=True)
    return Pretraining(
        bundle=text(node["bundle"], f"{place}::bundle"),
        args=None if args is None else text(args, f"{place}::args"),
        overrides={**common, **own},
    )


def _check_against(arm: Arm, arms: Mapping[str, Arm]) -> None:
    others = [name for name in arms if name != arm.name]
    if arm.against is not None and arm.against not in others:
        found = f"'{arm.against}'{suggest(arm.against, others)}"
        refuse(f"arms::{arm.name}::against", "another arm", found, f"give one of {', '.join(others) or 'no arm'}")


def _check_rate(arm: Arm, arms: Mapping[str, Arm]) -> None:
    rate, place = arm.learning_rate, f"arms::{arm.name}::learning_rate"
    if not isinstance(rate, str):
        return
    others = [name for name in arms if name != arm.name]
    if rate not in others:
        found = f"'{rate}'{suggest(rate, others)}"
        refuse(place, "a number, or the name of another arm", found, f"give one of {', '.join(others) or 'no arm'}")
    if isinstance(arms[rate].learning_rate, str):
        found = f"'{rate}', which takes that of '{arms[rate].learning_rate}'"
        refuse(place, "an arm with a learning rate of its own", found, f"name '{arms[rate].learning_rate}' itself")
