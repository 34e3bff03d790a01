"""What happens around the steps of a training, as the one handler that a config lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite.engine import Events
from torch import nn

from medvol import distributed
from medvol.engines.checksum import require_equal_buffers
from medvol.engines.events import StepEvents
from medvol.engines.hooks import HookCaller
from medvol.engines.lock import RunLock
from medvol.engines.mlflow_log import MlflowLog
from medvol.engines.monitors import Monitor, MonitorBoard
from medvol.engines.pictures import draw_curves
from medvol.engines.product import remove_run, require_passport, require_product, write_product
from medvol.engines.progress import Progress
from medvol.engines.resume import load_checkpoint, restore_training, save_checkpoint, training_state
from medvol.engines.tracking import CsvLog, Row
from medvol.engines.trainer import Trainer
from medvol.engines.validation import validate

if TYPE_CHECKING:
    from medvol.engines.validation import PretextValidator


class TrainingSuite:
    """Hooks, validation, log, MLflow, progress, checkpoints, resume and the product, in one handler.

    A run folder with a ``last.pt`` is continued, in the middle of an epoch, too, and ends with the same bytes as an
    uninterrupted run. Checkpoints are taken where a window of the log ends, so no half-filled average is lost. The
    order at a step: hooks, log, validation, checkpoint. In several processes only the first one writes. A training that
    pauses after a round (see :class:`Trainer`) leaves log and checkpoint, and the product after its last round.

    Args:
        run_dir: ``<bundle>/eval/<run>``; gets ``last.pt``, ``log.csv``, and in the end ``model.pt``, ``passport.json``,
            ``curves.png``.
        product: the module whose weights are ``model.pt``; the trained network or a part of it.
        passport: what is known of the run beforehand, with keys of :mod:`medvol.passport`.
        validator: has ``run(trainer) -> dict``, or a MONAI evaluator.
        eval_every_examples: examples between two validations; ``None`` validates at the end only.
        save_every_steps: optimizer steps between two checkpoints.
        monitors: objects with ``update``, ``compute`` and ``reset``.
        restart: remove what the folder holds and begin anew.
        mlflow: log to MLflow, unless the trainer has a handler for it already.
        experiment: MLflow's experiment; the bundle's name by default.
        tracking_uri: MLflow's data base; ``<bundle>/eval/mlruns.db`` by default; ``MLFLOW_TRACKING_URI`` wins.
        progress: show a bar on a terminal, and one line at the end.
        log_every_steps: optimizer steps between two rows of the log.
        checksum_every_steps: optimizer steps between two comparisons of the buffers of all processes.

    Raises:
        ValueError: when the folder is missing, an interval is smaller than 1, or the passport has a wrong key.
        TypeError: when the product is no module.
    """

    def __init__(
        self,
        run_dir: str | Path,
        product: nn.Module,
        passport: dict[str, Any] | None = None,
        validator: PretextValidator | Any | None = None,
        eval_every_examples: int | None = None,
        save_every_steps: int = 50,
        monitors: Iterable[Monitor] = (),
        restart: bool = False,
        mlflow: bool = True,
        experiment: str | None = None,
        tracking_uri: str | None = None,
        progress: bool = True,
        log_every_steps: int = 10,
        checksum_every_steps: int = 100,
    ) -> None:
        if not run_dir:
            raise ValueError(
                f"expected the run's folder, found run_dir {run_dir!r}; let $medvol.bundles.guard() fill it"
            )
        if not isinstance(product, nn.Module):
            raise TypeError(f"expected a module as product, found {type(product).__name__}; give '@network_def'")
        intervals = {"save_every_steps": save_every_steps, "log_every_steps": log_every_steps}
        intervals |= {"checksum_every_steps": checksum_every_steps, "eval_every_examples": eval_every_examples or 1}
        for name, value in intervals.items():
            if value < 1:
                raise ValueError(f"expected {name} >= 1, found {value}; give the distance between two of them")
        self.run_dir = Path(run_dir).resolve()
        self.product, self.validator, self.eval_every_examples = product, validator, eval_every_examples
        self.passport = require_passport(passport)
        self.intervals = intervals
        self.board = MonitorBoard(monitors)
        self.restart, self.wants_mlflow, self.wants_progress = restart, mlflow, progress
        eval_dir = self.run_dir.parent
        self.experiment = experiment or self.passport.get("bundle") or eval_dir.parent.name
        self.tracking_uri = tracking_uri or f"sqlite:///{(eval_dir / 'mlruns.db').as_posix()}"
        self.latest: dict[str, float] = {}
        self._validated_examples = 0
        self._pauses = False
        self._run_id: str | None = None
        self._lock: RunLock | None = None
        self._csv: CsvLog | None = None
        self._mlflow: MlflowLog | None = None
        self._progress: Progress | None = None

    def attach(self, engine: Trainer) -> None:
        """Register with a trainer.

        Raises:
            TypeError: when it is another engine.
            ValueError: when the product is not part of the trained network.
        """
        if not isinstance(engine, Trainer):
            raise TypeError(f"expected a medvol.engines.Trainer, found {type(engine).__name__}; use it for training")
        require_product(self.product, engine.unwrapped)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(StepEvents.GRADIENTS_READY, self._gradients_ready)
        engine.add_event_handler(StepEvents.OPTIMIZER_STEPPED, self._optimizer_stepped)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        engine.add_event_handler(StepEvents.RUN_FAILED, self._failed)

    def _start(self, engine: Trainer) -> None:
        self.hooks = HookCaller(engine.unwrapped, engine.loss_function, engine.seed)
        goes_on, self._pauses = self._pauses, False
        self._take_folder(self.restart and not goes_on)
        # After a pause the trainer is as it was left, but for the weights that a server put in: those must stay.
        state = None if goes_on else self._load()
        if state is not None:
            self._require_same_run(state)
            restore_training(engine, state)
            self.board.load_state_dict(state["monitors"])
            self.latest = dict(state["metrics"])
            self._run_id = state.get("mlflow_run_id")
        self._validated_examples = engine.state.examples
        if distributed.is_main():
            self._open_logs(engine)
        made_up = (self.passport.get("data") or {}).get("synthetic")
        title = f"{self.run_dir.name} (synthetic data)" if made_up else self.run_dir.name
        self._progress = Progress(title, engine.steps, engine.state.step, self.wants_progress and distributed.is_main())
        if state is None and not goes_on:  # from the very start a killed run finds its MLflow run again
            self._save(engine)

    def _load(self) -> dict[str, Any] | None:
        # The first process reads for all: they may not share a disk, and must not disagree on where they are.
        last = self.run_dir / "last.pt"
        return distributed.broadcast_object(load_checkpoint(last) if distributed.is_main() and last.is_file() else None)

    def _require_same_run(self, state: dict[str, Any]) -> None:
        found, expected = state.get("run_hash"), self.passport.get("hash")
        if found and expected and found != expected:
            raise ValueError(
                f"expected the checkpoint of run {expected[:8]} in {self.run_dir}, found one of run {found[:8]}; "
                "choose another --run_name, or --restart True to overwrite it"
            )

    def _take_folder(self, empties: bool) -> None:
        refusal = None
        if distributed.is_main():
            try:
                self.run_dir.mkdir(parents=True, exist_ok=True)
                self._lock = RunLock(self.run_dir)
                self._lock.acquire()
            except (OSError, RuntimeError) as error:
                self._lock, refusal = None, str(error)
        refusal = distributed.broadcast_object(refusal)  # else the other processes would wait for the first one forever
        if refusal is not None:
            raise RuntimeError(refusal)
        if distributed.is_main() and empties:
            remove_run(self.run_dir)

    def _open_logs(self, engine: Trainer) -> None:
        self._csv = CsvLog(self.run_dir / "log.csv")
        rows = self._csv.start(engine.state.step)
        # `--tracking mlflow` has MONAI put its own handler into the config: then ours would log all of it twice.
        taken = any("MLFlowHandler" in (c.__name__ for c in type(h).__mro__) for h in engine.handlers)
        if self.wants_mlflow and not taken:
            params = {k: v for k, v in self.passport.items() if isinstance(v, (str, int, float))}
            self._mlflow = MlflowLog(self.tracking_uri, self.experiment, self.run_dir.name, params)
            self._mlflow.start(self._run_id, rows)
            self._run_id = self._mlflow.run_id

    def _gradients_ready(self, engine: Trainer) -> None:
        self.hooks.call("on_gradients_ready", engine.state.step)

    def _optimizer_stepped(self, engine: Trainer) -> None:
        self.hooks.call("on_optimizer_step", engine.state.step)

    def _iteration_completed(self, engine: Trainer) -> None:
        output = engine.state.output
        self.board.update(output["loss"].item(), output["pred"], output["label"])
        ends_epoch = engine.state.step >= engine.steps or engine.state.iteration % engine.state.epoch_length == 0
        if engine.state.stepped and not ends_epoch:  # at the end of an epoch its hook comes before the checkpoint
            self._step_completed(engine)

    def _epoch_completed(self, engine: Trainer) -> None:
        self.hooks.call("on_epoch", engine.state.epoch)
        if engine.state.stepped:
            self._step_completed(engine)

    def _step_completed(self, engine: Trainer) -> None:
        step, examples = engine.state.step, engine.state.examples
        saves = self._due("save_every_steps", engine)
        values: dict[str, float] = {}
        if saves or self._due("log_every_steps", engine):
            values |= self.board.compute() | _rates(engine) | {"gradient_norm": engine.state.gradient_norm}
        if self.validator is not None and self._validation_due(engine):
            values |= validate(self.validator, engine)
        self.latest |= values
        self._write([Row(step, examples, name, value) for name, value in values.items()])
        if self._progress is not None:
            self._progress.update(step, values)
        if self._due("checksum_every_steps", engine):
            require_equal_buffers(m for m in (engine.unwrapped, engine.loss_function) if isinstance(m, nn.Module))
        if saves:
            self._save(engine)

    def _due(self, interval: str, engine: Trainer) -> bool:
        return engine.state.step % self.intervals[interval] == 0 or engine.state.step >= engine.steps or engine.pauses

    def _validation_due(self, engine: Trainer) -> bool:
        before, self._validated_examples = self._validated_examples, engine.state.examples
        if engine.state.step >= engine.steps:
            return True
        every = self.eval_every_examples
        return every is not None and engine.state.examples // every > before // every

    def _write(self, rows: list[Row]) -> None:
        for log in (self._csv, self._mlflow):
            if log is not None:
                log.write(rows)

    def _save(self, engine: Trainer, done: bool = False) -> None:
        if not distributed.is_main():
            return
        if self._mlflow is not None:
            self._mlflow.flush()
        state = training_state(engine)
        state |= {"monitors": self.board.state_dict(), "metrics": self.latest, "done": done}
        state |= {"mlflow_run_id": self._mlflow and self._mlflow.run_id, "run_hash": self.passport.get("hash")}
        save_checkpoint(self.run_dir / "last.pt", state)

    def _completed(self, engine: Trainer) -> None:
        self._pauses = engine.pauses
        if distributed.is_main() and not self._pauses:
            self._save(engine, done=True)
            own = {"run": self.run_dir.name, "seed": engine.seed}  # the guard's record knows better, if there is one
            made = {"steps": engine.state.step, "examples": engine.state.examples, "metrics": self.latest}
            write_product(self.run_dir, self.product, own | self.passport | made)
        if distributed.is_main():
            draw_curves(self.run_dir)
        if self._progress is not None:
            self._progress.summarize(engine.state.step, engine.state.examples, self.latest, self.run_dir)
        distributed.barrier()  # nobody leaves, and tears the others' connection down, before the files are there
        self._close("FINISHED")

    def _failed(self, engine: Trainer) -> None:
        self._close("KILLED" if isinstance(engine.failure, KeyboardInterrupt) else "FAILED")

    def _close(self, status: str) -> None:
        if self._progress is not None:
            self._progress.close()
        if self._mlflow is not None:
            self._mlflow.close(status)
        if self._csv is not None:
            self._csv.close()
        if self._lock is not None:
            self._lock.release()
        self._progress = self._mlflow = self._csv = self._lock = None


def _rates(engine: Trainer) -> dict[str, float]:
    rates = [float(group["lr"]) for group in engine.optimizer.param_groups]
    return {"learning_rate": rates[0]} if len(rates) == 1 else {f"learning_rate_{i}": r for i, r in enumerate(rates)}
