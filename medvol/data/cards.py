"""Cards of public data sets: access, licence, layout, labels, official split and known traps, and import by a card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from . import layouts
from .datalist import SECTIONS, case_name, did_you_mean
from .manifest import Manifest
from .manifest_places import manifest_folders

_NEUTRAL = {"name", "patient", "partial"}  # options that change neither channels nor labels nor targets


@dataclass(frozen=True)
class Card:
    """What to know of a public data set before it is imported.

    Attributes:
        name: name of the card, for instance ``"brats2021"``.
        title: what the data are, in a line.
        access: how one gets them.
        licence: what one may do with them.
        url: where the data or their terms are.
        reference: whom to cite.
        checked: what of the card was checked, and where.
        layout: ``importer`` (a key of :data:`medvol.data.layouts.LAYOUTS`), its ``options`` and a drawing, ``tree``;
            where needed ``names`` (name in the set's files to medvol's) and ``per_patient`` (consecutive images).
        modalities: names of the channels; empty where the user chooses them.
        label_map: structure to its integer in the label files; empty without label images.
        regions: region that is scored to the structures in it.
        targets: target of a whole image to its classes.
        counts: section to the numbers of ``cases`` and ``patients`` that the source states; None where unknown.
        split: the official rule, and the unit that must not be split.
        overlaps: other sets with the same patients or images: dicts of ``set`` and ``what``.
        traps: what has gone wrong for others.
        unverified: which statements of the card are recalled and not checked.

    Example:
        >>> load_card("brats2023").label_map["enhancing"], load_card("brats2021").label_map["enhancing"]
        (3, 4)
    """

    name: str
    title: str
    access: str
    licence: str
    url: str
    reference: str
    checked: list[str]
    layout: dict[str, Any]
    modalities: list[str]
    label_map: dict[str, int]
    regions: dict[str, list[str]]
    targets: dict[str, list[str]]
    counts: dict[str, dict[str, int | None]]
    split: str
    overlaps: list[dict[str, str]]
    traps: list[str]
    unverified: list[str]


def card_names() -> list[str]:
    """Return the names of all cards, in ``./data_manifests/cards`` and among the installed ones.

    Example:
        >>> "msd_task07" in card_names()
        True
    """
    return sorted({file.stem for folder in manifest_folders() for file in (folder / "cards").glob("*.json")})


def load_card(name: str) -> Card:
    """Read a card, first looked for in ``./data_manifests/cards``, then among the installed ones.

    Raises:
        FileNotFoundError: no card is called so; names the nearest one.
        ValueError: the file does not follow ``data_manifests/schema/card.schema.json``.

    Example:
        >>> load_card("rsna_pneumonia").overlaps[0]["set"]
        'chestxray14'
    """
    files = [folder / "cards" / f"{name}.json" for folder in manifest_folders()]
    file = next((file for file in files if name and Path(name).name == name and file.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"a card must be one of a public data set; none is called '{name}'; {did_you_mean(name, card_names())}"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"a card must be JSON; {file} is not ({error}); correct that place") from error
    _check_form(content, file)
    return Card(**content)


def import_card(name: str, folder: str | Path, /, **options: Any) -> tuple[Manifest, list[str]]:
    r"""Import a public data set by its card, and hold the result against what the card says.

    Args:
        name: name of the card.
        folder: folder with the data, laid out as the card draws it.
        **options: options of the card's importer, which win over the card's own; ``name`` is the manifest's.

    Returns:
        The manifest with the card's description, licence and reference, and a sentence for every number of cases or
        patients that is not the card's (a part of a set is a fine set, but should not pass for the whole), for images
        left out because their patient stands in an earlier section, and for what the user's options made different.

    Raises:
        FileNotFoundError: no such card or folder, or nothing of that layout in it.
        ValueError: an unknown option, or modalities, label map or targets that are not the card's: another release,
            or labels in another order. With options beyond ``name``, ``patient`` and ``partial`` that is meant.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "train_images").mkdir()
        >>> (folder / "train_images/a.png").touch()
        >>> _ = (folder / "train.csv").write_text("id_code,diagnosis\na,2\n")
        >>> manifest, notes = import_card("aptos", folder)
        >>> manifest.sections["training"][0]["targets"], notes
        ({'retinopathy': 'moderate'}, ["training of 'aptos' has 3662 cases at its source; found 1"])
    """
    card = load_card(name)
    settings = {"name": card.name, **card.layout["options"], **options}
    found = layouts.import_manifest(card.layout["importer"], folder, **settings)
    names, per_patient = card.layout.get("names", {}), card.layout.get("per_patient")
    sections, notes = found.sections, []
    if per_patient and "patient" not in options:
        sections, notes = _join_patients(sections, per_patient)
    *steps, last = found.provenance
    manifest = replace(
        found,
        modalities=tuple(names.get(modality, modality) for modality in found.modalities),
        label_map={names.get(label, label): value for label, value in found.label_map.items()},
        sections=sections,
        description=card.title,
        licence=card.licence,
        reference=card.reference,
        provenance=[*steps, {**last, "card": card.name}],
    )
    differences = _compare_content(card, manifest)
    if differences and not set(options) - _NEUTRAL:
        raise ValueError(
            f"{'; '.join(differences)}; check that the folder is this release of the set, or import it with the layout "
            f"'{card.layout['importer']}', which expects nothing"
        )
    return manifest, differences + _compare_counts(card, manifest) + notes


@cache
def _validator(schema: Path) -> Any:
    from jsonschema import Draft202012Validator  # loads only where a card is read

    return Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))


def _check_form(content: Any, file: Path) -> None:
    folders = reversed(manifest_folders())
    schema = next(path for folder in folders if (path := folder / "schema/card.schema.json").is_file())
    for error in _validator(schema).iter_errors(content):
        place = "/".join(map(str, error.absolute_path)) or "the card"
        raise ValueError(f"{file} must follow card.schema.json; found at {place}: {error.message}; correct the card")
    if content["name"] != file.stem:
        raise ValueError(f"name must be '{file.stem}', as the file; found '{content['name']}' in {file}; rename one")


def _join_patients(
    sections: Mapping[str, list[dict[str, Any]]], per_patient: int
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    joined: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    notes = []
    for section, items in sections.items():
        rows = [{**item, "patient": _patient(case_name(item), per_patient)} for item in items]
        joined[section] = [row for row in rows if row["patient"] not in seen]
        left = len(rows) - len(joined[section])
        if left:
            notes.append(f"{left} images of {section} are left out: their patient stands in an earlier section")
        seen |= {row["patient"] for row in joined[section]}
    return joined, notes


def _patient(case: str, per_patient: int) -> str:
    numbers = re.findall(r"\d+", case)
    if not numbers:
        raise ValueError(
            f"a case of this set must have a number, from which its patient follows; found '{case}'; name the patient "
            "with the option patient"
        )
    return f"S{-(-int(numbers[-1]) // per_patient):03d}"


def _compare_content(card: Card, manifest: Manifest) -> list[str]:
    found = {
        "modalities": list(manifest.modalities),
        "label_map": manifest.label_map,
        "targets": {target: list(classes) for target, classes in manifest.targets.items()},
    }
    labelled = any("label" in item for items in manifest.sections.values() for item in items)
    compared = [key for key in found if not (key == "modalities" and not card.modalities)]
    if not labelled:
        compared.remove("label_map")
    return [
        f"{key} of '{card.name}' must be {getattr(card, key)}, as its card says; found {found[key]}"
        for key in compared
        if found[key] != getattr(card, key)
    ]


def _compare_counts(card: Card, manifest: Manifest) -> list[str]:
    notes = []
    for section in SECTIONS:
        found = {"cases": len(manifest.sections[section]), "patients": len(manifest.patients(section))}
        if card.counts and section not in card.counts and found["cases"]:
            notes.append(f"'{card.name}' has no {section} at its source; found {found['cases']} cases")
        for what, number in card.counts.get(section, {}).items():
            if number is not None and number != found[what]:
                notes.append(f"{section} of '{card.name}' has {number} {what} at its source; found {found[what]}")
    return notes
