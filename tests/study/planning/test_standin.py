from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tiny_study import LABELS, tiny_plan, write_tiny_study

from medvol.passport import read_passport
from medvol.study.planning.opened import open_run
from medvol.study.planning.standin import write_stand_in


def test_it_has_the_products_shapes_and_the_passport(write_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    plan = tiny_plan(write_tiny_study(tmp_path, write_tiny_dataset))
    opened = {run.kind: open_run(plan, run) for run in plan.runs}
    for kind, trained in {"pretrain": False, "finetune": True}.items():
        folder = tmp_path / kind
        folder.mkdir()
        before = torch.get_rng_state()
        path = write_stand_in(opened[kind], folder, like_trained=trained)
        assert torch.equal(torch.get_rng_state(), before)
        state = torch.load(path, weights_only=True)
        network = opened[kind].parser.get_parsed_content("network_def")
        assert {name: value.shape for name, value in state.items()} == {
            name: value.shape for name, value in network.state_dict().items()
        }
        passport = read_passport(path)
        assert passport["modalities"] == ["t1"]
        assert ("recipe" in passport) == trained
    assert passport["data"]["label_map"] == LABELS
    assert passport["recipe"]["filters"] == [8, 8, 8]
