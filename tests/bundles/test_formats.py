from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from medvol.bundles.formats import FORMATS, OPSET, Product, tensors_of


class Twin(nn.Module):
    """One layer under two names, as DynUNet lists its own, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, 2, 3, padding=1)
        self.other = nn.ModuleList([self.one])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.one(x)
        return x, x.mean(1, keepdim=True)


class OneSize(nn.Module):
    """A network that takes images of 16 x 16 only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.reshape(1, 256))


class Moody(nn.Module):
    """A network whose way depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if float(x.mean()) > 0.3 else x


def product(network: nn.Module | None = None, channels: int = 2, **settings: object) -> Product:
    torch.manual_seed(0)
    network = Twin() if network is None else network
    return Product(network.eval(), channels, (4, 4), {"medvol.bundle": "toy"}, **settings)  # type: ignore[arg-type]


def round_trip(kind: str, made: Product, folder: Path, *shape: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    file = folder / f"network{FORMATS[kind].suffix}"
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        FORMATS[kind].write(made, file)
        return tensors_of(made.network(image)), FORMATS[kind].run(made, file, image) or []


@pytest.mark.parametrize("kind", ["pt", "safetensors", pytest.param("torch_export", marks=pytest.mark.slow)])
def test_a_network_comes_back(kind: str, tmp_path: Path) -> None:
    made = product()
    expected, found = round_trip(kind, made, tmp_path, 3, 2, 8, 20)
    assert [torch.equal(a, b) for a, b in zip(expected, found, strict=True)] == [True, True]
    assert made.fixed is None


@pytest.mark.slow
def test_onnx_comes_back_with_its_names(tmp_path: Path) -> None:
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    expected, found = round_trip("onnx", product(), tmp_path, 3, 2, 4, 20)
    torch.testing.assert_close(expected, found)
    model = onnx.load(tmp_path / "network.onnx")
    assert [entry.name for entry in model.graph.input] == ["image"]
    assert [entry.name for entry in model.graph.output] == ["pred", "pred_1"]
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    assert {entry.key: entry.value for entry in model.metadata_props}["medvol.bundle"] == "toy"
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"], "the weights are inside of the file"


def test_a_shared_tensor_is_written_once_and_the_record_stands_in_the_header(tmp_path: Path) -> None:
    FORMATS["safetensors"].write(product(), tmp_path / "n.safetensors")
    content = (tmp_path / "n.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    notes = header.pop("__metadata__")
    assert len(header) == 2
    assert notes["format"] == "pt"
    assert notes["medvol.bundle"] == "toy"


@pytest.mark.slow
def test_the_record_stands_in_an_exported_graph(tmp_path: Path) -> None:
    FORMATS["torch_export"].write(product(), tmp_path / "n.pt2")
    record = {"medvol.bundle": ""}
    torch.export.load(tmp_path / "n.pt2", extra_files=record)
    assert record == {"medvol.bundle": "toy"}
    assert zipfile.is_zipfile(tmp_path / "n.pt2")


@pytest.mark.slow
def test_a_network_of_one_size_is_exported_for_that_size(tmp_path: Path) -> None:
    made = product(OneSize(), channels=1)
    expected, found = round_trip("torch_export", made, tmp_path, 1, 1, 16, 16)
    assert torch.equal(expected[0], found[0])
    assert made.fixed == (1, 1, 16, 16)


@pytest.mark.slow
def test_a_network_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"that torch.export can trace is expected; found Moody.*use the format 'pt'"):
        FORMATS["torch_export"].write(product(Moody(), channels=1), tmp_path / "n.pt2")


def test_without_onnxruntime_nothing_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert FORMATS["onnx"].run(product(), tmp_path / "n.onnx", torch.zeros(1)) is None


def test_shapes() -> None:
    made = Product(nn.Identity(), 1, (32, 1, -24))
    assert made.shape(1) == (1, 1, 64, 16, 24)
    assert made.shape(2, (1, 3)) == (2, 1, 96, 19, 24)
    assert made.open_shape() == ("B", 1, "32*n", "n", 24)
