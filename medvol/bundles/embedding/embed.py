"""One vector per image by a bundle's encoder, with a map of all vectors as a picture and as a page."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from medvol.networks import Encoder, weights_hash
from medvol.passport import read_passport

from ..identity import versions
from ..opening import OpenBundle
from ..refusal import innermost
from ..together import replace_together
from .cases import Cases, count_voxels, find_cases
from .colors import color_cases
from .file import Embeddings, as_npz, as_parquet
from .map import draw_map, project
from .neighbors import agreement, agreement_sentence
from .network import check_memory, embed_image, open_inference, stage_numbers, trained_encoder
from .page import render
from .spectrum import spectrum, spectrum_sentences
from .thumbnails import Thumbnails

__all__ = ["embed"]

_logger = logging.getLogger("medvol")
_FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or one user's part of it
_FORMATS: dict[str, Callable[[Embeddings], bytes]] = {"parquet": as_parquet, "npz": as_npz}


def embed(
    bundle: str | Path,
    images: str | Path,
    out: str | Path,
    overrides: Mapping[str, Any] | None = None,
    stages: Sequence[int | str] | str | None = None,
    file_format: str = "parquet",
    method: str = "pca",
    color: str | None = None,
    skip_failing: bool = False,
) -> list[Path]:
    """Give every image one vector, and draw a map of the vectors.

    The encoder is that of the bundle's ``inference.json``, with the pre-processing that stands there and with what the
    weights' passport brings along (modalities, spacing, widths). It sees each volume whole, in float32, and each of its
    feature maps is averaged over its voxels. Images are read one after the other; only vectors and small pictures stay.

    Args:
        bundle: a bundle's name, folder or inference config.
        images: a folder, one image file, or a manifest's name or file (all its sections, unless ``section`` is among
            the overrides).
        out: folder for ``embeddings.parquet`` (or ``.npz``), ``map.png`` and ``map.html``; files of an earlier call are
            replaced when everything is done, and not before.
        overrides: values for the config's keys. ``weights`` is the newest run of the bundle, or else its released
            weights, if not given; "random" is an untrained encoder, for comparison.
        stages: numbers of the encoder's stages, 0 is the finest, or "all"; None for the last one.
        file_format: "parquet" or "npz".
        method: of the map: "pca", or "umap" if the package umap-learn is installed.
        color: what colors the map: ``patient``, ``section``, ``group``, or a target or column of the manifest.
        skip_failing: leave out images that cannot be embedded, and say so, instead of stopping at the first.

    Returns:
        The files written.

    Raises:
        GuardError: an unknown key, or no weights.
        FileNotFoundError: no such bundle or images.
        ValueError: a wrong argument, weights that do not fit, or an image that cannot be embedded, by name.
        ImportError: UMAP is asked for and not installed.
        OSError: the folder cannot be written.

    Example:
        >>> embed("cpc3d", "phantom", "embeddings")  # doctest: +SKIP
        [PosixPath('embeddings/embeddings.parquet'), PosixPath('embeddings/map.png'), PosixPath('embeddings/map.html')]
    """
    _check_choices(file_format, method)
    with _writable(Path(out)) as folder:
        contents = _contents(bundle, images, overrides or {}, stages, file_format, method, color, skip_failing)
        return _write(folder, contents)


def _contents(
    bundle: str | Path,
    images: str | Path,
    overrides: Mapping[str, Any],
    stages: Sequence[int | str] | str | None,
    file_format: str,
    method: str,
    color: str | None,
    skip_failing: bool,
) -> dict[str, bytes]:
    """Return the files by name; the arguments are those of :func:`embed`."""
    opened, weights = open_inference(bundle, overrides)
    config = opened.config
    cases = find_cases(images, config["modalities"], config.get("dataset_dir"), overrides.get("section"))
    values = None if color is None else cases.column(color)
    encoder = trained_encoder(opened, weights)
    numbers = stage_numbers(stages, encoder)
    kept, features, thumbnails = _run(opened, encoder, cases, numbers, skip_failing)
    values = None if values is None else [values[i] for i in kept]
    left_out = sorted(set(cases.table["case"]) - {cases.items[i]["case"] for i in kept})
    cases = cases.keep(kept)
    origin = np.concatenate([np.full(encoder.channels[n], n) for n in numbers])
    record = {**_record(opened, weights, encoder, numbers), "images": cases.name, "left_out": left_out}
    facts, sentences = _facts(features, cases, color, values)
    patients = np.array([item["patient"] for item in cases.items])
    embeddings = Embeddings(cases.table, patients, features, origin, stages is not None, {**record, **facts})
    chart, coloring = project(features, method), color_cases(color, values, len(kept))
    title = f"{cases.name}, embedded by {opened.name}"
    pictures = [thumbnails.pictures.get(place) for place in kept]
    return {
        f"embeddings.{file_format}": _FORMATS[file_format](embeddings),
        "map.png": draw_map(chart, coloring, title),
        "map.html": render(title, embeddings, chart, coloring, pictures, sentences).encode(),
    }


def _check_choices(file_format: str, method: str) -> None:
    if file_format not in _FORMATS:
        raise ValueError(f"the format must be one of {', '.join(_FORMATS)}; found {file_format!r}; choose one of them")
    if method not in ("pca", "umap"):
        raise ValueError(f"the map's method must be pca or umap; found {method!r}; choose one of them")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise ImportError(
            "a map by UMAP needs the package umap-learn, found none; run pip install -e '.[maps]' in medvol's folder, "
            "or take pca"
        )


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[Path]:
    """Make a folder and see whether it takes files; what was made is removed again if the call fails."""
    made: list[Path] = []
    try:
        try:
            made += [folder for folder in (out, *out.parents) if not folder.exists()]
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):
                pass
        except OSError as error:
            raise OSError(
                f"--out must be a folder that takes files; found {out} ({error}); give another one"
            ) from error
        yield out
    except BaseException:
        with contextlib.suppress(OSError):  # somebody else has put a file there
            for folder in made:
                folder.rmdir()
        raise


def _run(
    opened: OpenBundle, encoder: Encoder, cases: Cases, stages: Sequence[int], skip_failing: bool
) -> tuple[list[int], np.ndarray, Thumbnails]:
    """Embed all cases; return the places of those that worked, their vectors ``(N, F)`` and their pictures."""
    spacing = opened.config.get("spacing")
    preprocessing = opened.parser.get_parsed_content("preprocessing")
    good = []
    # All headers first: a file that is missing or broken shall not be met after hours.
    for place, item in enumerate(_progress(cases.items, "reading headers")):
        try:
            check_memory(encoder, count_voxels(item, spacing))
            good.append(place)
        except (OSError, ValueError) as error:
            _failed(item["case"], error, skip_failing)
    thumbnails = Thumbnails(good, spacing, is_anatomical="Orientationd" in str(opened.config["preprocessing"]))
    kept, vectors = [], []
    for place in _progress(good, f"embedding {cases.name}"):
        try:
            image = _prepared(preprocessing, cases.items[place], encoder.spatial_dims)
            vectors.append(embed_image(encoder, image, stages))
        except (OSError, ValueError) as error:
            _failed(cases.items[place]["case"], error, skip_failing)
            continue
        thumbnails.add(place, image)
        kept.append(place)
    if not kept:
        raise ValueError(
            f"at least one image must be embedded, found that all {len(cases.items)} failed; the reasons stand above"
        )
    return kept, np.stack(vectors), thumbnails


def _progress(things: Sequence[Any], what: str) -> Iterator[Any]:
    return iter(tqdm(things, desc=what, unit="image", disable=None, delay=1.0))  # None: only in a terminal


def _prepared(preprocessing: Callable, item: dict[str, Any], dims: int) -> torch.Tensor:
    """Return the image as the network wants it, ``(C, *spatial)``."""
    try:
        image = torch.as_tensor(preprocessing(dict(item))["image"]).as_subclass(torch.Tensor).float()
    except Exception as error:  # MONAI wraps whatever a reader or transform says
        raise ValueError(innermost(error)) from error
    return image[..., 0] if image.ndim == dims + 2 and image.shape[-1] == 1 else image


def _failed(case: str, error: Exception, skip: bool) -> None:
    reason = f"case '{case}' must be an image that this bundle can read; found: {error}"
    if not skip:
        raise ValueError(
            f"{reason}; mend or take out the file ('python -m medvol manifest verify' finds all that are broken), or "
            "go on without such images by --skip_failing"
        ) from error
    _logger.warning("left out: %s", reason)


def _facts(
    features: np.ndarray, cases: Cases, color: str | None, values: Sequence[Any] | None
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return what the vectors say, as plain values and as sentences, each with its state."""
    found = spectrum(features)
    said, warning = spectrum_sentences(found)
    sentences = [("warning", warning)] * bool(warning) + [("quiet", said)]
    facts: dict[str, Any] = {"spectrum": {key: _finite(value) for key, value in asdict(found).items()}}
    if color is not None and values is not None:
        near = agreement(features, cases.table["patient"].tolist(), values, same_patient=color == "patient")
        facts["nearest_neighbor"] = {"color": color, **({} if near is None else asdict(near))}
        sentences.append(("quiet", agreement_sentence(near, color)))
    return facts, sentences


def _finite(value: Any) -> Any:
    return value if np.isfinite(value) else None


def _record(opened: OpenBundle, weights: Path | None, encoder: Encoder, stages: Sequence[int]) -> dict[str, Any]:
    """What made the vectors: no path, no time, so that equal input gives equal bytes."""
    passport = {} if weights is None else read_passport(weights) or {}
    return {
        "medvol": versions()["medvol"],
        "bundle": opened.name,
        "weights": "random" if weights is None else weights_hash(weights),
        "run": {key: passport.get(key) for key in ("bundle", "run", "hash", "steps")},
        "modalities": list(opened.config["modalities"]),
        "spacing": opened.config.get("spacing"),
        "stages": [{"stage": n, "features": encoder.channels[n], "stride": encoder.strides[n]} for n in stages],
    }


def _write(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write all files: an earlier result is replaced as a whole or not at all."""
    files = {folder / name: content for name, content in contents.items()}
    try:
        replace_together(files)
    except OSError as error:
        expected, remedy = f"whose {', '.join(contents)} can be replaced", "move away what stands there"
        if error.errno in _FULL:
            size = sum(map(len, contents.values())) / 1e6
            expected, remedy = f"with {size:.1f} MB free", "make room"
        raise OSError(
            f"--out must be a folder {expected}; found {folder} ({error}); {remedy} or give another one"
        ) from error
    return list(files)
