"""Splitting a manifest by patient: validation and test parts, folds and nested label counts, seeded and stratified."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import medvol

from .datalist import SECTIONS, did_you_mean
from .manifest import Manifest
from .splits import order_patients, split_patients, subset_patients

# More strata than this are a number in disguise, such as an age: the shares of single values mean nothing.
_MOST_STRATA = 50


def split_manifest(
    manifest: Manifest,
    validation: int | str = 0,
    test: int | str | None = None,
    seed: int = 0,
    stratify: str | None = None,
    label_counts: Sequence[int] = (),
    subset_seed: int = 0,
    redeal_test: bool = False,
) -> Manifest:
    """Return the manifest with its patients dealt anew into training, validation and test.

    All cases of a patient go together. Who goes where depends on the patients' names and the seed alone, not on the
    order of the rows. A test section that is already there is the source's own and stays as it is.

    Args:
        manifest: any manifest.
        validation: patients in the validation section: a number, or a share such as ``"20%"``.
        test: the same for the test section; None leaves that section alone.
        seed: split seed.
        stratify: keep the shares of this: ``"group"``, a target or a column. A patient with several values is a stratum
            of its own kind.
        label_counts: numbers of labelled training patients to write down in ``split``: nested subsets, the very ones
            that ``items(num_patients=n, subset_seed=subset_seed)`` draws.
        subset_seed: seed of those subsets.
        redeal_test: deal the patients of an existing test section, too.

    Raises:
        ValueError: an unknown stratum, sizes that do not fit, an existing test section that would be dealt anew, or no
            patient left for training.

    Example:
        >>> from pathlib import Path
        >>> items = [{"image": f"{i}.nii.gz", "patient": f"P{i}"} for i in range(10)]
        >>> manifest = Manifest("demo", Path("."), ("t1",), {}, True, {"training": items})
        >>> split = split_manifest(manifest, validation="20%", test=3)
        >>> {section: len(split.patients(section)) for section in ("training", "validation", "test")}
        {'training': 5, 'validation': 2, 'test': 3}
    """
    kept = () if redeal_test or not manifest.sections["test"] else ("test",)
    if kept and test is not None:
        raise ValueError(
            f"manifest '{manifest.name}' must have no test section to be given one; it has "
            f"{len(manifest.patients('test'))} test patients of its own; leave test out, or ask for redeal_test"
        )
    rows = [item for section in SECTIONS if section not in kept for item in manifest.sections[section]]
    patients = sorted({item["patient"] for item in rows})
    sizes = {
        "test": _size(test or 0, len(patients), "test"),
        "validation": _size(validation, len(patients), "validation"),
    }
    left = len(patients) - sum(sizes.values())
    if left < 1:
        raise ValueError(
            f"validation and test must leave at least one of the {len(patients)} patients for training; found "
            f"{sizes['validation']} and {sizes['test']}; make them smaller"
        )
    strata = _strata(manifest, rows, stratify) if stratify else None
    parts = split_patients(patients, {**sizes, "training": -1}, seed, strata)
    if kept:
        parts["test"] = manifest.patients("test")
    record: dict[str, Any] = {"seed": seed, "unit": "patient", "validation_patients": sizes["validation"]}
    record |= {"test": "the source's own"} if kept else {"test_patients": sizes["test"]}
    return _dealt(manifest, parts, record, stratify, label_counts, subset_seed)


def fold_manifests(manifest: Manifest, folds: int = 5, seed: int = 0, stratify: str | None = None) -> list[Manifest]:
    """Return one manifest for each fold of a cross-validation, over the patients of training and validation.

    Fold k's validation section holds the k-th part of the patients, its training section the others; the test section
    stays. Every patient is validated on exactly once.

    Args:
        manifest: any manifest.
        folds: how many, 2 or more.
        seed: split seed.
        stratify: see :func:`split_manifest`.

    Raises:
        ValueError: fewer patients than folds, fewer than two folds, or an unknown stratum.

    Example:
        >>> from pathlib import Path
        >>> items = [{"image": f"{i}.nii.gz", "patient": f"P{i}"} for i in range(7)]
        >>> manifest = Manifest("demo", Path("."), ("t1",), {}, True, {"training": items})
        >>> [len(fold.patients("validation")) for fold in fold_manifests(manifest, folds=3)]
        [3, 2, 2]
    """
    rows = [item for section in ("training", "validation") for item in manifest.sections[section]]
    patients = sorted({item["patient"] for item in rows})
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= len(patients):
        raise ValueError(
            f"folds must be a whole number from 2 to {len(patients)}, the patients there are; found {folds!r}; choose "
            "a number in that range"
        )
    order = order_patients(patients, f"split-{seed}", _strata(manifest, rows, stratify) if stratify else None)
    # Consecutive parts of a stratified order hold the strata in their shares; every folds-th patient need not.
    small, larger = divmod(len(order), folds)
    ends = [small * k + min(k, larger) for k in range(folds + 1)]
    made = []
    for k in range(folds):
        chosen = set(order[ends[k] : ends[k + 1]])
        parts = {
            "training": [patient for patient in patients if patient not in chosen],
            "validation": sorted(chosen),
            "test": manifest.patients("test"),
        }
        record = {"seed": seed, "unit": "patient", "fold": k, "folds": folds}
        made.append(_dealt(manifest, parts, record, stratify, (), 0))
    return made


def _dealt(
    manifest: Manifest,
    parts: dict[str, list[str]],
    record: dict[str, Any],
    stratify: str | None,
    label_counts: Sequence[int],
    subset_seed: int,
) -> Manifest:
    place = {patient: section for section, patients in parts.items() for patient in patients}
    sections: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    # By name, so that the same split of the same data is the same file.
    for item in sorted((item for items in manifest.sections.values() for item in items), key=_name):
        sections[place[item["patient"]]].append(item)
    if stratify:
        record["strata"] = stratify
    if label_counts:
        labelled = {item["patient"] for item in sections["training"] if "label" in item or "targets" in item}
        counts = {str(n): sorted(subset_patients(labelled, n, subset_seed)) for n in sorted(label_counts)}
        record |= {"subset_seed": subset_seed, "label_counts": counts}
    options = {key: value for key, value in record.items() if key != "label_counts"}
    step = {"step": "split", "medvol": medvol.__version__, "options": options}
    return replace(manifest, sections=sections, split=record, provenance=[*manifest.provenance, step])


def _name(item: dict[str, Any]) -> tuple[str, str]:
    image = item["image"]
    return item["patient"], image if isinstance(image, str) else image[0]


def _size(value: int | str, total: int, what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= total:
        return value
    share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(value))
    if share and float(share[1]) <= 100:
        number = round(float(share[1]) / 100 * total)
        # A part that was asked for is never rounded away.
        return max(number, 1) if float(share[1]) > 0 else 0
    if re.fullmatch(r"\d+", str(value)) and int(value) <= total:
        return int(value)
    raise ValueError(
        f"{what} must be a number of patients from 0 to {total}, or a share such as 20%; found {value!r}; correct it"
    )


def _strata(manifest: Manifest, rows: Sequence[dict[str, Any]], key: str) -> dict[str, str]:
    columns = {name for item in rows for name in item.get("columns", {})}
    known = ["group", *manifest.targets, *sorted(columns)]
    if key not in known:
        raise ValueError(f"stratify must be 'group', a target or a column; found '{key}'; {did_you_mean(key, known)}")
    found: dict[str, set[str]] = defaultdict(set)
    for item in rows:
        places = (
            {"group": item.get("group")} if key == "group" else {},
            item.get("targets", {}),
            item.get("columns", {}),
        )
        value = next((place[key] for place in places if place.get(key) is not None), None)
        found[item["patient"]].add("unknown" if value is None else str(value))
    strata = {patient: " + ".join(sorted(values)) for patient, values in found.items()}
    if len(set(strata.values())) > _MOST_STRATA:
        raise ValueError(
            f"stratify must name something with at most {_MOST_STRATA} different values; '{key}' has "
            f"{len(set(strata.values()))}; add a column with a few classes of it, and name that"
        )
    return strata
