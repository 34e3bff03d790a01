"""What the engine, the views and bfloat16 cost, on the shipped preset of cpc3d."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from medvol.engines import Trainer, TrainingSuite
from medvol.engines.precision import as_float32, autocast_dtype, forward_precision

pytestmark = pytest.mark.speed
CONFIG = str(Path(__file__).parents[2] / "bundles" / "cpc3d" / "train.json")
STEPS = 6


class Repeated:
    """A loader without work: the same batch for ever."""

    def __init__(self, batch: dict) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[dict]:
        while True:
            yield self.batch


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The parts of the shipped bundle, and one batch of its data."""
    out = str(tmp_path_factory.mktemp("speed"))
    workflow = ConfigWorkflow(config_file=CONFIG, workflow_type="train", output_dir=out, mlflow=False, num_workers=0)
    workflow.initialize()
    names = ("network", "loss", "optimizer", "network_def", "prepare_batch", "train::dataloader", "train::dataset")
    found = {name: workflow.parser.get_parsed_content(name) for name in names}
    found["batch"] = next(iter(found["train::dataloader"]))
    return found


def plain_loop(parts: dict, loader: Iterator[dict], precision: str, steps: int = STEPS) -> None:
    """The loop that one would write by hand."""
    network, loss, optimizer = parts["network"], parts["loss"], parts["optimizer"]
    device = torch.device("cpu")
    network.train()
    for _ in range(steps):
        batch = next(loader)
        optimizer.zero_grad(set_to_none=True)
        with forward_precision(device, autocast_dtype(precision, device)):
            output = network(batch["image"], batch["foreground"])
        value = loss(as_float32(output), None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        value.item()


def engine_loop(parts: dict, loader: object, folder: Path, steps: int = STEPS) -> None:
    """The same steps through Trainer and TrainingSuite, with its log and its checkpoint."""
    suite = TrainingSuite(run_dir=folder, product=parts["network_def"], mlflow=False, restart=True)
    Trainer(
        device="cpu", max_epochs=1, steps=steps, steps_per_epoch=steps, train_data_loader=loader, clip_norm=1.0,
        network=parts["network"], loss_function=parts["loss"], optimizer=parts["optimizer"],
        prepare_batch=parts["prepare_batch"], train_handlers=[suite],
    ).run()  # fmt: skip


def test_engine_against_a_plain_loop(
    parts: dict, in_turns: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Over one interval between two checkpoints of the preset, with the checkpoint, the log and the product."""
    repeated, steps = Repeated(parts["batch"]), 50
    plain, engine = in_turns(
        lambda: plain_loop(parts, iter(repeated), "auto", steps),
        lambda: engine_loop(parts, repeated, tmp_path / "run", steps),
        rounds=3,
    )
    ratio = plain / engine
    with capsys.disabled():
        print(f"\nviews off: plain {plain / steps:.3f} s, engine {engine / steps:.3f} s a step, ratio {ratio:.3f}")
    assert ratio >= 0.95


def test_views_on(parts: dict, in_turns: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Data made in the training process cost T beside C; with nothing else lost the speed is C / (C + T)."""
    dataset, loader = parts["train::dataset"], parts["train::dataloader"]
    size = parts["batch"]["image"].shape[0]
    [dataset[(i, i)] for i in range(len(dataset))]  # the deterministic part is cached once
    start = time.perf_counter()
    for position in range(8 * size):
        dataset[(position % len(dataset), position)]
    seconds = (time.perf_counter() - start) / 8
    off, on = in_turns(
        lambda: engine_loop(parts, Repeated(parts["batch"]), tmp_path / "off"),
        lambda: engine_loop(parts, loader, tmp_path / "on"),
    )
    computing = off / STEPS
    bound = 0.9 * computing / (computing + seconds)
    with capsys.disabled():
        print(f"\nviews on: C {computing:.3f} s, T {seconds:.3f} s a batch, ratio {off / on:.3f}, bound {bound:.3f}")
    assert off / on >= bound


@pytest.mark.skipif(autocast_dtype("auto", torch.device("cpu")) is None, reason="this processor has no bfloat16")
def test_bfloat16_against_float32(parts: dict, in_turns: Callable, capsys: pytest.CaptureFixture) -> None:
    repeated = Repeated(parts["batch"])
    single, half = in_turns(
        lambda: plain_loop(parts, iter(repeated), "fp32", 2), lambda: plain_loop(parts, iter(repeated), "bf16", 2)
    )
    with capsys.disabled():
        print(f"\nstep: fp32 {single / 2:.3f} s, bf16 {half / 2:.3f} s, ratio {single / half:.2f}")
    assert single / half > 1


def test_step(parts: dict, benchmark: Callable) -> None:
    """One optimizer step of the preset, for pytest-benchmark's table."""
    repeated = iter(Repeated(parts["batch"]))
    benchmark.pedantic(plain_loop, args=(parts, repeated, "auto", 1), rounds=5, warmup_rounds=1)
