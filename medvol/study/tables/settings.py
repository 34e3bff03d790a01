"""Was a finished run made with the settings that the plan asks for, as far as its passport tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from medvol.passport import compare_passports

from ..planning.plan import PlannedRun
from ..running.sameness import shortened

__all__ = ["other_settings"]

_SHOWN = 3
_NAMED = ("manifest", "dataset_dir", "pretrained", "shards")  # a recipe holds hashes of what these name


def other_settings(
    passport: Mapping[str, Any], run: PlannedRun, rate: float | None = None, start: Mapping[str, Any] | None = None
) -> str:
    """Return what a run was made with and what the plan asks for, in words; empty where nothing is known to differ.

    The study file may have changed after the run: what a report says of its settings must be what it was made with.

    Args:
        passport: of the finished run.
        run: the planned run.
        rate: the learning rate that the run is reported with; None if there is none.
        start: passport of the run that it is planned to start from, as far as that lies there.

    Example:
        >>> run = PlannedRun("", "tune", "a", "", 4, 0, "b", "a", {"steps": 6}, None, None, (), None, 6, 12, "")
        >>> other_settings({"recipe": {"steps": 60}}, run)
        'steps 60, the plan asks for 6'
    """
    found = [
        f"{name} {shortened(made)}, the plan asks for {shortened(planned)}"
        for name, made, planned in _differing(passport, run, rate, start or {})
    ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _differing(
    passport: Mapping[str, Any], run: PlannedRun, rate: float | None, start: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Name, value that was used and value that is planned."""
    recipe = passport.get("recipe") or {}
    bundle = Path(run.bundle).name
    if passport.get("bundle", bundle) != bundle:
        yield "bundle", passport["bundle"], bundle
    planned = _with(recipe, {key: value for key, value in run.overrides.items() if key not in _NAMED})
    for key, (made, wanted) in compare_passports(recipe, planned).items():
        yield key, made, wanted
    rates = [value for value in (run.learning_rate, rate) if value is not None]
    wanted = {"steps": run.steps, "learning_rate": rates[0] if rates else None}
    for key, value in wanted.items():
        if key not in run.overrides and value is not None and recipe.get(key, value) != value:
            yield key, recipe[key], value
    for key in ("manifest", "shards"):
        if recipe.get(key) is not None and run.overrides.get(key) is not None:
            value = _hash_of(key, str(run.overrides[key]))
            if value is not None and value != recipe[key]:
                yield key, recipe[key], value
    if run.kind != "pretrain" and "pretrained" in recipe:
        yield from _starts(passport, run, start)


def _starts(passport: Mapping[str, Any], run: PlannedRun, start: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    used = passport["recipe"]["pretrained"]
    if (used is None) != (run.start is None and run.weights is None):
        yield "starting weights", used or "none", run.start or run.weights or "none"
    elif run.start is not None:
        origin = (passport.get("pretrained") or {}).get("hash")
        if origin and start.get("hash") and origin != start["hash"]:
            yield "starting weights of the run", origin, start["hash"]
    elif run.weights is not None and (value := _hash_of("pretrained", run.weights)) not in (None, used):
        yield "starting weights", used, value


def _with(recipe: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with overrides put into it, nested ones, too; a recipe leaves some top-level keys out."""
    from medvol.bundles.keys import plain_values

    changed = deepcopy(dict(recipe))
    for key, value in {**overrides, **plain_values(dict(overrides))}.items():
        *parents, last = key.split("::")
        node: Any = changed
        try:
            for name in parents:
                node = node[int(name) if isinstance(node, list) else name]
            if parents or last in node:
                node[int(last) if isinstance(node, list) else last] = deepcopy(value)
        except (KeyError, IndexError, TypeError, ValueError):
            if key.partition("::")[0] in recipe:
                changed[key] = value  # leads nowhere in the recipe, so it was made without it
    return changed


@lru_cache(maxsize=256)
def _hash_of(key: str, named: str) -> str | None:
    """What a recipe would hold in the place of a name or path; None where that cannot be known here."""
    if named == "phantom" or named.endswith("@latest"):  # the one would be made, the other is no fixed thing
        return None
    from medvol.bundles.identity import recipe

    try:
        return recipe({key: named})[key]
    except (OSError, ValueError):
        return None
