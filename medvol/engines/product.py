"""What a finished run leaves: the product's weights, their passport, and its name as the newest run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from medvol.engines.pictures import CURVES, OVERLAYS, remove_overlays
from medvol.engines.reconstructions import RECONSTRUCTIONS, remove_reconstructions
from medvol.engines.resume import save_weights
from medvol.passport import KEYS, write_passport
from medvol.writing import write_whole

FILES = ("passport.json", "model.pt", "last.pt", "log.csv", "metrics.csv", CURVES)
"""What a training writes into its folder besides folders of pictures, in the order in which a restart removes it."""


def require_product(product: nn.Module, network: nn.Module) -> None:
    """Check that what will be saved is what is trained.

    Args:
        product: the module whose state dict becomes ``model.pt``.
        network: the trained network around it.

    Raises:
        ValueError: when the product has parameters that are not the network's.
    """
    trained = {id(p) for p in network.parameters()}
    strange = [name for name, p in product.named_parameters() if id(p) not in trained]
    if strange:
        raise ValueError(
            f"expected a product inside of the trained network, found {len(strange)} parameters outside of it "
            f'({strange[0]}, ...); give the network its own encoder: "encoder": "@network_def"'
        )


def require_passport(record: dict[str, Any] | None) -> dict[str, Any]:
    """Return a passport to fill in at the end; a wrong key is found now, not after hours of training.

    Raises:
        ValueError: when the record has a key that passports do not have.
    """
    record = dict(record or {})
    if unknown := sorted(set(record) - set(KEYS)):
        raise ValueError(f"expected passport keys out of {sorted(KEYS)}, found {unknown}; leave them out")
    return record


def write_product(run_dir: Path, product: nn.Module, passport: dict[str, Any]) -> None:
    """Write ``model.pt``, then ``passport.json``, then the run's name into ``latest.txt`` beside the run folder.

    The order matters: whoever finds a passport finds the weights it speaks of, by their checksum in it.

    Args:
        run_dir: the run folder.
        product: its state dict is written.
        passport: the whole record.
    """
    save_weights(run_dir / "model.pt", product)
    checksum = hashlib.sha256((run_dir / "model.pt").read_bytes()).hexdigest()
    write_passport(run_dir / "passport.json", {**passport, "weights": checksum})
    write_whole(run_dir.parent / "latest.txt", f"{run_dir.name}\n", durable=True)


def remove_run(run_dir: Path) -> None:
    """Remove what an earlier training wrote into the folder."""
    for name in FILES:
        (run_dir / name).unlink(missing_ok=True)
    for part in (*run_dir.glob(".*.part"), *run_dir.glob(".partial-*")):
        part.unlink(missing_ok=True)
    remove_overlays(run_dir / OVERLAYS)
    remove_reconstructions(run_dir / RECONSTRUCTIONS)
