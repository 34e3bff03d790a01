"""medvol.engines.checksum (two processes: tests/slow/test_torchrun_engine.py)"""

from __future__ import annotations

import torch
from torch import nn

from medvol.engines.checksum import buffer_checksums, require_equal_buffers


class Queue(nn.Module):
    def __init__(self, *rows):
        super().__init__()
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.float32))
        self.register_buffer("pointer", torch.tensor(1))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.norm = nn.BatchNorm1d(2)


def test_sees_order_and_leaves_out_running_statistics():
    one, two, three = Queue(1, 2), Queue(2, 1), Queue(1, 2)
    three.norm.running_mean += 1
    assert list(buffer_checksums(one)) == ["rows", "pointer", "mask"]
    assert buffer_checksums(one) == buffer_checksums(three)
    assert buffer_checksums(one)["rows"] != buffer_checksums(two)["rows"]


def test_one_process_has_nothing_to_compare():
    require_equal_buffers([Queue(1)])
