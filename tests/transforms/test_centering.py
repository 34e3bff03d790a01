import pytest
import torch

from medvol.transforms.centering import centered


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_double_precision(offset, dtype):
    x = (torch.randn(3, 2, 500, generator=torch.Generator().manual_seed(0)) * 2 + offset).to(dtype)
    before = x.clone()
    less, deviation = centered(x)
    exact = x.double()
    tolerance = 1e-2 if offset and dtype is torch.float32 else 1e-5  # 1e4 in single precision is known to 1e-3
    assert torch.equal(x, before), "the values are left as they are"
    assert (less.dtype, deviation.dtype) == (dtype, dtype)
    assert (less.shape, deviation.shape) == (x.shape, (3, 2, 1))
    torch.testing.assert_close(less.double(), exact - exact.mean(-1, keepdim=True), atol=tolerance, rtol=0)
    torch.testing.assert_close(
        deviation.double(), exact.std(-1, correction=0, keepdim=True), atol=tolerance / 10, rtol=1e-5
    )


def test_a_constant_has_no_deviation():
    less, deviation = centered(torch.full((2, 7), 3.0))
    assert not less.any()
    assert not deviation.any()
