"""Score a trained run, and know the scores again: whose they are, and how and by which code they were made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Scoring", "drop_scores", "is_current", "read_scoring", "score", "scoring_of"]

_NOTE, _SCORES = "scoring.json", "metrics.csv"
_PLACES = ("weights", "results_dir", "save_predictions")  # where to, or said by Scoring.weights


@dataclass(frozen=True)
class Scoring:
    """The identity of a scoring.

    Attributes:
        recipe: SHA-256 of the evaluation's config, with the hashes of what it names.
        weights: SHA-256 of the file of weights.
        versions: of medvol, its code, torch and MONAI.
    """

    recipe: str
    weights: str
    versions: Mapping[str, str]


def scoring_of(bundle: str | os.PathLike[str], run_dir: Path, given: Mapping[str, Any], weights: str) -> Scoring:
    """Return the identity that a scoring would get, without starting it.

    Args:
        bundle: a bundle's name or folder; the config is ``evaluate.json``.
        run_dir: the folder of the trained run.
        given: overrides of the evaluation.
        weights: SHA-256 of the run's ``model.pt``.

    Raises:
        FileNotFoundError: no such bundle or manifest.
        ValueError: a nested key leads nowhere, or a file is damaged.
    """
    from medvol.bundles.identity import recipe, versions
    from medvol.bundles.inherit import fill_inherited
    from medvol.bundles.opening import open_bundle

    opened = open_bundle(bundle, "evaluate.json", {"weights": str(run_dir / "model.pt"), **given})
    fill_inherited(opened.parser, opened.original)
    content = recipe({key: value for key, value in opened.config.items() if key not in _PLACES})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Scoring(digest, weights, versions())


def read_scoring(place: Path) -> Scoring | None:
    """Return the identity of the scores in a folder; None where they do not say it, as those of older versions.

    Args:
        place: holds ``metrics.csv`` and ``scoring.json``.
    """
    try:
        record = json.loads((place / _NOTE).read_text(encoding="utf-8"))
        return Scoring(str(record["recipe"]), str(record["weights"]), dict(record["versions"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_current(place: Path, wanted: Scoring, accept_other_code: bool = False) -> bool:
    """Return whether the scores that are wanted lie in a folder.

    Args:
        place: the folder.
        wanted: of :func:`scoring_of`.
        accept_other_code: whether other versions will do, and scores that do not say what made them.
    """
    if not (place / _SCORES).is_file():
        return False
    found = read_scoring(place)
    if found is None:
        return accept_other_code
    same = (found.recipe, found.weights) == (wanted.recipe, wanted.weights)
    return same and (accept_other_code or found.versions == wanted.versions)


def score(bundle: str, run_dir: Path, name: str, given: Mapping[str, Any], wanted: Scoring) -> None:
    """Score a run into a folder inside of its own, which appears with everything in it or not at all.

    Args:
        bundle: the bundle.
        run_dir: the folder of the trained run.
        name: name of the folder of the scores.
        given: overrides of the evaluation.
        wanted: of :func:`scoring_of`, written beside the scores.

    Raises:
        FileNotFoundError: the evaluation leaves no scores.
    """
    from medvol import bundles

    part = run_dir / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    bundles.run(bundle, "evaluate.json", weights=str(run_dir / "model.pt"), results_dir=str(part), **given)
    if not (part / _SCORES).is_file():
        raise FileNotFoundError(f"a scoring must leave {_SCORES}; found none in {part}; correct evaluate.json")
    (part / _NOTE).write_text(json.dumps(asdict(wanted), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(run_dir / name, ignore_errors=True)
    part.replace(run_dir / name)


def drop_scores(run_dir: Path) -> None:
    """Remove all scores of a run."""
    for scores in run_dir.glob(f"*/{_SCORES}"):
        shutil.rmtree(scores.parent)
