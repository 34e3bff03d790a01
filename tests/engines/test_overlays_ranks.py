"""Two processes keep their own cases; the best of all is drawn, by the first process, wherever it was kept."""

from __future__ import annotations

import os

import pytest
import torch

from medvol import distributed
from medvol.engines import SaveOverlays, ScoreCases

pytestmark = pytest.mark.slow


class Value:
    def __call__(self, prediction, reference, spacing):
        return [{"region": "ET", "metric": "dice", "value": float(prediction.max())}]

    def mean(self, rows):
        return {"mean_dice": sum(row["value"] for row in rows) / len(rows)}


def work(rank, folder, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK="0")
    from monai.data import DataLoader
    from monai.engines import SupervisedEvaluator

    distributed.initialize()
    numbers = [[0, 2, 4], [1, 3, 0]][rank]  # five cases; the sampler repeats the first to fill up
    items = [
        {"image": torch.full((1, 4, 4), n), "label": torch.ones(1, 4, 4), "case": f"case{n:.0f}", "patient": n}
        for n in map(float, numbers)
    ]
    for item in items:  # best and worst lie on process 0, so turn them round: the best is then on process 1
        item["image"] = 4 - item["image"] if rank == 0 else 5 + item["image"]
    # Each process names a folder of its own: only the first one may write.
    handlers = [ScoreCases(Value(), spacing=(1.0, 1.0)), SaveOverlays(f"{folder}/{rank}")]
    SupervisedEvaluator("cpu", DataLoader(items), torch.nn.Identity(), val_handlers=handlers).run()
    distributed.finalize()


def test_the_first_process_draws_the_cases_of_both(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path), str(30000 + os.getpid() % 10000)), nprocs=2)
    # Scores: case0 5 (process 1 wins, it comes last), case1 6, case2 2, case3 8, case4 0.
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert found == ["0/best_case3.png", "0/median_case0.png", "0/worst_case4.png"]
    assert not (tmp_path / "1").exists()
