"""A bundle's network in a file for programs without medvol, compared with the network before it is put in place."""

from __future__ import annotations

import importlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medvol.networks import Encoder, find_weights, load_pretrained
from medvol.passport import passport_path, read_passport
from medvol.writing import write_whole

from .formats import FORMATS, Format, Product, tensors_of
from .inherit import fill_inherited
from .opening import OpenBundle, open_bundle
from .packages.data_format import multiple
from .refusal import innermost

__all__ = ["Exported", "export", "export_network"]


@dataclass(frozen=True)
class Exported:
    """An export, as it was checked.

    Attributes:
        file: the file written.
        difference: the largest difference between the file's output and the network's, on random images; ``None``
            where no program that runs the file is installed.
        compared: the shapes of those images, ``(B, C, *spatial)``.
        takes: the shape of the images that the network takes; open axes as texts, such as ``"8*n"``.
    """

    file: Path
    difference: float | None
    compared: tuple[tuple[int, ...], ...]
    takes: tuple[int | str, ...]

    def text(self) -> str:
        """Return what a user wants to know of it, in lines."""
        if self.difference is None:
            compared = "its output was not compared with the network's; pip install onnxruntime, and export again"
        else:
            compared = f"largest difference to the network's output: {self.difference:.2g}"
        least = ", n at least 2" if self.file.suffix == FORMATS["torch_export"].suffix else ""
        return f"written: {self.file}\n  takes images of ({', '.join(map(str, self.takes))}){least}; {compared}"


def export(bundle: str | Path, out: str | Path, format: str, weights: str | Path | None = None) -> Path:
    """Write a bundle's network with its weights for a program without medvol; see :func:`export_network`.

    Args:
        bundle: a bundle's name, folder or config file.
        out: file to write; one that exists is replaced at once, or left as it is.
        format: "pt", "safetensors", "torch_export" or "onnx".
        weights: as for ``find_weights``; None for the released weights of the bundle.

    Returns:
        The file written.
    """
    return export_network(bundle, out, format, weights).file


def export_network(bundle: str | Path, out: str | Path, format: str, weights: str | Path | None = None) -> Exported:
    """Write a bundle's network with its weights, read the file back, and compare the outputs on random images.

    ``pt``: a plain state dict under the library network's own names. ``safetensors``: the same with the passport in
    the header; a tensor that the network lists under two names stands there once. ``torch_export``: the graph of
    ``torch.export.save``. ``onnx``: that graph as ONNX, input ``image``, output ``pred``. The graphs take any batch and
    any size that the network divides, if the network allows it. The network is built as for inference, with the widths
    and modalities of the weights' passport.

    Args:
        bundle: a bundle's name, folder or config file.
        out: file to write; one that exists is replaced at once, or left as it is.
        format: "pt", "safetensors", "torch_export" or "onnx".
        weights: as for ``find_weights``; None for the released weights of the bundle.

    Raises:
        FileNotFoundError: no such bundle or weights.
        ValueError: the format, the file's suffix or the weights do not fit, or the file gives other outputs.
        ImportError: the format needs a package that is not installed.
        OSError: the file cannot be written.
    """
    kind, target = _target(out, format)
    opened, path = _opened(bundle, weights)
    if path.resolve() == target.resolve():
        raise ValueError(f"an export must go to a file of its own; found the weights themselves, {target}; rename it")
    product = _product(opened, path)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        part = Path(folder) / target.name
        kind.write(product, part)
        difference, compared = _compare(product, part, kind, format)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, part.read_bytes())
        except OSError as error:
            raise OSError(
                f"an export must go to a folder that takes files; found {error}; give another --out"
            ) from None
    return Exported(target, difference, compared, product.fixed or product.open_shape())


def _target(out: str | Path, format: str) -> tuple[Format, Path]:
    if format not in FORMATS:
        raise ValueError(f"an export's format must be one of {', '.join(FORMATS)}; found {format!r}; choose one")
    kind, target = FORMATS[format], Path(out)
    if target.suffix != kind.suffix:
        raise ValueError(f"a file of the format {format} must end in {kind.suffix}; found {target.name!r}; rename it")
    if target.is_dir():
        raise ValueError(f"an export must be a file; found the folder {target}; name a file in it")
    for package in kind.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"the format {format} needs the package {package}; found none; run pip install -e '.[export]' in "
                "medvol's folder"
            ) from error
    return kind, target


def _opened(bundle: str | Path, weights: str | Path | None) -> tuple[OpenBundle, Path]:
    opened = open_bundle(bundle, "inference.json")
    released = opened.folder / "models" / "model.pt"
    path = find_weights((released if released.is_file() else opened.name) if weights is None else weights)
    if path is None:
        raise ValueError(f"an export must have weights; found {weights!r}; give a file, <bundle>@<run> or <bundle>")
    opened = open_bundle(opened.file, overrides={"weights": str(path)})
    fill_inherited(opened.parser, opened.original)
    return opened, path


def _product(opened: OpenBundle, path: Path) -> Product:
    try:
        network = opened.parser.get_parsed_content("network_def")
    except Exception as error:  # MONAI wraps whatever a component says, and a bundle may lack the key
        raise ValueError(
            f"the bundle {opened.name} must build 'network_def' with the values of {passport_path(path)}; "
            f"found {innermost(error)}; correct the config or that passport"
        ) from error
    load_pretrained(network, path, scope="network").eval()
    passport = read_passport(path) or {}
    texts = {"bundle": opened.name, "run": passport.get("run"), "licence": passport.get("licence")}
    record = {f"medvol.{key}": str(value) for key, value in texts.items() if value}
    if passport:
        record["medvol.passport"] = json.dumps(passport, sort_keys=True, ensure_ascii=False)
    channels, factors = _image(network, opened.config.get("_meta_", {}))
    return Product(network, channels, factors, record)


def _image(network: nn.Module, meta: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
    """The channels of the network's input, and what the length of each spatial axis must be a multiple of."""
    known: Any = meta
    for key in ("network_data_format", "inputs", "image"):
        known = known.get(key) if isinstance(known, Mapping) else None
    known = known if isinstance(known, Mapping) else {}
    said = [_factor(entry) for entry in known.get("spatial_shape", [])] or [1, 1, 1]
    try:
        encoder = network if isinstance(network, Encoder) else Encoder(network)
    except ValueError:  # not in the encoder table: what the metadata say
        return int(known.get("num_channels", 1)), tuple(said)
    stride = encoder.strides[-1]
    strides = stride if isinstance(stride, tuple) else (stride,) * encoder.spatial_dims
    said = (said + said[-1:] * len(strides))[: len(strides)]
    return encoder.in_channels, tuple(f if f < 0 else math.lcm(f, s) for f, s in zip(said, strides, strict=True))


def _factor(entry: Any) -> int:
    """``"8*n"`` of the metadata as 8, ``"*"`` as 1, a fixed length as its negative."""
    if isinstance(entry, int):
        return -entry
    return multiple(entry) or 1


def _compare(
    product: Product, part: Path, kind: Format, format: str
) -> tuple[float | None, tuple[tuple[int, ...], ...]]:
    shapes = [product.fixed] if product.fixed else [product.shape(2), product.shape(1, (1, 0, 2))]
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in shapes:
        image = torch.rand(shape, generator=generator)
        expected, found = tensors_of(product.network(image)), kind.run(product, part, image)
        if found is None:
            return None, ()
        for one, other in zip(expected, found, strict=True):
            difference = float((one - other).abs().max())
            if not difference <= kind.tolerance * max(1.0, float(one.abs().max())):  # also where it is NaN
                raise ValueError(
                    f"a file of the format {format} must give the network's output; found a difference of "
                    f"{difference:.3g} on images of {shape}; nothing was written, use the format 'pt' or 'safetensors'"
                )
            largest = max(largest, difference)
    return largest, tuple(shapes)
