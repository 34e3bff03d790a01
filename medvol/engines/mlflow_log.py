"""The log of a run in MLflow: one run per training, however often it is interrupted and continued."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from medvol.engines.tracking import Row

RETRIES = 3
PAUSE = 0.5  # seconds before the first retry, doubled each time
FLUSH_AFTER = 5.0  # seconds between two writes to the data base
MAX_BATCH = 1000  # MLflow's own limit of metrics per call


class MlflowLog:
    """Logs to MLflow by its client. Failures never stop the training: after some retries it warns, once, and is off.

    MONAI's ``MLFlowHandler`` is not used, because it finds the run to continue by name, counts micro-batches, logs
    again what a continued training repeats, and leaves a failed run in the state "running".

    Args:
        tracking_uri: data base or server; ``MLFLOW_TRACKING_URI`` in the environment wins.
        experiment: name of the experiment; is made when it does not exist.
        run_name: name of the run.
        params: written once, as texts.
    """

    def __init__(self, tracking_uri: str, experiment: str, run_name: str, params: dict[str, Any] | None = None) -> None:
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri
        self.experiment, self.run_name, self.params = experiment, run_name, params or {}
        self.run_id: str | None = None
        self._client: Any = None
        self._known: set[tuple[str, int]] = set()
        self._waiting: list[tuple[Row, int]] = []
        self._flushed = 0.0

    def start(self, run_id: str | None = None, rows: Iterable[Row] = ()) -> None:
        """Begin a run, or continue the one with this id.

        Args:
            run_id: the run to continue; when it is gone, a new one begins.
            rows: what has been logged so far; whatever of it MLflow lacks is added.
        """
        self._attempt(lambda: self._open(run_id))
        if self._client is not None:
            self.write(rows)

    def write(self, rows: Iterable[Row]) -> None:
        """Log rows that MLflow does not have yet; a continued training gives the same numbers again."""
        if self._client is None:
            return
        now = int(time.time() * 1000)
        self._waiting += [(row, now) for row in rows if (row.name, row.step) not in self._known]
        if time.monotonic() - self._flushed > FLUSH_AFTER:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._client is None or not self._waiting:
            return
        if self._attempt(self._send):
            self._waiting.clear()
        self._flushed = time.monotonic()

    def close(self, status: str) -> None:
        """End the run as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.flush()
        if self._client is not None:
            self._attempt(lambda: self._client.set_terminated(self.run_id, status))
        self._client = None

    def _open(self, run_id: str | None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # medical projects must not call home unasked
        import mlflow  # here, since it takes a second to load

        for name in ("alembic", "mlflow.store.db.utils"):  # they announce every table of a new data base
            logging.getLogger(name).setLevel(logging.WARNING)
        client = mlflow.MlflowClient(tracking_uri=self.uri)
        run = self._find(client, run_id) if run_id else None
        if run is None:
            run = client.create_run(self._experiment_id(client), run_name=self.run_name)
            for key, value in self.params.items():
                client.log_param(run.info.run_id, key, str(value)[:500])
        else:
            client.update_run(run_id, status="RUNNING")
            self._known = {(key, m.step) for key in run.data.metrics for m in client.get_metric_history(run_id, key)}
        self.run_id, self._client = run.info.run_id, client

    def _find(self, client: Any, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # another data base, or somebody removed it
                return None
            raise

    def _experiment_id(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return found.experiment_id
        place = None
        if self.uri.startswith("sqlite:///"):  # artifacts beside the data base, not in the current folder
            place = (Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "mlruns").as_uri()
        return client.create_experiment(self.experiment, artifact_location=place)

    def _send(self) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(row.name, row.value, stamp, row.step) for row, stamp in self._waiting]
        for first in range(0, len(metrics), MAX_BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[first : first + MAX_BATCH])

    def _attempt(self, action: Callable[[], Any]) -> bool:
        """Do it, again after pauses when it fails (another process holds the data base); whether it worked."""
        for trial in range(RETRIES + 1):
            try:
                action()
            except Exception as error:  # tracking must never end a training, whatever a data base or server does
                failure = error
                time.sleep(PAUSE * 2**trial if trial < RETRIES else 0)
            else:
                return True
        self._client = None
        warnings.warn(
            f"expected MLflow to take the log at {self.uri}, found {type(failure).__name__}: {str(failure)[:200]}; "
            "the training goes on and log.csv has every number; free the data base, or turn it off by --mlflow False",
            stacklevel=2,
        )
        return False
