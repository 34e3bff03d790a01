"""nnSSL's list of a pre-training corpus, ``pretrain_data.json``: data sets, subjects, sessions, images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..files import stem
from ..manifest import Manifest
from .columns import is_known, typed_columns
from .listing import read_object, require_choice, require_key, safe_path

_INFOS = ("subject_info", "session_info", "image_info")


def import_nnssl(
    folder: Path,
    *,
    name: str | None = None,
    modality: str | Sequence[str] | None = None,
    file: str = "pretrain_data.json",
    strip: str | None = None,
) -> Manifest:
    """Import a corpus of nnSSL (Wald et al. 2025, arXiv:2412.17041), for instance OpenMind: each image is an item.

    The tree::

        nnssl_raw/Dataset745_OpenMind/
            pretrain_data.json     collection_index, collection_name, datasets > subjects > sessions > images
            OpenMind/ds000001/sub-01/anat/sub-01_T1w.nii.gz

    Its objects: a data set has ``dataset_index``, ``name``, ``dataset_info`` and ``subjects``; a subject has
    ``subject_info`` and ``sessions``; a session has ``session_info`` and ``images``; an image has ``name``,
    ``image_path``, ``modality``, ``image_info`` and ``associated_masks``. The modality, the data set, the session, the
    infos, the image quality score of OpenMind and the masks' paths become columns. The patient is data set and subject,
    since subjects are numbered anew in each set.

    Args:
        folder: where the images' paths start.
        name: name of the manifest; None for the collection's name.
        modality: the modality to take, or several that then share one channel called ``image``; None if there is just
            one.
        file: the list, relative to the folder.
        strip: the beginning of every path that stands for the folder, for instance ``$nnssl_raw/Dataset745_OpenMind``
            or ``/data/OpenMind``; None for a first part that starts with ``$``.

    Raises:
        FileNotFoundError: no such list.
        ValueError: a key is missing, several modalities without a choice, or a path outside the folder.
    """
    place = folder / file
    content = read_object(place, "a corpus of nnSSL")
    own = folder.resolve().name
    rows = list(_rows(content, place, lambda path: _path(path, folder, own, place, strip)))
    if not rows:
        raise ValueError(f"{place} must list images; its data sets have none; make the file again")
    known = sorted({row["modality"] for row in rows})
    chosen = known if modality is None else [modality] if isinstance(modality, str) else list(modality)
    for one in chosen:
        require_choice("modality", one, known)
    if modality is None and len(known) > 1:
        raise ValueError(
            f"a manifest has one modality per channel, and each image is an item; {place} has {', '.join(known)}; "
            "choose one, or name several to train on them alike, with the option modality"
        )
    rows = [row for row in rows if row["modality"] in chosen]
    keys = list(dict.fromkeys(key for row in rows for key in row["columns"]))
    columns = typed_columns([row["columns"] for row in rows], keys)
    items = []
    for row, values in zip(rows, columns, strict=True):
        item = {"image": row["image"], "patient": row["patient"], "case": row["case"]}
        items.append({**item, "columns": values})
    return Manifest(
        name=name or str(content.get("collection_name") or own),
        root=folder,
        modalities=(chosen[0] if len(chosen) == 1 else "image",),
        label_map={},
        synthetic=False,
        sections={"training": items},
        provenance=[{"step": "import", "layout": "nnssl", "images": {one: _count(rows, one) for one in chosen}}],
    )


def _count(rows: Sequence[Mapping[str, Any]], modality: str) -> int:
    return sum(row["modality"] == modality for row in rows)


def _rows(content: Mapping[str, Any], place: Path, inside: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    for index, dataset in require_key(content, ["datasets"], place).items():
        scores = (dataset.get("dataset_info") or {}).get("image_quality_score")
        for subject_id, subject in require_key(dataset, ["subjects"], place).items():
            for session_id, session in require_key(subject, ["sessions"], place).items():
                for image in require_key(session, ["images"], place):
                    path, kind = (str(require_key(image, [key], place)) for key in ("image_path", "modality"))
                    infos = _infos((subject, session, image))
                    score = _score(scores, kind, infos.get("derived_from"))
                    masks = {k: inside(mask) for k, mask in (image.get("associated_masks") or {}).items() if mask}
                    head = {"dataset": index, "session": session_id, "modality": kind, "image_quality_score": score}
                    own = stem(str(image.get("name") or PurePosixPath(path).name))
                    yield {
                        "image": inside(path),
                        "modality": kind,
                        "patient": f"{index}_{subject_id}",
                        "case": f"{index}_{subject_id}_{session_id}_{own}",
                        "columns": {**infos, **masks, **{key: one for key, one in head.items() if one is not None}},
                    }


def _infos(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the flat values of all infos; of one name, the innermost."""
    found: dict[str, Any] = {}
    for info in ((level.get(key) or {}) for level, key in zip(levels, _INFOS, strict=True)):
        found.update(
            {k: value for k, value in info.items() if isinstance(value, (str, int, float)) and is_known(str(value))}
        )
    return found


def _score(scores: Any, modality: str, derived: Any) -> float | None:
    """Return the quality score that the data set states for images of this kind."""
    for one in scores if isinstance(scores, list) else []:
        if one.get("modality") == modality and (one.get("derived_from") or None) == (derived or None):
            score = one.get("image_quality_score")
            return score if isinstance(score, (int, float)) and score == score else None
    return None


def _path(path: str, folder: Path, own: str, place: Path, strip: str | None) -> str:
    if strip is None:
        # nnSSL writes "$nnssl_raw/<data set>/..." for what its environment variable holds.
        inside = re.sub(r"^\$[^/]+/", "", path).removeprefix(f"{own}/") if path[0] == "$" else path
    elif path.startswith(strip):
        inside = path[len(strip) :].lstrip("/")
    else:
        raise ValueError(
            f"every path in {place} must begin with '{strip}'; found {path}; correct the option strip, or leave it out"
        )
    try:
        return safe_path(inside, folder, str(place))
    except ValueError as error:
        raise ValueError(f"{error}; or name the part of the paths that stands for it with the option strip") from error
