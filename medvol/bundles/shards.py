"""Shards of the training samples of a bundle, as its own deterministic transforms make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medvol.data.shard_writer import write_shards

from .keys import config_problems
from .opening import open_bundle
from .refusal import refuse


def write_bundle_shards(
    bundle: str | Path, folder: str | Path, samples_per_shard: int = 100, jobs: int = 1, **overrides: Any
) -> Path:
    """Write what the deterministic transforms of a bundle make of its training items into shards.

    The bundle then reads them by ``--shards <folder>``, under the same overrides.

    Args:
        bundle: a bundle's name, folder or config file.
        folder: where to write; a stopped call goes on there.
        samples_per_shard: a shard should be 100 MB to 1 GB large.
        jobs: processes.
        **overrides: values for the config's keys, such as ``manifest`` and ``spacing``.

    Returns:
        The folder.

    Raises:
        GuardError: an unknown key, or data that cannot be read.
        ValueError: see :func:`medvol.data.shard_writer.write_shards`.
        OSError: the folder takes no file, or the disk is full.
    """
    opened = open_bundle(bundle, overrides={**overrides, "shards": None})
    parser = opened.parser
    if problems := config_problems(parser.config, opened.original):
        refuse("only keys that something reads, with values of their type", "; ".join(problems), "correct the name")
    try:
        items = parser.get_parsed_content("data").items("training", modalities=parser.config.get("modalities"))
    except (OSError, ValueError) as error:
        refuse("a manifest with readable data", str(error), "see data_manifests/README.md")
    if not items:
        refuse(
            "at least one training case", "none", "add cases, or deal them out with 'python -m medvol manifest split'"
        )
    return write_shards(parser.get_parsed_content("train::dataset"), folder, samples_per_shard, jobs)
