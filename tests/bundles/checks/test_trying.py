from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch

from medvol.bundles.checks.trying import on_the_side, side_parser


def test_a_side_parser_leaves_the_config_as_it_is() -> None:
    config = {"steps": 3, "net": {"_target_": "torch.nn.Linear", "in_features": "@steps", "out_features": 1}}
    side = side_parser(config, steps=5)
    side["net::out_features"] = 2
    assert side.get_parsed_content("net").weight.shape == (2, 5)
    assert config == {"steps": 3, "net": {"_target_": "torch.nn.Linear", "in_features": "@steps", "out_features": 1}}
    assert side_parser(config).get_parsed_content("net").weight.shape == (1, 3)


def test_what_happens_on_the_side_leaves_no_trace(capsys: pytest.CaptureFixture) -> None:
    def draw() -> tuple:
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    wanted = [draw(), draw()]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    found = [draw()]

    @on_the_side()
    def fail() -> None:
        draw()
        print("loaded")
        logging.getLogger("ignite").critical("a traceback")
        raise ValueError("passes")

    with pytest.raises(ValueError, match="passes"):
        fail()
    assert [*found, draw()] == wanted
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""
    assert logging.root.manager.disable == logging.NOTSET
