"""The files that other programs read a network from: how each is written, and how it is read back and run."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

__all__ = ["FORMATS", "OPSET", "Format", "Product", "tensors_of"]

OPSET = 18
"""The version of ONNX's operators in our files; onnxruntime reads it from version 1.14 on."""


@dataclass
class Product:
    """A network on its way into a file.

    Attributes:
        network: in evaluation mode, on the CPU.
        channels: of the input image.
        factors: per spatial axis, what its length must be a multiple of; a negative number is one fixed length.
        record: texts to store in the file, by name.
        fixed: the input's only shape ``(B, C, *spatial)``, where the format cannot leave it open; set on writing.
    """

    network: nn.Module
    channels: int
    factors: tuple[int, ...]
    record: dict[str, str] = field(default_factory=dict)
    fixed: tuple[int, ...] | None = None

    def shape(self, batch: int, extra: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return an input's shape ``(B, C, *spatial)``, each axis about 16 voxels and ``extra`` factors long.

        Example:
            >>> Product(nn.Identity(), channels=4, factors=(8, 8, -24)).shape(2, (1, 0, 0))
            (2, 4, 24, 16, 24)
        """
        more = (*extra, *[0] * len(self.factors))
        sizes = [-f if f < 0 else f * (max(2, -(-16 // f)) + m) for f, m in zip(self.factors, more, strict=False)]
        return (batch, self.channels, *sizes)

    def open_shape(self) -> tuple[int | str, ...]:
        """Return the shapes that the network takes, in the notation of the metadata.

        Example:
            >>> Product(nn.Identity(), channels=4, factors=(8, 1, -24)).open_shape()
            ('B', 4, '8*n', 'n', 24)
        """
        return ("B", self.channels, *(-f if f < 0 else "n" if f == 1 else f"{f}*n" for f in self.factors))


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        suffix: of the file's name.
        packages: what must be installed to write it.
        write: writes a product to a path.
        run: reads the file back and runs it on an image; ``None`` in the place of the outputs where nothing here can.
        tolerance: the largest difference to the network's output, relative to the output's largest value.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[Product, Path], None]
    run: Callable[[Product, Path, torch.Tensor], list[torch.Tensor] | None]
    tolerance: float = 0.0


def tensors_of(output: object) -> list[torch.Tensor]:
    """Return a network's output as a list of tensors.

    Example:
        >>> len(tensors_of((torch.zeros(1), torch.zeros(2))))
        2
    """
    return [output] if isinstance(output, torch.Tensor) else list(output)  # type: ignore[call-overload]


def _blank(network: nn.Module) -> nn.Module:
    """A copy of the network without its weights, so that only a file can bring them back."""
    empty = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in empty.state_dict().values():
            tensor.zero_()
    return empty


def _write_pt(product: Product, path: Path) -> None:
    torch.save({name: tensor.detach() for name, tensor in product.network.state_dict().items()}, path)


def _run_pt(product: Product, path: Path, image: torch.Tensor) -> list[torch.Tensor]:
    network = _blank(product.network)
    network.load_state_dict(torch.load(path, weights_only=True))
    return tensors_of(network(image))


def _write_safetensors(product: Product, path: Path) -> None:
    from safetensors.torch import save_file

    # The form of safetensors' own `save_model`: a tensor once, its other names as notes. That one keeps the first name
    # of the alphabet, for DynUNet's decoder an alias; the network's first name is the one that other programs know.
    names: dict[int, str] = {}
    notes, state = {}, {}
    for name, tensor in product.network.state_dict(keep_vars=True).items():
        kept = names.setdefault(id(tensor), name)
        if kept == name:
            state[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
        else:
            notes[name] = kept
    save_file(state, str(path), metadata={"format": "pt", **notes, **product.record})


def _run_safetensors(product: Product, path: Path, image: torch.Tensor) -> list[torch.Tensor]:
    from safetensors.torch import load_model

    network = _blank(product.network)
    load_model(network, str(path), device="cpu")
    return tensors_of(network(image))


def _program(product: Product) -> torch.export.ExportedProgram:
    """The network's graph, with open batch and spatial axes if the network allows it."""
    image = torch.zeros(product.shape(batch=2))
    # From 2 on: for a factor of 1, torch writes the layers that see a single voxel as others than the rest.
    axes = {2 + n: f * torch.export.Dim(f"n{n}", min=2) for n, f in enumerate(product.factors) if f > 0}
    try:
        shapes = ({0: torch.export.Dim("batch", min=1), **axes},)
        return torch.export.export(product.network, (image,), dynamic_shapes=shapes)
    except Exception as error:  # torch.export raises what it likes where a network needs one size
        product.fixed = product.fixed or product.shape(batch=1)
        try:
            return torch.export.export(product.network, (torch.zeros(product.fixed),))
        except Exception:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(
                f"a network that torch.export can trace is expected; found {type(product.network).__name__}, which it "
                f"cannot ({reason}); use the format 'pt' or 'safetensors'"
            ) from error


def _write_torch_export(product: Product, path: Path) -> None:
    torch.export.save(_program(product), path, extra_files=dict(product.record))


def _run_torch_export(product: Product, path: Path, image: torch.Tensor) -> list[torch.Tensor]:
    return tensors_of(torch.export.load(path).module()(image))


def _write_onnx(product: Product, path: Path) -> None:
    onnx = importlib.import_module("onnx")
    outputs = len(tensors_of(product.network(torch.zeros(product.shape(batch=1)))))
    program = torch.onnx.export(
        _program(product),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["pred", *[f"pred_{n}" for n in range(1, outputs)]],
        verbose=False,
    )
    program.model.metadata_props.update(product.record)
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def _run_onnx(product: Product, path: Path, image: torch.Tensor) -> list[torch.Tensor] | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(output) for output in session.run(None, {"image": image.numpy()})]


FORMATS: Mapping[str, Format] = {
    "pt": Format(".pt", (), _write_pt, _run_pt),
    "safetensors": Format(".safetensors", ("safetensors",), _write_safetensors, _run_safetensors),
    "torch_export": Format(".pt2", (), _write_torch_export, _run_torch_export, tolerance=1e-5),
    "onnx": Format(".onnx", ("onnx", "onnxscript"), _write_onnx, _run_onnx, tolerance=1e-4),
}
"""What ``python -m medvol export`` can write."""
