"""Read a study file, and refuse everything in it that can be known to be wrong."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvol.bundles.keys import suggest
from medvol.bundles.reading import read_json
from medvol.metrics.direction import HIGHER, LOWER, higher_is_better

from .arms import check_bundles, read_arms, read_overrides, written_out
from .design import Arm, Published, Replicate, Robustness, Score, Study, Tuning
from .entries import count, entry_name, known_object, number, objects, refuse, text, unique, whole

__all__ = ["load_study", "parse_study", "shipped_studies", "study_name"]

_KEYS = (
    "name question downstream pretraining scores counts seeds arms reference tune margin section variants robustness "
    "published"
).split()
_REQUIRED = ("name", "question", "downstream", "counts", "seeds", "arms", "margin")
_SEEDS = ("pretraining", "subset", "finetuning")
_LARGEST_SEED = 2**32 - 1  # as numpy takes it
_SECTIONS = ("validation", "test")  # what a run was trained on is no section to score


def load_study(name_or_path: str | Path) -> Study:
    """Read a study: one that comes with medvol, a study file, or the one of a study folder.

    A file beside a ``plan.json`` has been planned before: its bundles are not looked for, so that a study can be
    reported where they are not.

    Args:
        name_or_path: name of a study of :func:`shipped_studies`, path of a JSON file, or a study folder.

    Raises:
        FileNotFoundError: there is no such study; the message names the nearest one.
        ValueError: something in it is wrong; the message says where.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.json"
        >>> content = {"name": "mine", "question": "Does it?", "downstream": {"bundle": "unet_brats"}, "margin": 0.01,
        ...            "counts": ["all"], "seeds": [0, 1, 2], "arms": {"scratch": {}}}
        >>> _ = path.write_text(json.dumps(content), encoding="utf-8")
        >>> load_study(path).reference
        'scratch'
    """
    file = _file(name_or_path)
    raw = read_json(file)
    try:
        study = parse_study(raw)
        if not file.with_name("plan.json").is_file():
            check_bundles({"downstream::bundle": study.bundle}, study.arms)
    except ValueError as error:
        raise ValueError(f"{error} ({file})") from error
    return study


def study_name(name_or_path: str | Path) -> str:
    """Return the name of a study without looking at the rest of it, given as to :func:`load_study`.

    Raises:
        FileNotFoundError: there is no such study.
        ValueError: its file is damaged, or has no name.

    Example:
        >>> study_name("smoke")
        'smoke'
    """
    file = _file(name_or_path)
    return entry_name(read_json(file).get("name"), f"'name' in {file}")


def shipped_studies() -> dict[str, Path]:
    """Return the study files that come with medvol, by name.

    Example:
        >>> all(file.suffix == ".json" for file in shipped_studies().values())
        True
    """
    return {file.stem: file for file in sorted((Path(__file__).parents[1] / "designs").glob("*.json"))}


def parse_study(raw: Mapping[str, Any]) -> Study:
    """Return the study that the content of a study file states.

    Args:
        raw: the content.

    Raises:
        ValueError: something in it is wrong; the message says where.
    """
    node = known_object(raw, "a study", _KEYS, _REQUIRED)
    arms_as_written = written_out(node["arms"])
    downstream = known_object(node["downstream"], "downstream", ("bundle", "overrides"), ("bundle",))
    counts = _counts(node["counts"], "counts")
    replicates = _replicates(node["seeds"])
    pretraining = known_object(node.get("pretraining", {}), "pretraining", ("overrides",))
    common = read_overrides(pretraining.get("overrides", {}), "pretraining::overrides", pretraining=True)
    arms = read_arms(arms_as_written, common)
    scores = tuple(_score(entry, f"scores::{i}") for i, entry in enumerate(_list(node, "scores", [{}])))
    unique([score.name for score in scores], "scores")
    study = Study(
        name=entry_name(node["name"], "name"),
        question=text(node["question"], "question"),
        bundle=text(downstream["bundle"], "downstream::bundle"),
        overrides=read_overrides(downstream.get("overrides", {}), "downstream::overrides"),
        scores=scores,
        counts=counts,
        replicates=replicates,
        arms=arms,
        reference=_one_of(node.get("reference", "scratch"), "reference", tuple(arms)),
        tuning=_tuning(node.get("tune"), counts, len(replicates)),
        margin=number(node["margin"], "margin", above=0),
        variants=_variants(node.get("variants")),
        robustness=_robustness(node.get("robustness"), counts),
        published=tuple(_published(entry, f"published::{i}") for i, entry in enumerate(_list(node, "published", []))),
        section=_one_of(node.get("section", "test"), "section", _SECTIONS),
        raw={**node, "arms": arms_as_written},
    )
    _check_tuned_rates(study)
    return study


def _file(name_or_path: str | Path) -> Path:
    shipped, path = shipped_studies(), Path(name_or_path)
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if path.is_file():
        return path
    if (path / "study.json").is_file():
        return path / "study.json"
    known = ", ".join(shipped) or "none here"
    raise FileNotFoundError(
        f"a study must be the name of one that comes with medvol, a JSON file or a study folder; found neither for "
        f"'{name_or_path}'{suggest(str(name_or_path), shipped)}; correct the path, or give one of: {known}"
    )


def _list(node: Mapping[str, Any], key: str, default: list[Any]) -> list[Any]:
    return objects(node.get(key, default), key, list, 1 if default else 0)


def _one_of(value: Any, place: str, known: tuple[str, ...]) -> str:
    if value not in known:
        found = f"{value!r}{suggest(str(value), known)}"
        refuse(place, f"one of {', '.join(known)}", found, "correct it")
    return value


def _score(node: Any, place: str) -> Score:
    node = known_object(node, place, ("metric", "region", "higher_is_better"))
    metric, region = (text(node.get(key, getattr(Score, key)), f"{place}::{key}") for key in ("metric", "region"))
    known, given = higher_is_better(metric), node.get("higher_is_better")
    if given is not None and not isinstance(given, bool):
        refuse(f"{place}::higher_is_better", "true or false", repr(given), "correct it")
    if known is None and given is None:
        found = f"{metric!r}{suggest(metric, (*HIGHER, *LOWER))}"
        remedy = 'correct the name, or say "higher_is_better": true or false beside it'
        refuse(f"{place}::metric", "a metric whose better direction medvol knows", found, remedy)
    if None not in (known, given) and known != given:
        refuse(f"{place}::higher_is_better", f"{json.dumps(known)} for {metric}", json.dumps(given), "leave it out")
    return Score(metric, region, given)


def _counts(node: Any, place: str) -> tuple[int | str, ...]:
    counts = [count(value, f"{place}::{i}") for i, value in enumerate(objects(node, place, list, 1))]
    ranked = [float("inf") if value == "all" else value for value in counts]
    if any(a >= b for a, b in itertools.pairwise(ranked)):
        refuse(place, 'ascending, each once, with "all" at the end', counts, "put them in order")
    return tuple(counts)


def _replicates(node: Any) -> tuple[Replicate, ...]:
    found = []
    for index, entry in enumerate(objects(node, "seeds", list, 1)):
        place = f"seeds::{index}"
        given = (
            known_object(entry, place, _SEEDS, _SEEDS) if isinstance(entry, Mapping) else dict.fromkeys(_SEEDS, entry)
        )
        found.append(Replicate(index, *(whole(given[seed], f"{place}::{seed}", 0, _LARGEST_SEED) for seed in _SEEDS)))
    for seed in _SEEDS:  # replicates that share a seed are not independent of one another
        unique([getattr(replicate, seed) for replicate in found], f"the {seed} seeds of the replicates")
    return tuple(found)


def _tuning(node: Any, counts: tuple[int | str, ...], num_replicates: int) -> Tuning | None:
    if node is None:
        return None
    node = known_object(node, "tune", ("count", "replicate", "values"), ("count", "values"))
    values = [
        number(v, f"tune::values::{i}", above=0) for i, v in enumerate(objects(node["values"], "tune::values", list, 1))
    ]
    unique([f"{value:g}" for value in values], "tune::values, in six digits,")
    chosen = count(node["count"], "tune::count")
    if chosen not in counts:
        refuse("tune::count", f"one of the study's counts, {', '.join(map(str, counts))}", repr(chosen), "correct it")
    replicate = whole(node.get("replicate", 0), "tune::replicate", 0, num_replicates - 1)
    return Tuning(chosen, replicate, tuple(values))


def _variants(node: Any) -> dict[str, dict[str, Any]]:
    if not node and (node is None or isinstance(node, dict)):
        return {"": {}}
    entries = objects(node, "variants", dict).items()
    unique([entry_name(name, "a name in variants").lower() for name, _ in entries], "variants, in small letters,")
    return {name: read_overrides(overrides, f"variants::{name}") for name, overrides in entries}


def _robustness(node: Any, counts: tuple[int | str, ...]) -> Robustness | None:
    if node is None:
        return None
    node = known_object(node, "robustness", ("corruptions", "severities", "counts"), ("corruptions", "severities"))
    place = "robustness::corruptions"
    names = [text(name, place) for name in objects(node["corruptions"], place, list, 1)]
    unique(names, place)
    place = "robustness::severities"
    severities = [whole(value, place, 1, 5) for value in objects(node["severities"], place, list, 1)]
    unique(severities, place)
    chosen = _counts(node.get("counts", [counts[-1]]), "robustness::counts")
    for value in chosen:
        if value not in counts:
            expected = f"some of the study's counts, {', '.join(map(str, counts))}"
            refuse("robustness::counts", expected, repr(value), "correct it")
    return Robustness(tuple(names), tuple(sorted(severities)), chosen)


def _published(node: Any, place: str) -> Published:
    node = known_object(
        node, place, ("title", "citation", "note", "columns", "rows"), ("title", "citation", "columns", "rows")
    )
    columns = tuple(
        text(name, f"{place}::columns", empty=True) for name in objects(node["columns"], f"{place}::columns", list, 1)
    )
    rows = []
    for i, row in enumerate(objects(node["rows"], f"{place}::rows", list, 1)):
        cells = objects(row, f"{place}::rows::{i}", list)
        if len(cells) != len(columns):
            refuse(f"{place}::rows::{i}", f"{len(columns)} cells, as the columns", len(cells), "add or remove some")
        rows.append(tuple(text(cell, f"{place}::rows::{i}", empty=True) for cell in cells))
    title, citation = (text(node[key], f"{place}::{key}") for key in ("title", "citation"))
    return Published(title, citation, text(node.get("note", ""), f"{place}::note", empty=True), columns, tuple(rows))


def _check_tuned_rates(study: Study) -> None:
    """A tuned learning rate would overrule one that is given as an override."""
    if study.tuning is None or not any(_is_tuned(arm) for arm in study.arms.values()):
        return
    places = {"downstream::overrides": study.overrides, **{f"variants::{n}": v for n, v in study.variants.items()}}
    for place, overrides in places.items():
        if "learning_rate" in overrides:
            remedy = "leave it out, or take 'tune' out, or give the arms their own learning_rate"
            refuse(place, "without 'learning_rate' where it is tuned", overrides["learning_rate"], remedy)


def _is_tuned(arm: Arm) -> bool:
    return arm.learning_rate is None
