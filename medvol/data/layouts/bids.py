"""The Brain Imaging Data Structure: subject, session and kind of image in each file's name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..files import stem
from ..manifest import Manifest
from .columns import is_known, read_table, require_column, typed_columns
from .listing import image_files, list_files, read_object

_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[A-Za-z0-9]+-[A-Za-z0-9+]+)*_[A-Za-z0-9]+")


def import_bids(
    folder: Path,
    *,
    name: str | None = None,
    suffixes: Sequence[str] | str,
    modalities: Sequence[str] | str | None = None,
    entities: Mapping[str, str | None] | None = None,
    labels: str | None = None,
    label_map: Mapping[str, int] | None = None,
    columns: Sequence[str] | str | None = None,
    section: str = "training",
) -> Manifest:
    """Import a data set in BIDS (Gorgolewski et al. 2016, doi:10.1038/sdata.2016.44): each session is an item.

    The tree::

        study/
            dataset_description.json
            participants.tsv                                  participant_id, age, sex ...: columns of the items
            sub-01/anat/sub-01_T1w.nii.gz
            sub-01/ses-1/anat/sub-01_ses-1_acq-mprage_T1w.nii.gz
            derivatives/masks/sub-01/anat/sub-01_desc-lesion_mask.nii.gz

    A session that lacks one of the suffixes is no item; the provenance counts it as ``incomplete``. The patient is the
    subject; a case is called ``sub-01`` or ``sub-01_ses-1``.

    Args:
        folder: the folder with ``dataset_description.json``.
        name: name of the manifest; None for the one in the description, or the folder's.
        suffixes: the last part of the names, one per channel, for instance ``["T1w", "FLAIR"]``.
        modalities: channel names; None for the suffixes.
        entities: what a name must also say where a session has several files of one suffix, for instance
            ``{"acq": "mprage", "run": "1"}``; None as a value means that the name does not have the entity.
        labels: where a session's label lies, relative to the folder, with ``{subject}`` and ``{session}`` (both without
            ``sub-`` and ``ses-``) and ``{case}``; ``*`` stands for any characters. For instance
            ``derivatives/masks/sub-{subject}/**/{case}_*_mask.nii.gz``. A session without one stays unlabelled.
        label_map: structure to integer, needed with ``labels``.
        columns: columns of ``participants.tsv`` to keep; None for all.
        section: the section for all items.

    Raises:
        FileNotFoundError: no image with these suffixes, or a label pattern that finds nothing.
        ValueError: several files of a session have one suffix, several labels, no session has all suffixes, or a
            subject is missing in ``participants.tsv``.
    """
    wanted = [suffixes] if isinstance(suffixes, str) else list(suffixes)
    files = list_files(folder)
    sessions = _sessions(folder, files, wanted, entities or {})
    complete = {key: found for key, found in sessions.items() if len(found) == len(wanted)}
    if not complete:
        (subject, session), found = next(iter(sessions.items()))
        raise ValueError(
            f"a session must have {', '.join(wanted)}; none has them all, and {_case(subject, session)} has "
            f"{', '.join(sorted(found))}; name fewer suffixes, or complete the sessions"
        )
    people = _people(folder, columns, {subject for subject, _ in complete})
    mentions: dict[str, list[str]] = defaultdict(list)
    for file in files if labels else []:
        for subject in set(re.findall(r"sub-([A-Za-z0-9]+)", file)):
            mentions[subject].append(file)
    items: list[dict[str, Any]] = []
    for (subject, session), found in sorted(complete.items()):
        paths = [found[suffix] for suffix in wanted]
        item: dict[str, Any] = {"image": paths[0] if len(paths) == 1 else paths}
        item.update(patient=f"sub-{subject}", case=_case(subject, session))
        values = {**({"session": session} if session else {}), **people.get(subject, {})}
        item.update({"columns": values} if values else {})
        label = _label(mentions.get(subject, []), labels, subject, session) if labels else None
        items.append({**item, "label": label} if label else item)
    unlabelled = sum("label" not in item for item in items)
    if labels and unlabelled == len(items):
        raise FileNotFoundError(
            f"the pattern of the labels must find a file for some session; '{labels}' finds none, for instance for "
            f"{items[0]['case']}; correct the pattern, which starts at {folder}"
        )
    description = folder / "dataset_description.json"
    head = read_object(description, "BIDS") if description.is_file() else {}
    facts = {"incomplete": len(sessions) - len(complete), "unlabelled": unlabelled}
    names = wanted if modalities is None else [modalities] if isinstance(modalities, str) else list(modalities)
    return Manifest(
        name=name or str(head.get("Name") or folder.resolve().name),
        root=folder,
        modalities=tuple(names),
        label_map=dict(label_map or {}),
        synthetic=False,
        sections={section: items},
        reference=str(head.get("DatasetDOI", "")),
        licence=str(head.get("License", "")),
        provenance=[{"step": "import", "layout": "bids", **facts}],
    )


def _case(subject: str, session: str) -> str:
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def _sessions(
    folder: Path, listed: Sequence[str], suffixes: Sequence[str], entities: Mapping[str, str | None]
) -> dict[tuple[str, str], dict[str, str]]:
    """Return (subject, session) to suffix to file."""
    candidates: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    files = [file for file in image_files(listed) if file.startswith("sub-")]
    for file in files:
        name = stem(file)
        if not _NAME.fullmatch(name):
            continue
        *pairs, suffix = name.split("_")
        said = dict(pair.split("-", 1) for pair in pairs)
        if suffix in suffixes and all(said.get(key) == value for key, value in entities.items()):
            candidates[said["sub"], said.get("ses", ""), suffix].append(file)
    if not candidates:
        found = sorted({stem(file).split("_")[-1] for file in files})
        also = f" and {dict(entities)}" if entities else ""
        raise FileNotFoundError(
            f"BIDS names images like sub-01/anat/sub-01_{suffixes[0]}.nii.gz; found none with {', '.join(suffixes)}"
            f"{also} in {folder}; there are: {', '.join(found) or 'no images of subjects'}; name the folder or the "
            "suffixes"
        )
    sessions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for (subject, session, suffix), found in candidates.items():
        if len(found) > 1:
            names = ", ".join(PurePosixPath(file).name for file in sorted(found)[:4])
            raise ValueError(
                f"a session must have one {suffix}; {_case(subject, session)} has {len(found)}: {names}; choose with "
                'entities, for instance {"acq": "mprage"}, or {"run": "1"}, or {"rec": null} for the name without it'
            )
        sessions[subject, session][suffix] = found[0]
    return sessions


def _people(folder: Path, columns: Sequence[str] | str | None, subjects: set[str]) -> dict[str, dict[str, Any]]:
    file = folder / "participants.tsv"
    chosen = [columns] if isinstance(columns, str) else columns
    if not file.is_file():
        if chosen:
            raise FileNotFoundError(
                f"columns are read from participants.tsv; there is none in {folder}; leave the option columns out"
            )
        return {}
    rows = read_table(file)
    for column in ("participant_id", *(chosen or [])):
        require_column(rows, column, file)
    kept = [column for column in rows[0] if column != "participant_id"] if chosen is None else list(chosen)
    typed = typed_columns(rows, kept)
    names = [row["participant_id"].removeprefix("sub-") for row in rows]
    missing = sorted(subjects - set(names))
    if missing:
        raise ValueError(
            f"{file} must have a row for every subject; it has none for sub-{missing[0]} ({len(missing)} missing); "
            "complete it, or leave the file out"
        )
    return {subject: values for subject, values in zip(names, typed, strict=True) if is_known(subject)}


def _label(files: Sequence[str], labels: str, subject: str, session: str) -> str | None:
    """Return the label among the files that mention the subject."""
    values = {"subject": subject, "session": session, "case": _case(subject, session)}
    pattern = re.sub(r"\{(subject|session|case)\}", lambda match: values[match[1]], labels)
    kinds = {"**/": "(?:.*/)?", "*": "[^/]*"}
    expression = "".join(kinds.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", pattern))
    found = [file for file in files if re.fullmatch(expression, file)]
    if len(found) > 1:
        raise ValueError(
            f"a session must have one label; '{pattern}' finds {', '.join(found[:3])}; make the pattern more exact"
        )
    return found[0] if found else None
