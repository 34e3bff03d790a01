import numpy as np
import torch

from medvol.transforms.scan import read_scan


def test_percentiles_are_those_of_the_foreground():
    values = torch.zeros(2, 10, 20, dtype=torch.float64)
    values[0, :5] = torch.arange(1.0, 101.0, dtype=torch.float64).reshape(5, 20)
    values[1] = torch.arange(-100.0, 100.0, dtype=torch.float64).reshape(10, 20)
    scan = read_scan(values, (1.0, 2.0))
    expected = [np.percentile(np.arange(1, 101), (1, 99)), np.percentile(np.arange(-100, 100), (1, 99))]
    np.testing.assert_allclose(scan.low.flatten(), [low for low, _ in expected])
    np.testing.assert_allclose(scan.span.flatten(), [high - low for low, high in expected])
    assert scan.shape == (10, 20)
    assert scan.spacing == (1.0, 2.0)


def test_zero_is_background_only_where_nothing_is_negative():
    values = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[0.0, -1000.0], [40.0, 0.0]]])
    scan = read_scan(values, (1.0, 1.0))
    assert scan.background.tolist() == [[[True, False], [False, False]], [[False, False], [False, False]]]
    assert scan.floor.flatten().tolist() == [0.0, -1000.0]


def test_a_channel_of_background_has_no_range():
    scan = read_scan(torch.zeros(1, 3, 3), (1.0, 1.0))
    assert float(scan.span) == float(scan.low) == 0.0
    assert bool(scan.background.all())
