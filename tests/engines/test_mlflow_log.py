"""medvol.engines.mlflow_log, and when the suite uses it"""

from __future__ import annotations

import warnings

import mlflow
import pytest
import torch
from ignite.engine import Events

from medvol.engines import TrainingSuite
from medvol.engines import mlflow_log as module
from medvol.engines.mlflow_log import MlflowLog
from medvol.engines.tracking import Row, read_log


class StopError(Exception):
    pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)


def runs(uri):
    client = mlflow.MlflowClient(tracking_uri=uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


def history(uri, run_id, name):
    found = mlflow.MlflowClient(tracking_uri=uri).get_metric_history(run_id, name)
    return sorted((m.step, m.value) for m in found)


def build(factory, folder, uri, **suite):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 1)
    handler = TrainingSuite(
        folder, product=network, tracking_uri=uri, save_every_steps=4, log_every_steps=1, progress=False, **suite
    )
    return factory(network=network, train_handlers=[handler])


def test_one_run_across_a_failure(trainer_factory, tmp_path, mlflow_db):
    folder = tmp_path / "toy" / "eval" / "run"
    trainer = build(trainer_factory, folder, mlflow_db, passport={"bundle": "toy", "seed": 3})

    @trainer.on(Events.ITERATION_STARTED)
    def stop(engine):
        if engine.state.iteration == 6:
            raise StopError

    with pytest.raises(StopError):
        trainer.run()
    (run,) = runs(mlflow_db)
    assert (run.info.run_name, run.info.status) == ("run", "FAILED")
    assert run.data.params == {"bundle": "toy", "seed": "3"}
    assert [s for s, _ in history(mlflow_db, run.info.run_id, "loss")] == [1, 2, 3, 4, 5]
    build(trainer_factory, folder, mlflow_db, passport={"bundle": "toy", "seed": 3}).run()
    (after,) = runs(mlflow_db)
    assert after.info.run_id == run.info.run_id
    assert after.info.status == "FINISHED"
    # Step 5 was trained twice and stands there once; MLflow and the CSV file agree on everything.
    rows = read_log(folder / "log.csv")
    for name in {r.name for r in rows}:
        assert history(mlflow_db, run.info.run_id, name) == [(r.step, r.value) for r in rows if r.name == name]
    client = mlflow.MlflowClient(tracking_uri=mlflow_db)
    assert client.get_experiment(after.info.experiment_id).name == "toy"


def test_a_training_anew_is_another_run(trainer_factory, tmp_path, mlflow_db):
    for restart in (False, True):
        build(trainer_factory, tmp_path / "run", mlflow_db, restart=restart).run()
    assert [r.info.status for r in runs(mlflow_db)] == ["FINISHED"] * 2


def test_interrupt_from_the_keyboard_is_a_kill(trainer_factory, tmp_path, mlflow_db):
    trainer = build(trainer_factory, tmp_path / "run", mlflow_db)

    @trainer.on(Events.ITERATION_COMPLETED(once=2))
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert [r.info.status for r in runs(mlflow_db)] == ["KILLED"]


def test_off(trainer_factory, tmp_path, mlflow_db):
    build(trainer_factory, tmp_path / "run", mlflow_db, mlflow=False).run()
    assert runs(mlflow_db) == []


def test_not_beside_a_handler_of_monai(trainer_factory, tmp_path, mlflow_db):
    """`--tracking mlflow` appends this handler to the config's list."""
    from monai.handlers import MLFlowHandler, from_engine

    handler = MLFlowHandler(
        tracking_uri=mlflow_db,
        tag_name="train_loss",
        output_transform=from_engine(["loss"], first=True),
        close_on_complete=True,
    )
    network = torch.nn.Linear(4, 1)
    suite = TrainingSuite(tmp_path / "run", product=network, tracking_uri=mlflow_db, progress=False)
    trainer_factory(network=network, train_handlers=[suite, handler]).run()
    (run,) = runs(mlflow_db)
    assert run.info.status == "FINISHED"
    assert len(history(mlflow_db, run.info.run_id, "train_loss")) == 6
    assert len(read_log(tmp_path / "run" / "log.csv")) > 0


class Locked:
    """A client whose data base another process holds for the next calls."""

    def __init__(self, failures):
        self.failures, self.logged = failures, []

    def log_batch(self, run_id, metrics):
        if self.failures > 0:
            self.failures -= 1
            raise OSError("database is locked")
        self.logged += [(m.key, m.step) for m in metrics]

    def set_terminated(self, run_id, status):
        self.status = status


def log_with(client):
    log = MlflowLog("sqlite:///nowhere.db", "experiment", "run")
    log._client, log.run_id = client, "1"
    return log


def test_waits_for_a_lock():
    client = Locked(failures=module.RETRIES)
    log = log_with(client)
    log.write([Row(1, 2, "loss", 0.5)])
    log.close("FINISHED")
    assert client.logged == [("loss", 1)]
    assert client.status == "FINISHED"


def test_gives_up_with_one_warning():
    log = log_with(Locked(failures=99))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for step in range(5):
            log.write([Row(step, 2 * step, "loss", 0.5)])
            log.flush()
        log.close("FINISHED")
    (warning,) = found
    assert "found OSError: database is locked; " in str(warning.message)
    assert str(warning.message).endswith("--mlflow False")


def test_training_survives_an_unusable_data_base(trainer_factory, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trainer = build(trainer_factory, tmp_path / "run", "unknown://nowhere")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer.run()
    assert [str(w.message)[:28] for w in found if "MLflow" in str(w.message)] == ["expected MLflow to take the "]
    assert (tmp_path / "run" / "model.pt").exists()
    assert {r.step for r in read_log(tmp_path / "run" / "log.csv")} == set(range(1, 7))


def test_environment_wins(monkeypatch, mlflow_db):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_db)
    log = MlflowLog("sqlite:///nowhere.db", "experiment", "run")
    log.start()
    log.close("FINISHED")
    assert len(runs(mlflow_db)) == 1


def test_a_lost_run_is_begun_again_with_all_its_rows(mlflow_db):
    log = MlflowLog(mlflow_db, "experiment", "run")
    log.start("0" * 32, [Row(1, 2, "loss", 0.5)])
    log.close("FINISHED")
    (run,) = runs(mlflow_db)
    assert history(mlflow_db, run.info.run_id, "loss") == [(1, 0.5)]
