"""medvol.engines.suite: what a run leaves behind, and that an interruption leaves no trace in it"""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from medvol.engines import FrozenWarmup, PretextValidator, TrainingSuite, WarmupCosine
from medvol.engines.resume import load_checkpoint
from medvol.engines.tracking import read_log

FILES = ("model.pt", "passport.json", "log.csv")


class StopError(Exception):
    pass


class Mean:
    """A monitor: the mean output of its window."""

    def __init__(self):
        self.values = []

    def update(self, output, label):
        self.values.append(output.mean().item())

    def compute(self):
        return {"mean": sum(self.values) / len(self.values)}

    def reset(self):
        self.values = []


def build(factory, stream_factory, folder, suite=None, **changes):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.3))
    network = nn.Sequential(encoder, nn.Tanh(), nn.Linear(3, 1))
    validator = PretextValidator(network, stream_factory(), nn.MSELoss(), [Mean()], num_batches=2)
    settings = {"save_every_steps": 2, "log_every_steps": 3, "monitors": [Mean()], "validator": validator}
    settings |= {"eval_every_examples": 7, "mlflow": False, "progress": False} | (suite or {})
    handler = TrainingSuite(folder, product=encoder, **settings)
    arguments = {
        "steps": 5,
        "steps_per_epoch": 2,
        "accumulation_steps": 2,
        "lr_scheduler": lambda o: WarmupCosine(o, 2, 5),
        "freeze": FrozenWarmup(encoder, 1),
        "clip_norm": 1.0,
        "train_handlers": [handler],
    }
    return factory(network=network, **(arguments | changes))


def stop_at(trainer, event, micro_batch):
    def stop(engine):
        if engine.state.iteration == micro_batch:
            raise StopError

    trainer.add_event_handler(event, stop)
    with pytest.raises(StopError):
        trainer.run()


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="session")
def whole():
    return {}


BEFORE = [(Events.ITERATION_STARTED, n) for n in range(1, 11)]
AT_THE_END_OF_AN_EPOCH = [(Events.ITERATION_COMPLETED, n) for n in (4, 10)]  # its hook and checkpoint are still to come


@pytest.mark.parametrize(("event", "micro_batch"), BEFORE + AT_THE_END_OF_AN_EPOCH)
def test_resume_is_exact_at_every_point(trainer_factory, stream_factory, tmp_path, whole, event, micro_batch):
    if not whole:
        build(trainer_factory, stream_factory, tmp_path / "whole" / "run").run()
        whole.update(contents(tmp_path / "whole" / "run"))
    folder = tmp_path / "parts" / "run"
    stop_at(build(trainer_factory, stream_factory, folder), event, micro_batch)
    torch.manual_seed(micro_batch)  # whatever the new process drew before
    build(trainer_factory, stream_factory, folder).run()
    assert contents(folder) == whole


def test_resume_after_several_stops_and_skipped_steps(trainer_factory, stream_factory, tmp_path):
    class Overflow(nn.Module):
        """Overflows for some inputs, so that a repeated micro-batch overflows again."""

        def forward(self, prediction, label):
            if label.sum() > 3:
                prediction.register_hook(lambda gradient: gradient * float("inf"))
            return ((prediction - label) ** 2).mean()

    def new(folder):
        return build(
            trainer_factory, stream_factory, folder, {"save_every_steps": 1}, precision="fp16", loss_function=Overflow()
        )

    trainer = new(tmp_path / "whole" / "run")
    trainer.run()
    assert trainer.state.skipped > 1
    folder = tmp_path / "parts" / "run"
    for micro_batch in range(3, trainer.state.iteration, 4):
        stop_at(new(folder), Events.ITERATION_STARTED, micro_batch)
    other = new(folder)
    other.run()
    assert contents(folder) == contents(tmp_path / "whole" / "run")
    assert other.clock() == trainer.clock()
    assert other.scaler.state_dict() == trainer.scaler.state_dict()


def test_what_a_run_leaves(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "eval" / "abc"
    trainer = build(trainer_factory, stream_factory, folder, {"passport": {"bundle": "toy", "data": None}})
    trainer.run()
    weights = torch.load(folder / "model.pt", weights_only=True)
    product = trainer.unwrapped[0].state_dict()
    assert type(weights) is dict
    assert weights.keys() == product.keys()
    assert all(torch.equal(weights[k], product[k]) and type(weights[k]) is torch.Tensor for k in product)
    passport = json.loads((folder / "passport.json").read_text())
    assert {k: passport[k] for k in ("bundle", "run", "seed", "steps", "examples")} == {
        "bundle": "toy", "run": "abc", "seed": 0, "steps": 5, "examples": 20
    }  # fmt: skip
    assert {"loss", "mean", "val_loss", "val_mean"} <= passport["metrics"].keys()
    assert (tmp_path / "eval" / "latest.txt").read_text() == "abc\n"
    last = load_checkpoint(folder / "last.pt")
    assert last["done"]
    assert last["clock"] == {"step": 5, "iteration": 10, "examples": 20, "skipped": 0}
    assert not list(folder.glob(".*.part"))


def test_log_rows(trainer_factory, stream_factory, tmp_path):
    trainer = build(trainer_factory, stream_factory, tmp_path / "run")
    losses = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))
    trainer.run()
    rows = read_log(tmp_path / "run" / "log.csv")
    logged = [(r.step, r.examples, r.value) for r in rows if r.name == "loss"]
    # Every third step, every checkpoint, and the end; a mean over the micro-batches since the row before.
    windows = {2: losses[:4], 3: losses[4:6], 4: losses[6:8], 5: losses[8:]}
    assert logged == [(s, 4 * s, pytest.approx(sum(w) / len(w), abs=1e-12)) for s, w in windows.items()]
    # Examples per step are 4; 7 and 14 are crossed at steps 2 and 4; and the end.
    assert [r.step for r in rows if r.name == "val_loss"] == [2, 4, 5]
    assert {r.name for r in rows} >= {"learning_rate", "gradient_norm", "mean", "val_mean"}


def test_validation_without_interval_is_at_the_end_only(trainer_factory, stream_factory, tmp_path):
    build(trainer_factory, stream_factory, tmp_path / "run", {"eval_every_examples": None}).run()
    assert [r.step for r in read_log(tmp_path / "run" / "log.csv") if r.name == "val_loss"] == [5]


def test_a_finished_run_stays_as_it_is(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    build(trainer_factory, stream_factory, folder).run()
    before = contents(folder)
    trainer = build(trainer_factory, stream_factory, folder)
    steps = []
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: steps.append(1))
    trainer.run()
    assert not steps
    assert contents(folder) == before


def test_a_kill_just_before_the_product_is_made_good(trainer_factory, stream_factory, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    build(trainer_factory, stream_factory, tmp_path / "whole" / "run").run()

    def kill(*_):
        raise StopError

    trainer = build(trainer_factory, stream_factory, folder)
    with monkeypatch.context() as patch:
        patch.setattr("medvol.engines.suite.write_product", kill)
        with pytest.raises(StopError):
            trainer.run()
    assert not (folder / "model.pt").exists()
    build(trainer_factory, stream_factory, folder).run()
    assert contents(folder) == contents(tmp_path / "whole" / "run")


def test_restart_begins_anew(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    build(trainer_factory, stream_factory, folder).run()
    before = contents(folder)
    (folder / "metrics.csv").write_text("stale")
    trainer = build(trainer_factory, stream_factory, folder, {"restart": True})
    seen = []
    trainer.add_event_handler(
        Events.ITERATION_STARTED(once=1), lambda: seen.extend(sorted(p.name for p in folder.iterdir()))
    )
    trainer.run()
    assert seen == [".lock", "last.pt", "log.csv"]
    assert contents(folder) == before


def test_log_is_cut_at_the_checkpoint(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    stop_at(build(trainer_factory, stream_factory, folder), Events.ITERATION_STARTED, 7)  # saved at 2, logged at 3
    assert max(r.step for r in read_log(folder / "log.csv")) == 3
    with (folder / "log.csv").open("a") as file:
        file.write("3,12,lo")  # torn by a kill
    trainer = build(trainer_factory, stream_factory, folder)
    seen = []
    trainer.add_event_handler(
        Events.ITERATION_STARTED(once=5), lambda: seen.append(max(r.step for r in read_log(folder / "log.csv")))
    )
    trainer.run()
    assert seen == [2]


def test_two_writers_are_refused_and_a_failed_one_gives_way(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    first, second = (build(trainer_factory, stream_factory, folder) for _ in range(2))

    @first.on(Events.ITERATION_COMPLETED(once=3))
    def intrude():
        with pytest.raises(RuntimeError, match="expected to be the only one to write"):
            second.run()
        raise StopError

    with pytest.raises(StopError):
        first.run()
    build(trainer_factory, stream_factory, folder).run()


def test_damaged_checkpoint(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    stop_at(build(trainer_factory, stream_factory, folder), Events.ITERATION_STARTED, 7)
    whole = (folder / "last.pt").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"nonsense"):
        (folder / "last.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"found a damaged or foreign file .*last.pt .*--restart True"):
            build(trainer_factory, stream_factory, folder).run()


def test_checkpoint_of_another_run(trainer_factory, stream_factory, tmp_path):
    build(trainer_factory, stream_factory, tmp_path / "run", {"passport": {"hash": "a" * 64}}).run()
    with pytest.raises(ValueError, match=r"checkpoint of run bbbbbbbb in .* found one of run aaaaaaaa"):
        build(trainer_factory, stream_factory, tmp_path / "run", {"passport": {"hash": "b" * 64}}).run()


def test_monai_evaluator_as_validator(trainer_factory, stream_factory, tmp_path):
    from monai.engines import SupervisedEvaluator
    from monai.handlers import MeanSquaredError, from_engine

    trainer = build(trainer_factory, stream_factory, tmp_path / "run", steps=4)
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=[{"image": torch.ones(2, 4), "label": torch.zeros(2, 1)}],
        network=trainer.unwrapped,
        key_val_metric={"mse": MeanSquaredError(output_transform=from_engine(["pred", "label"]))},
    )
    trainer.handlers[0].validator = evaluator
    trainer.run()
    rows = [r for r in read_log(tmp_path / "run" / "log.csv") if r.name == "val_mse"]
    assert [r.step for r in rows] == [2, 4]
    with torch.no_grad():
        expected = (trainer.unwrapped.eval()(torch.ones(2, 4)) ** 2).mean().item()
    assert rows[-1].value == pytest.approx(expected, rel=1e-6)


def test_progress_without_a_terminal_is_lines_of_text(trainer_factory, stream_factory, tmp_path, capsys):
    build(trainer_factory, stream_factory, tmp_path / "run", {"progress": True}).run()
    captured = capsys.readouterr()
    assert captured.err == ""
    *going, line = captured.out.splitlines()
    assert all("of 5, " in text and "s left" in text for text in going)
    assert len(going) <= 5
    assert line.startswith("medvol: run: 5 steps, 20 examples, ")
    assert "val_loss" in line


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ({"run_dir": None}, ValueError, "run_dir None"),
        ({"product": "network"}, TypeError, "found str"),
        ({"save_every_steps": 0}, ValueError, "save_every_steps >= 1, found 0"),
        ({"eval_every_examples": -1}, ValueError, "eval_every_examples >= 1, found -1"),
        ({"passport": {"sed": 1}}, ValueError, r"found \['sed'\]"),
        ({"monitors": [max]}, TypeError, "monitors with update"),
    ],
)
def test_refusals(arguments, error, what):
    with pytest.raises(error, match=what):
        TrainingSuite(**({"run_dir": "run", "product": nn.Linear(1, 1)} | arguments))


def test_product_must_be_trained(trainer_factory, tmp_path):
    suite = TrainingSuite(tmp_path / "run", product=nn.Linear(4, 1))
    with pytest.raises(ValueError, match="2 parameters outside of it"):
        trainer_factory(train_handlers=[suite])
    with pytest.raises(TypeError, match="found Engine"):
        suite.attach(Engine(lambda e, b: None))


def test_curves_of_a_run_that_was_continued(trainer_factory, stream_factory, tmp_path, draws_curves, monkeypatch):
    drawn = []
    monkeypatch.setattr("medvol.engines.pictures.save_curves", lambda log, png, names: drawn.append(read_log(log)))
    folder = tmp_path / "run"
    stop_at(build(trainer_factory, stream_factory, folder), Events.ITERATION_STARTED, 7)
    assert not drawn
    build(trainer_factory, stream_factory, folder).run()
    assert drawn == [read_log(folder / "log.csv")]
    assert [row.step for row in drawn[0] if row.name == "val_loss"] == [2, 4, 5]


def test_curves_that_cannot_be_drawn(trainer_factory, stream_factory, tmp_path, draws_curves, monkeypatch):
    def full(log, png, names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medvol.engines.pictures.save_curves", full)
    folder = tmp_path / "run"
    with pytest.warns(UserWarning, match="No space left") as caught:
        build(trainer_factory, stream_factory, folder).run()
    assert len(caught) == 1
    assert all((folder / name).exists() for name in FILES)
    assert load_checkpoint(folder / "last.pt")["done"]


def test_restart_removes_the_pictures(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    (folder / "overlays").mkdir(parents=True)
    for name in ("curves.png", "overlays/best_a.png"):
        (folder / name).touch()
    build(trainer_factory, stream_factory, folder, {"restart": True}).run()
    assert not list(folder.rglob("*.png"))
    assert not (folder / "overlays").exists()
