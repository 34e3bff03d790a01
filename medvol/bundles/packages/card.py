"""The model card: what a passport and the bundle's metadata say about weights, in Markdown, for people."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvol.metrics.direction import is_distance
from medvol.networks import find_bundle, find_weights
from medvol.passport import passport_path, read_passport

from ..reading import read_json
from .card_code import loading_code
from .card_words import preprocessing_words
from .markdown import cell, code, table

__all__ = ["card_text", "model_card"]

_TASKS = {"segmentation": "image-segmentation", "feature": "image-feature-extraction"}
_FREE = ("Apache-2.0", "CC0-1.0", "CC0 1.0")  # terms of data that add nothing to those of the code


def model_card(weights: str | Path) -> str:
    """Write the model card of a weights file from its passport and the metadata of its bundle.

    Args:
        weights: a weights file with its passport beside it, ``<bundle>@<run>``, ``<bundle>`` for the released weights,
            or the folder of an unpacked package.

    Returns:
        Markdown with a front matter as the Hugging Face hub reads it; the same text for the same weights.

    Raises:
        FileNotFoundError: there are no such weights, or no passport beside them.
        ValueError: passport or metadata cannot be read.
    """
    folder = Path(weights)
    file = folder / "models" / "model.pt" if (folder / "models" / "model.pt").is_file() else find_weights(weights)
    if file is None:
        raise FileNotFoundError(
            f"a model card must have weights; found {weights!r}; name a file, a bundle or <bundle>@<run>"
        )
    record = read_passport(file)
    if record is None:
        raise FileNotFoundError(
            f"a model card is made from the passport of the weights; found none at {passport_path(file)}; copy "
            "passport.json from the run to the weights"
        )
    return card_text(record, _metadata(file, record))


def card_text(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Write a model card.

    Args:
        record: a passport.
        metadata: the bundle's metadata, empty if they are not at hand.

    Example:
        >>> card_text({"bundle": "cpc3d", "run": "1a2b3c4d"}, {"version": "0.1.0"}).splitlines()[-1]
        'No reference is stated.'
    """
    parts = [
        _front_matter(record, metadata), _summary(record, metadata), _use(record, metadata), _network(record),
        _inputs(record, metadata), _data(record), _recipe(record), _results(record), _provenance(record, metadata),
        "## How to load\n\n" + loading_code(record), _citation(record, metadata),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def without_front_matter(card: str) -> str:
    r"""Return a card that can stand below another text.

    Example:
        >>> without_front_matter("---\nlicense: other\n---\n\n# Card\n")
        '# Card\n'
    """
    return card.partition("\n---\n\n")[2] if card.startswith("---\n") else card


def _metadata(file: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the bundle around the weights, or of the one that the passport names; empty if there is none."""
    folders = list(file.absolute().parents[1:3])
    with contextlib.suppress(FileNotFoundError):  # weights may outlive the bundle that made them
        folders.append(find_bundle(str(record.get("bundle"))))
    found = next((folder for folder in folders if (folder / "metadata.json").is_file()), None)
    return {} if found is None else read_json(found / "metadata.json")


def _front_matter(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    output = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    tags = ["medical", "monai", "self-supervised", "medvol"]
    if output.get("format") == "segmentation":
        tags.remove("self-supervised")
    made_up = (record.get("data") or {}).get("synthetic")
    free = (record.get("data") or {}).get("licence") in _FREE and not record.get("pretrained")
    lines = [f"license: {'apache-2.0' if free else 'other'}", "library_name: monai"]
    if not free:
        lines += ["license_name: see-model-card", "license_link: LICENSE"]
    if output.get("format") in _TASKS:
        lines.append(f"pipeline_tag: {_TASKS[output['format']]}")
    return "\n".join(
        ["---", *lines, "tags:", *[f"- {tag}" for tag in [*tags, *(["synthetic-data"] * bool(made_up))]], "---"]
    )


def _summary(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    name = record.get("bundle") or "weights"
    lines = [f"# Model card: {cell(name)}", cell(metadata.get("task") or ""), cell(metadata.get("description") or "")]
    if (record.get("data") or {}).get("synthetic"):
        lines.append(
            "**Trained on SYNTHETIC data.** The images were simulated by a program. Nothing here says how the weights "
            "do on patients."
        )
    return "\n\n".join(line for line in lines if line)


def _use(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    intended = record.get("intended_use") or metadata.get("intended_use") or "Not stated."
    rows = [
        "Not for diagnosis or treatment, nor for any decision about a patient.",
        "Made for images like those below: other modalities, scanners, spacings, orientations, body parts or ages may "
        "give wrong results without any sign of it.",
        "One training with one seed: another seed gives other numbers.",
    ]
    licence = f"**Licence of the weights:** {cell(record.get('licence') or 'not stated')}"
    return "\n".join(["## Intended use and limits", "", cell(intended), "", *[f"- {row}" for row in rows], "", licence])


def _network(record: Mapping[str, Any]) -> str:
    node = record.get("architecture")
    if not isinstance(node, dict):
        return "## Architecture\n\nNot stated."
    parts = ["## Architecture", code(node.get("_target_"))]
    inner = node.get("network")
    if isinstance(inner, dict):
        parts[-1] += (
            f", the encoder of a {code(inner.get('_target_'))}; its layers have the names that they have there."
        )
        rest = {key: value for key, value in node.items() if key not in ("network", "_target_")}
        rows = [*_arguments(inner), *((f"encoder: {key}", value) for key, value in sorted(rest.items()))]
    else:
        rows = _arguments(node)
    return "\n\n".join([*parts, table(("argument", "value"), rows)])


def _arguments(node: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in sorted(node.items()) if key != "_target_"]


def _inputs(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    channels = ", ".join(cell(name) for name in record.get("modalities") or ()) or "not stated"
    lines = ["## Inputs", "", f"- **Channels, in this order:** {channels}"]
    image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
    if image.get("modality"):
        lines.append(f"- **Kind of image:** {cell(image['modality'])}")
    steps = preprocessing_words(record.get("preprocessing") or ())
    lines += ["", "Every image is prepared in this order, before anything random:", ""] if steps else []
    lines += [f"{number}. {cell(step)}" for number, step in enumerate(steps, 1)]
    return "\n".join(lines if steps else [*lines, "- **Preparation:** not stated"])


def _data(record: Mapping[str, Any]) -> str:
    data = record.get("data")
    if not data:
        return "## Training data\n\nNot stated."
    rows = [
        ("name", data.get("name")),
        ("description", data.get("description") or None),
        ("kind", "SYNTHETIC" if data.get("synthetic") else "images of patients or volunteers"),
    ]
    for section, counts in sorted((data.get("sections") or {}).items()):
        rows.append((section, f"{counts.get('cases')} cases of {counts.get('patients')} patients"))
    rows += [("subset for training", data.get("subset")), ("modalities in the data set", data.get("modalities"))]
    rows += [("labels", data.get("label_map")), ("licence", data.get("licence") or "not stated")]
    rows += [("reference", data.get("reference") or "not stated"), ("hash of the manifest", data.get("hash"))]
    return "## Training data\n\n" + table(("", ""), [row for row in rows if row[1] not in (None, {}, [])])


def _recipe(record: Mapping[str, Any]) -> str:
    recipe = record.get("recipe") or {}
    plain = {key: value for key, value in recipe.items() if _is_setting(key, value)}
    done = [("steps made", record.get("steps")), ("examples seen", record.get("examples"))]
    parts = [(key, (recipe.get(key) or {}).get("_target_")) for key in ("network", "loss", "optimizer", "lr_scheduler")]
    rows = [row for row in (*done, *parts) if row[1] is not None] + sorted(plain.items())
    return "## Recipe\n\n" + table(("setting", "value"), rows)


def _is_setting(key: str, value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    simple = all(
        isinstance(part, (bool, int, float)) or (isinstance(part, str) and part[:1] not in "$@") for part in parts
    )
    return simple and bool(parts) and key not in ("manifest", "pretrained")


def _results(record: Mapping[str, Any]) -> str:
    metrics = record.get("metrics") or {}
    if not metrics:
        return "## Results\n\nNo metrics were recorded."
    text = (
        "Values at the end of one run with one seed, without an interval. They describe this training; they do not "
        "show that one method is better than another. Names with `val_` are on the validation section, the others on "
        "the training images of the last steps."
    )
    units = " Distances such as `hd95` are in millimeters." if any(map(is_distance, metrics)) else ""
    rows = [(key, "not a number" if value is None else value) for key, value in sorted(metrics.items())]
    return f"## Results\n\n{text}{units}\n\n" + table(("metric", "value"), rows)


def _provenance(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    start = record.get("pretrained")
    versions = record.get("versions") or {}
    rows = [
        ("bundle", record.get("bundle")), ("version of the bundle", metadata.get("version")),
        ("run", record.get("run")), ("hash of the run", record.get("hash")), ("arm", record.get("arm")),
        ("started from", _origin(start) if start else "random weights"),
        *((f"version of {key}", value) for key, value in sorted(versions.items()) if key != "code"),
        ("hash of the code", versions.get("code")),
    ]  # fmt: skip
    return "## Provenance\n\n" + table(("", ""), [row for row in rows if row[1] is not None])


def _origin(start: Mapping[str, Any]) -> str:
    data = start.get("data") or {}
    made_up = " (SYNTHETIC)" if data.get("synthetic") else ""
    name = f"{start.get('bundle') or 'weights without a passport'}, run {start.get('run') or 'unknown'}"
    trained = f", trained on {data['name']}{made_up}" if data.get("name") else ""
    return f"{name}{trained}, licence: {start.get('licence') or 'not stated'}"


def _citation(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    works = list(metadata.get("references") or ())
    data = (record.get("data") or {}).get("reference")
    lines = [f"- {cell(work)}" for work in works] + ([f"- Data: {cell(data)}"] if data else [])
    return "\n".join(["## Citation", "", *(lines or ["No reference is stated."])])
