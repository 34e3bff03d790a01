"""The commands ``manifest`` and ``cache``: their options, and what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import medvol
from medvol.writing import write_whole

from .datalist import SECTIONS, did_you_mean

_PATIENT = (
    "who the patient is: a regular expression over the path (its group is the patient), or 'case' if every case is a "
    "patient of its own, or 'folder' if the folder's name is the patient. It is never guessed"
)


def add_manifest_command(commands: Any) -> None:
    """Add ``manifest create | import | verify | describe | split | filter`` to a parser's commands."""
    manifest = commands.add_parser("manifest", help="make, check, describe and split the list of a data set's files")
    steps = manifest.add_subparsers(metavar="step", required=True)

    create = _step(steps, "create", _create, "make a manifest of a folder with your own scans or radiographs")
    create.add_argument("folder", help="folder of the images; paths in the manifest are relative to it")
    _option(create, "--modalities", nargs="+", required=True, help="names of the channels, in their order")
    _option(create, "--patient", required=True, help=_PATIENT)
    _option(create, "--images", nargs="+", help="patterns of the images, relative to the folder; default: all images")
    _option(create, "--labels", help="pattern of the label of a case, such as 'labels/{case}_seg.nii.gz'")
    _option(create, "--label_map", nargs="+", metavar="NAME=INTEGER", help="structures in the labels, such as tumor=1")
    _option(
        create, "--columns", nargs="+", metavar="NAME=PATTERN", help="columns out of the path, by regular expression"
    )
    _option(
        create, "--section", choices=SECTIONS, default="training", help="section of all items (default %(default)s)"
    )
    _option(create, "--case", choices=("name", "path"), default="name", help="'path' if each folder has the same names")
    _naming(create)

    reads = _step(steps, "import", _import, "make a manifest of a known layout or a public data set")
    reads.add_argument("layout", help="name of a layout (msd, brats, nnunet, bids ...) or of a data set's card")
    reads.add_argument("folder", help="folder of the data as they were unpacked")
    _option(
        reads, "--option", nargs="+", metavar="KEY=VALUE", help="options of the layout; see docs/data/layouts/README.md"
    )
    _naming(reads)

    verify = _step(steps, "verify", _verify, "look at every file before training; exit code 1 if one is not fit")
    _source(verify)
    _option(verify, "--write", action="store_true", help="write checksums of the good files into the manifest")
    _option(verify, "--json", metavar="FILE", help="write the report as JSON")
    _option(verify, "--html", metavar="FILE", help="write the report as one HTML page")
    _option(verify, "--no_checksums", action="store_true", help="do not compare checksums")
    _option(verify, "--no_duplicates", action="store_true", help="do not look for near-duplicates")
    _option(verify, "--jobs", type=int, help="threads; default: one per processor")
    _option(verify, "--limit", type=int, default=5, help="cases shown of each kind (default %(default)s)")

    describe = _step(steps, "describe", _describe, "measure the images and say what is in a manifest")
    _source(describe)
    _option(describe, "--measure", action="store_true", help="read every image: size, spacing, foreground, quality")
    _option(describe, "--write", action="store_true", help="measure, and write the columns into the manifest")
    _option(describe, "--where", metavar="EXPRESSION", help="only items for which this is true, e.g. 'spacing_z <= 2'")
    _option(describe, "--json", metavar="FILE", help="write the description as JSON")
    _option(describe, "--jobs", type=int, help="threads; default: one per processor")

    split = _step(steps, "split", _split, "deal the patients into training, validation and test, or into folds")
    _source(split)
    _option(split, "--out", required=True, help="file to write; with --folds, fold k goes to <name>_fold<k>.json")
    _option(split, "--validation", help="patients: a number, or a share such as 20%%")
    _option(split, "--test", help="the same; left out, a test section stays as it is")
    _option(split, "--folds", type=int, help="a cross-validation instead, over training and validation")
    _option(split, "--seed", type=int, default=0, help="split seed (default %(default)s)")
    _option(split, "--stratify", help="keep the shares of this: group, a target or a column")
    _option(split, "--label_counts", nargs="+", type=int, default=[], help="sizes of nested training subsets to note")
    _option(split, "--subset_seed", type=int, default=0, help="seed of those subsets (default %(default)s)")
    _option(split, "--redeal_test", action="store_true", help="deal the patients of a test section, too")

    keeps = _step(steps, "filter", _filter, "write a manifest with only the items that an expression keeps")
    _source(keeps)
    _option(keeps, "--where", metavar="EXPRESSION", help="e.g. \"quality > 15 and modality == 't1'\"; none: keep all")
    _option(keeps, "--out", required=True, help="file to write; the suffix .parquet makes a large manifest")


def add_cache_command(commands: Any) -> None:
    """Add ``cache show | trim | clear`` to a parser's commands."""
    cache = commands.add_parser("cache", help="see and bound what pre-processing has kept on disk")
    steps = cache.add_subparsers(metavar="step", required=True)
    _step(steps, "show", _cache_show, "where the cache is and what it holds")
    trim = _step(steps, "trim", _cache_trim, "remove what was used least recently until the cache fits")
    _option(trim, "--limit", required=True, help="largest size, such as 50GB")
    clear = _step(steps, "clear", _cache_clear, "remove it all, or one kind")
    _option(clear, "--kind", help="only this kind, as 'cache show' names it")


def as_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` words as a dict; a value is read as JSON, and as text if it is none.

    Raises:
        ValueError: a word without a key or a sign.

    Example:
        >>> as_values(["patient=case", "fold=3", 'suffixes=["T1w"]'])
        {'patient': 'case', 'fold': 3, 'suffixes': ['T1w']}
    """
    found = {}
    for text in pairs:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ValueError(f"an option must be KEY=VALUE; found {text!r}; write for instance patient=case")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _step(steps: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser = steps.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _option(parser: argparse.ArgumentParser, name: str, **settings: Any) -> None:
    # Bundles spell their options with underscores; a hyphen is what fingers type.
    spellings = dict.fromkeys((name, "--" + name[2:].replace("_", "-")))
    parser.add_argument(*spellings, **settings)


def _naming(parser: argparse.ArgumentParser) -> None:
    _option(parser, "--out", required=True, help="manifest to write: .json, or .parquet for very many rows")
    _option(parser, "--name", help="short name of the data set")
    _option(parser, "--licence", help="who may do what with the data")


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", help="name or file of a manifest")
    _option(parser, "--dataset_dir", help="folder of the data, if not the manifest's own")


def _create(chosen: argparse.Namespace) -> int:
    from .layouts.folder import create_manifest

    manifest = create_manifest(
        Path(chosen.folder),
        chosen.images or ".",
        modalities=chosen.modalities,
        patient=chosen.patient,
        labels=chosen.labels,
        label_map=_label_map(chosen.label_map),
        name=chosen.name or Path(chosen.out).stem,
        licence=chosen.licence or "",
        section=chosen.section,
        columns=as_values(chosen.columns) if chosen.columns else None,
        case=chosen.case,
    )
    return _made(chosen.out, manifest)


def _import(chosen: argparse.Namespace) -> int:
    from dataclasses import replace

    from .cards import card_names, import_card
    from .layouts import LAYOUTS, import_manifest

    if chosen.layout not in {*LAYOUTS, *card_names()}:
        known = did_you_mean(chosen.layout, sorted({*LAYOUTS, *card_names()}))
        raise ValueError(f"import takes the name of a layout or of a public set; found '{chosen.layout}'; {known}")
    options = as_values(chosen.option or [])
    notes: list[str] = []
    if chosen.layout in card_names():
        manifest, notes = import_card(chosen.layout, Path(chosen.folder), **options)
    else:
        manifest = import_manifest(chosen.layout, Path(chosen.folder), **options)
    changes = {"name": chosen.name, "licence": chosen.licence}
    manifest = replace(manifest, **{key: value for key, value in changes.items() if value})
    code = _made(chosen.out, manifest)
    for note in notes:
        print(f"note: {note}")
    return code


def _verify(chosen: argparse.Namespace) -> int:
    from .checks import fill_checksums, verify

    if chosen.write and (chosen.no_checksums or _own_file(chosen.manifest).suffix != ".json"):
        raise ValueError(
            f"--write fills checksums into a JSON manifest; found {chosen.manifest}"
            f"{' and --no_checksums' if chosen.no_checksums else ''}; leave one of them out, or make a JSON manifest: "
            "manifest filter <manifest> --out <file>.json"
        )
    report = verify(
        chosen.manifest, chosen.dataset_dir, checksums=not chosen.no_checksums, duplicates=not chosen.no_duplicates,
        jobs=chosen.jobs, progress=sys.stderr.isatty(),
    )  # fmt: skip
    # Files first: whoever reads only the head of the text still gets them.
    written = [
        _write(file, render()) for file, render in ((chosen.json, report.json), (chosen.html, report.html)) if file
    ]
    count = fill_checksums(chosen.manifest, report) if chosen.write and report.checksums else 0
    print(report.text(chosen.limit))
    for path in written:
        print(f"written: {path}")
    if chosen.write:
        print(f"{count} checksums written into {chosen.manifest}")
    return 1 if report.errors else 0


def _describe(chosen: argparse.Namespace) -> int:
    from dataclasses import replace

    from .describe import describe
    from .manifest import load_manifest, write_manifest
    from .measures import measure_manifest, with_columns

    own = _own_file(chosen.manifest) if chosen.write else None
    manifest = load_manifest(chosen.manifest, chosen.dataset_dir)
    if chosen.measure or chosen.write:
        manifest = with_columns(manifest, measure_manifest(manifest, chosen.jobs, sys.stderr.isatty()))
        steps = [step for step in manifest.provenance if step.get("step") != "measure"]  # the last one counts
        manifest = replace(manifest, provenance=[*steps, {"step": "measure", "medvol": medvol.__version__}])
    description = describe(manifest, where=chosen.where)
    if own:
        write_manifest(own, manifest)
    written = _write(chosen.json, description.json()) if chosen.json else None
    print(description.text())
    if written:
        print(f"written: {written}")
    if own:
        print(f"columns written into {own}")
    return 0


def _split(chosen: argparse.Namespace) -> int:
    from .manifest import load_manifest
    from .manifest_splits import fold_manifests, split_manifest

    sizes = {"--validation": chosen.validation, "--test": chosen.test, "--label_counts": chosen.label_counts or None}
    given = [name for name, value in sizes.items() if value is not None]
    if (chosen.folds is None) == (not given):
        found = " and ".join([*given, "--folds"]) if given else "none"
        raise ValueError(
            f"split takes sizes or --folds, one of them; found {found}; for folds "
            "beside a test section, split --test first and then fold the result"
        )
    manifest = load_manifest(chosen.manifest, chosen.dataset_dir)
    if manifest.sections["validation"] and chosen.folds is None and chosen.validation is None:
        raise ValueError(
            f"'{manifest.name}' has a validation section of its own, whose patients would go back to training; found "
            "no --validation; give its size (0 to dissolve it)"
        )
    if chosen.folds is not None:
        out = Path(chosen.out)
        for k, fold in enumerate(fold_manifests(manifest, chosen.folds, chosen.seed, chosen.stratify)):
            _made(out.with_name(f"{out.stem}_fold{k}{out.suffix}"), fold)
        return 0
    split = split_manifest(
        manifest, chosen.validation or 0, chosen.test, chosen.seed, chosen.stratify, chosen.label_counts,
        chosen.subset_seed, chosen.redeal_test,
    )  # fmt: skip
    return _made(chosen.out, split)


def _filter(chosen: argparse.Namespace) -> int:
    from dataclasses import replace

    from .manifest import load_manifest
    from .where import select

    manifest = load_manifest(chosen.manifest, chosen.dataset_dir)
    if chosen.where:
        kept = {
            section: select(items, chosen.where, f"'{section}' of manifest '{manifest.name}'") if items else []
            for section, items in manifest.sections.items()
        }
        step = {"step": "filter", "medvol": medvol.__version__, "options": {"where": chosen.where}}
        manifest = replace(manifest, sections=kept, provenance=[*manifest.provenance, step])
    return _made(chosen.out, manifest)


def _cache_show(chosen: argparse.Namespace) -> int:
    from .bound import size_bound
    from .cache import cache_root
    from .eviction import cache_usage

    bound = size_bound()
    if cache_root().is_file():
        raise NotADirectoryError(f"the cache must be a folder; found a file at {cache_root()}; set MEDVOL_CACHE")
    found = cache_usage()
    limit = "MEDVOL_CACHE_SIZE bounds it" if bound is None else f"bounded by MEDVOL_CACHE_SIZE to {_size(bound)}"
    print(f"cache: {cache_root()} (MEDVOL_CACHE moves it, {limit})")
    for usage in found:
        print(f"  {usage.kind:<12} {usage.entries:>8} entries {_size(usage.bytes):>10}")
    print(f"  {'all':<12} {sum(u.entries for u in found):>8} entries {_size(sum(u.bytes for u in found)):>10}")
    return 0


def _cache_trim(chosen: argparse.Namespace) -> int:
    from .eviction import parse_size, trim

    freed = trim(parse_size(chosen.limit))
    print(f"removed {freed.entries} entries, {_size(freed.bytes)}")
    return 0


def _cache_clear(chosen: argparse.Namespace) -> int:
    from .eviction import clear

    freed = clear(chosen.kind)
    print(f"removed {freed.entries} entries, {_size(freed.bytes)}")
    return 0


def _made(out: str | Path, manifest: Any) -> int:
    """Write a manifest and show what is in it, the patients above all."""
    from .describe import describe
    from .manifest import write_manifest

    path = Path(out).expanduser()
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"--out must be a file in a folder that exists; there is no {path.parent}; make it")
    if path.suffix not in (".json", ".parquet") or path.is_dir():
        raise ValueError(f"--out must be a file that ends with .json or .parquet; found {out}; name one")
    written = write_manifest(path, manifest)
    print(describe(manifest).text())
    print(f"written: {written}")
    return 0


def _own_file(manifest: str) -> Path:
    if not Path(manifest).suffix:
        raise ValueError(
            f"--write changes a manifest's file; '{manifest}' is a name; name the file, or filter it into a new one"
        )
    return Path(manifest)


def _label_map(pairs: list[str] | None) -> dict[str, int]:
    found = as_values(pairs or [])
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"--label_map must be NAME=INTEGER; found {name}={value}; write for instance tumor=1")
    return found


def _write(file: str, text: str) -> Path:
    path = Path(file).expanduser().absolute()
    try:
        return write_whole(path, text)
    except OSError as error:
        raise OSError(f"a report goes to a file in a folder one can write to; {path} refused ({error})") from error


def _size(count: int) -> str:
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count} B"
