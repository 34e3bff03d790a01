"""Two processes score their halves and one of them writes the whole."""

import csv
import os

import pytest
import torch

from medvol import distributed
from medvol.engines.evaluation import SaveEmbeddings, ScoreCases

pytestmark = pytest.mark.slow


class Value:
    def __call__(self, prediction, reference, spacing):
        return [{"region": "ET", "metric": "dice", "value": float(prediction.mean())}]

    def mean(self, rows):
        return {"mean_dice": sum(row["value"] for row in rows) / len(rows)}


def work(rank, folder, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK="0")
    from monai.data import DataLoader
    from monai.engines import SupervisedEvaluator

    distributed.initialize()
    numbers = [[0, 2, 4], [1, 3, 0]][rank]  # five cases; the sampler repeats the first to fill up
    items = [
        {"image": torch.full((1, 4, 4), n), "label": torch.zeros(1, 4, 4), "case": f"case{n}", "patient": n}
        for n in map(float, numbers)
    ]
    handlers = [ScoreCases(Value(), f"{folder}/m.csv", spacing=(1.0, 1.0)), SaveEmbeddings(f"{folder}/e.npz")]
    evaluator = SupervisedEvaluator("cpu", DataLoader(items), torch.nn.Identity(), val_handlers=handlers)
    evaluator.run()
    assert evaluator.state.metrics["mean_dice"] == 2.0
    distributed.finalize()


def test_two_processes_write_what_one_would(tmp_path):
    import numpy as np

    torch.multiprocessing.spawn(work, args=(str(tmp_path), str(20000 + os.getpid() % 10000)), nprocs=2)
    with (tmp_path / "m.csv").open() as file:
        assert [float(row["value"]) for row in csv.DictReader(file)] == [0, 1, 2, 3, 4]
    with np.load(tmp_path / "e.npz") as saved:
        assert saved["embeddings"].ravel().tolist() == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.npz", "m.csv"]
