"""The commands that look at, take apart and deliver bundles: their options, and what they print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvol.writing import write_whole

from .options import add_option, file_to_write, new_command, write_json

# What a command does is imported where it runs: its module needs torch and MONAI, its help does not.

OVERRIDES = "any key of the bundle's config follows as --key value, as after 'python -m monai.bundle run'"


def add_bundle_commands(commands: Any) -> None:
    """Add ``list show check doctor preview audit embed pack card fetch push export shards`` to a parser's commands."""
    lists = new_command(commands, "list", _list, "the bundles here, their released weights and their runs")
    add_option(lists, "--json", metavar="FILE", type=file_to_write, help="write the list as JSON")

    show = new_command(commands, "show", _show, f"the config that would run; {OVERRIDES}", overrides=True)
    _bundle(show)
    add_option(show, "--against", metavar="BUNDLE", help="a table of what differs from this bundle or config")
    add_option(show, "--keys", nargs="+", help="only these keys, such as train::dataset")
    add_option(show, "--json", metavar="FILE", type=file_to_write, help="write it as JSON")

    check = new_command(commands, "check", _check, f"all that is wrong before a run, and its cost; {OVERRIDES}", True)
    _bundle(check)
    add_option(check, "--no_estimate", action="store_true", help="do not try steps to estimate time and memory")
    add_option(check, "--estimate_steps", type=int, default=5, help="steps to try (default %(default)s)")
    add_option(check, "--json", metavar="FILE", type=file_to_write, help="write the report as JSON")

    doctor = new_command(commands, "doctor", _doctor, "versions, device, cache, disk, links and write access here")
    add_option(doctor, "--json", metavar="FILE", type=file_to_write, help="write the findings as JSON")

    preview = new_command(commands, "preview", _preview, f"a picture of what the network sees; {OVERRIDES}", True)
    _bundle(preview)
    add_option(preview, "--out", required=True, help="picture to write, ending in .png")
    add_option(preview, "--samples", type=int, default=2, help="samples drawn (default %(default)s)")
    words = "draw what this run's network restores, too: its name, its folder, or 'latest'"
    add_option(preview, "--run", dest="of_run", metavar="RUN", help=words)

    audit = new_command(commands, "audit", _audit, f"can a pretext task be solved by shortcuts; {OVERRIDES}", True)
    _bundle(audit)
    add_option(audit, "--fixture", help="images: noise, ramp, padded or all; default: all, or those of --without")
    add_option(audit, "--data", metavar="own", help="'own': audit the images that the bundle trains on instead")
    add_option(audit, "--without", nargs="+", default=[], metavar="NAME", help="switch off intensity, detrend or mask")
    add_option(audit, "--samples", type=int, default=2000, help="to learn from, and as many to test (%(default)s)")
    add_option(audit, "--seed", type=int, default=0, help="of images, draws and classifiers (default %(default)s)")
    add_option(audit, "--full_size", action="store_true", help="do not make large views smaller")
    add_option(audit, "--json", metavar="FILE", type=file_to_write, help="write the findings as JSON")

    embed = new_command(commands, "embed", _embed, f"one vector per image, and a map of them; {OVERRIDES}", True)
    _bundle(embed, config=None)
    embed.add_argument("images", help="folder of images, an image file, or name or file of a manifest")
    add_option(embed, "--out", required=True, help="folder for embeddings, map.png and map.html")
    add_option(
        embed, "--stages", nargs="+", help="stages of the encoder, from 0, finest first, or 'all'; default: last"
    )
    add_option(embed, "--format", choices=("parquet", "npz"), default="parquet", help="file type (default %(default)s)")
    add_option(embed, "--method", choices=("pca", "umap"), default="pca", help="the map (default %(default)s)")
    add_option(
        embed, "--color", metavar="COLUMN", help="group, a target or a column of the manifest that colors the map"
    )
    add_option(embed, "--skip_failing", action="store_true", help="leave out images that cannot be read, and say so")

    pack = new_command(commands, "pack", _pack, "a bundle with a run's weights as a zip in the model zoo's layout")
    _bundle(pack, config=None)
    add_option(
        pack,
        "--run",
        dest="of_run",
        metavar="RUN",
        help="run to release: its name, its folder, or 'latest'; default: weights released before",
    )
    add_option(pack, "--out", required=True, help="folder for the zip and its checksum")
    add_option(pack, "--weights_url", help="where the weights will be served; written into large_files.yml")
    add_option(pack, "--no_release", action="store_true", help="leave models/ of the bundle itself as it is")

    card = new_command(commands, "card", _card, "the model card of a weights file, in Markdown, from its passport")
    card.add_argument("weights", help="weights file, bundle with released weights, or <bundle>@<run>")
    add_option(card, "--out", type=file_to_write, help="file to write; default: print it")

    fetch = new_command(commands, "fetch", _fetch, "download a packed bundle, checked, whole or not at all")
    fetch.add_argument("source", help="name of a bundle in the index, address of a zip, or a zip file")
    add_option(fetch, "--into", default="bundles", help="folder that holds the bundle's folder (default %(default)s)")
    add_option(fetch, "--index", help="address or file of an index of bundles; default: MEDVOL_INDEX")
    add_option(fetch, "--sha256", help="checksum to expect; default: that of the index, or of <address>.sha256")

    push = new_command(commands, "push", _push, "upload a packed bundle to a Hugging Face repository")
    push.add_argument("package", help="zip that 'pack' wrote")
    push.add_argument("repository", help="owner/name")
    add_option(push, "--public", action="store_true", help="make the repository public (default: private)")
    add_option(push, "--dry_run", action="store_true", help="only list what would be uploaded")

    export = new_command(commands, "export", _export, "a bundle's network for programs without medvol")
    _bundle(export, config=None)
    add_option(export, "--weights", help="file, <bundle>@<run> or <bundle>; default: the released weights")
    add_option(
        export, "--format", required=True, choices=("pt", "safetensors", "torch_export", "onnx"), help="what to write"
    )
    add_option(export, "--out", required=True, help="file to write")

    shards = new_command(
        commands, "shards", _shards, f"write a bundle's pre-processed training data; {OVERRIDES}", overrides=True
    )
    _bundle(shards, config=None)
    add_option(shards, "--out", required=True, help="folder of the shards; a stopped command goes on there")
    add_option(shards, "--samples_per_shard", type=int, default=100, help="samples (default %(default)s)")
    add_option(shards, "--jobs", type=int, default=1, help="processes (default %(default)s)")
    add_option(shards, "--option", nargs="+", default=[], metavar="KEY=VALUE", help="another way to write a key")


def _bundle(command: argparse.ArgumentParser, config: str | None = "train.json") -> None:
    command.add_argument("bundle", help="name, folder or config file of a bundle")
    if config is not None:
        add_option(command, "--config", default=config, help="which config of the bundle (default %(default)s)")


def _given(chosen: argparse.Namespace) -> dict[str, Any]:
    """Values for the config's keys: of the file, and of the words after the command."""
    from .args_files import with_args_file

    return with_args_file(chosen.args_file, chosen.overrides, chosen.bundle)


def _list(chosen: argparse.Namespace) -> int:
    from .showing.listing import list_bundles, listing_text

    entries = list_bundles()
    write_json([entry.as_dict() for entry in entries], chosen.json)
    print(listing_text(entries))
    return 0


def _show(chosen: argparse.Namespace) -> int:
    from .showing.show import compare, comparison_text, resolved, resolved_text

    if chosen.against is not None:
        rows = compare(chosen.bundle, chosen.against, chosen.config, _given(chosen), chosen.keys)
        write_json(rows, chosen.json)
        print(comparison_text(rows, chosen.bundle, chosen.against))
        return 0
    content = resolved(chosen.bundle, chosen.config, _given(chosen), chosen.keys)
    write_json(content, chosen.json)
    print(resolved_text(content))
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from .checks.check import check_bundle

    steps = 0 if chosen.no_estimate else chosen.estimate_steps
    report = check_bundle(
        chosen.bundle, chosen.config, chosen.overrides, estimate_steps=steps, args_file=chosen.args_file
    )
    write_json(report.as_dict(), chosen.json)
    print(report.text())
    return 0 if report.ok else 1


def _doctor(chosen: argparse.Namespace) -> int:
    from .doctor.diagnosis import diagnose, diagnosis_text

    lines = diagnose()
    write_json([line.as_dict() for line in lines], chosen.json)
    print(diagnosis_text(lines))
    return 1 if any(line.state == "error" for line in lines) else 0


def _preview(chosen: argparse.Namespace) -> int:
    from .previews.preview import preview

    file = preview(chosen.bundle, chosen.out, chosen.config, _given(chosen), samples=chosen.samples, run=chosen.of_run)
    print(f"written: {file}")
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from .audit.audit import audit

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # before the wait that it announces

    found = audit(
        chosen.bundle, chosen.config, _given(chosen), fixture=chosen.fixture, data=chosen.data,
        without=chosen.without, samples=chosen.samples, seed=chosen.seed, full_size=chosen.full_size, report=say,
    )  # fmt: skip
    write_json(found.as_dict(), chosen.json)
    print(found.text())
    return found.exit_code


def _embed(chosen: argparse.Namespace) -> int:
    from .embedding.embed import embed

    written = embed(
        chosen.bundle, chosen.images, chosen.out, overrides=_given(chosen), stages=chosen.stages,
        file_format=chosen.format, method=chosen.method, color=chosen.color, skip_failing=chosen.skip_failing,
    )  # fmt: skip
    print("\n".join(f"written: {file}" for file in written))
    return 0


def _pack(chosen: argparse.Namespace) -> int:
    from .packages.pack import pack

    packed = pack(
        chosen.bundle, chosen.out, run=chosen.of_run, weights_url=chosen.weights_url, release=not chosen.no_release
    )
    notes = [f"note:    {note}" for note in packed.notes]
    print("\n".join([f"written: {packed.file} ({packed.size} bytes)", f"sha256:  {packed.sha256}", *notes]))
    return 0


def _card(chosen: argparse.Namespace) -> int:
    from .packages.card import model_card

    text = model_card(chosen.weights)
    if chosen.out is not None:
        write_whole(Path(chosen.out), text)
    print(text if chosen.out is None else f"written: {chosen.out}")
    return 0


def _fetch(chosen: argparse.Namespace) -> int:
    from .fetching.fetch import fetch

    def say(line: str) -> None:
        print(line, flush=True)  # before the wait that it announces

    folder = fetch(chosen.source, chosen.into, index=chosen.index, sha256=chosen.sha256, say=say)
    print(f"see 'python -m medvol check {folder}'")
    return 0


def _push(chosen: argparse.Namespace) -> int:
    from .fetching.push import push

    pushed = push(chosen.package, chosen.repository, private=not chosen.public, dry_run=chosen.dry_run)
    print("\n".join([*pushed.files, pushed.address]))
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from .export import export_network

    print(export_network(chosen.bundle, chosen.out, chosen.format, weights=chosen.weights).text())
    return 0


def _shards(chosen: argparse.Namespace) -> int:
    from medvol.data.commands import as_values

    from .shards import write_bundle_shards

    options: Mapping[str, Any] = {**as_values(chosen.option), **_given(chosen)}
    folder = write_bundle_shards(chosen.bundle, chosen.out, chosen.samples_per_shard, chosen.jobs, **options)
    print(f"written: {folder}; read them with --shards {chosen.out} and the same options")
    return 0
