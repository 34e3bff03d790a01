"""medvol.engines.precision"""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from medvol.engines.precision import as_float32, as_plain, autocast_dtype, detached, forward_precision


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


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("channels", [16, 64])
def test_weight_gradients_of_small_maps_are_right_in_bfloat16(size: int, channels: int) -> None:
    """Without the detour over float32 the first case is off by its own size on CPUs with AVX512-BF16."""
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(channels, channels, 3, padding=1)
    x = torch.randn(4, channels, size, size, size)
    y = conv(x)
    gradient = torch.randn_like(y)
    y.backward(gradient)
    exact, conv.weight.grad = conv.weight.grad, None
    with forward_precision(torch.device("cpu"), torch.bfloat16):
        y = conv(x)
    y.backward(gradient.to(y.dtype))
    assert (conv.weight.grad - exact).norm() < 0.02 * exact.norm()


def test_only_small_maps_leave_bfloat16() -> None:
    conv = torch.nn.Conv3d(8, 8, 3, padding=1)
    with forward_precision(torch.device("cpu"), torch.bfloat16):
        assert conv(torch.zeros(1, 8, 4, 4, 4)).dtype == torch.bfloat16
        assert conv(torch.zeros(1, 8, 4, 2, 4)).dtype == torch.float32
    with forward_precision(torch.device("cpu"), None):
        assert conv(torch.zeros(1, 8, 4, 4, 4)).dtype == torch.float32
