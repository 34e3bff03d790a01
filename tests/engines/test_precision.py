"""medvol.engines.precision"""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from medvol.engines.precision import as_float32, as_plain, autocast_dtype, detached


@pytest.mark.parametrize(
    ("amx", "avx", "expected"), [(True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, None)]
)
def test_auto_asks_the_processor(monkeypatch, amx, avx, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    assert autocast_dtype("auto", torch.device("cpu")) is expected


def test_auto_without_the_probes_is_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert autocast_dtype("auto", torch.device("cpu")) is None


def test_words():
    cpu = torch.device("cpu")
    assert [autocast_dtype(w, cpu) for w in ("fp32", "bf16", "fp16")] == [None, torch.bfloat16, torch.float16]
    with pytest.raises(ValueError, match="found 'half'"):
        autocast_dtype("half", cpu)


def test_only_half_precision_becomes_float32():
    found = as_float32({"a": [torch.ones(1).bfloat16()], "b": (torch.ones(1).half(), torch.ones(1).double(), 3)})
    assert found["a"][0].dtype == found["b"][0].dtype == torch.float32
    assert found["b"][1].dtype == torch.float64
    assert isinstance(found["b"], tuple)
    assert found["b"][2] == 3


def test_plain_and_detached():
    x = MetaTensor(torch.ones(2), meta={"a": 1}).requires_grad_()
    (plain,) = as_plain((x * 2,))
    assert type(plain) is torch.Tensor
    assert plain.requires_grad
    assert not detached([plain])[0].requires_grad


class Spy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.seen = None

    def forward(self, x):
        y = self.layer(x)
        self.seen = y.dtype
        return y, y


def test_forward_is_bfloat16_and_loss_float32(trainer_factory):
    network, dtypes = Spy(), []

    def loss(prediction, label):
        dtypes.append((type(prediction), prediction[0].dtype, torch.is_autocast_enabled("cpu")))
        return ((prediction[0] - label) ** 2).mean()

    trainer = trainer_factory(network=network, loss_function=loss, precision="bf16", steps=1, steps_per_epoch=1)
    trainer.run()
    assert network.seen == torch.bfloat16
    assert dtypes == [(tuple, torch.float32, False)]
    assert trainer.state.output["loss"].dtype == torch.float32
    assert network.layer.weight.dtype == torch.float32
