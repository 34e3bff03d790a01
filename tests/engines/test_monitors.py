"""medvol.engines.monitors"""

from __future__ import annotations

import pytest
import torch

from medvol.engines.monitors import MonitorBoard


class Count:
    def __init__(self, name="count"):
        self.name, self.seen, self.total = name, 0, 0

    def update(self, output, label):
        self.seen += len(output)
        self.total += len(output)

    def compute(self):
        return {self.name: self.seen}

    def reset(self):
        self.seen = 0

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def test_windows():
    board = MonitorBoard([Count()])
    for window, losses in ((4, [1.0, 4.0]), (2, [3.0])):
        for loss in losses:
            board.update(loss, torch.zeros(2), None)
        assert board.compute() == {"loss": sum(losses) / len(losses), "count": window}


def test_state():
    board, other = MonitorBoard([Count()]), MonitorBoard([Count()])
    board.update(1.0, torch.zeros(3), None)
    other.load_state_dict(board.state_dict())
    assert other.monitors[0].total == 3


@pytest.mark.parametrize("monitors", [[Count(), Count()], [Count("loss")]])
def test_a_name_is_used_once(monitors):
    board = MonitorBoard(monitors)
    board.update(1.0, torch.zeros(1), None)
    with pytest.raises(ValueError, match="one value per name"):
        board.compute()


def test_refuses_what_is_no_monitor():
    with pytest.raises(TypeError, match="found Tensor"):
        MonitorBoard([torch.zeros(1)])
    assert MonitorBoard(None).monitors == []
