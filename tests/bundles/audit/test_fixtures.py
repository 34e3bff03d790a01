import pytest
import torch

from medvol.bundles.audit import fixtures
from medvol.bundles.audit.fixtures import chosen_fixtures

SHAPES = [(12, 10, 8), (12, 10, 1), (12, 10)]


@pytest.mark.parametrize("shape", SHAPES)
def test_they_are_those_that_transforms_are_tested_on(shape, noise, ramp, padded):
    assert torch.equal(fixtures.noise(shape, 3, channels=2), noise(shape, 3, channels=2))
    assert torch.equal(fixtures.padded(shape, 3, channels=2, border=2), padded(shape, 3, channels=2, border=2))
    assert torch.allclose(fixtures.ramp(shape, 3), ramp(shape, 3), atol=1e-6)
    assert torch.allclose(fixtures.ramp(shape, 3, channels=4)[:1] - noise(shape, 3, channels=4)[:1],
                          ramp(shape, 3) - noise(shape, 3), atol=1e-6)  # fmt: skip


def test_the_channels_of_a_ramp_tell_all_coordinates():
    heights = fixtures.ramp((5, 5, 5), 0, channels=4) - fixtures.noise((5, 5, 5), 0, channels=4)
    assert len({tuple(column) for column in heights.flatten(1).T.round(decimals=4).tolist()}) == 125
    one = heights[:1].flatten(1).T.round(decimals=4).tolist()
    assert len({tuple(column) for column in one}) == 13  # one ramp tells the sum of the coordinates only


def test_a_border_may_be_on_one_side():
    volume = fixtures.padded((8, 8, 1), 0, border=(3, 0))
    assert not volume[:, :3].any()
    assert not volume[:, :, :3].any()
    assert (volume[:, 3:, 3:] != 0).all()


def test_names():
    assert chosen_fixtures("all") == ("noise", "ramp", "padded")
    with pytest.raises(ValueError, match="found 'padding'; did you mean 'padded'"):
        chosen_fixtures("padding")
    with pytest.raises(ValueError, match="choose one of these, or --data own"):
        chosen_fixtures("xyzzy")
