"""What is known of the runs of a study: one state file per run, and a lock that says who is at it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medvol.distributed import cores
from medvol.writing import write_whole

__all__ = ["Ledger", "State", "machine"]


@dataclass(frozen=True)
class State:
    """How a run of a study ended.

    Attributes:
        key: the run's key in the plan.
        state: ``done`` or ``failed``.
        run_dir: the run's folder, relative to the study's, with forward slashes; None if it has none.
        hash: identity of what lies there; None if nothing does.
        versions: of medvol, its code, torch and MONAI, which made it.
        seconds: of training and scoring on this machine; of a run that was stopped and went on, what it took since;
            None where that was not measured.
        learning_rate: which was used.
        error: what went wrong, as one sentence, and below it where; None if nothing did.
        machine: ``processor``, ``cores`` and ``torch_threads``.
        finished: the day, such as ``2026-11-22``.
        diverged: whether it failed because loss or gradients were no longer finite.
    """

    key: str
    state: str
    run_dir: str | None = None
    hash: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    learning_rate: float | None = None
    error: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    diverged: bool = False

    @property
    def sentence(self) -> str:
        """The first line of the error."""
        return (self.error or "").split("\n", 1)[0]


class Ledger:
    """The folder ``state`` of a study.

    Args:
        folder: the study's folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ledger = Ledger(folder)
        ...     ledger.write(State("pretrain-cpc3d-seed0", "done"))
        ...     ledger.read("pretrain-cpc3d-seed0").state
        'done'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder) / "state"

    def read(self, key: str) -> State | None:
        """Return how a run ended last, or None.

        Raises:
            ValueError: the state file is damaged.
        """
        file = self._file(key)
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            known = {f.name for f in fields(State)}
            return State(**{"key": key, **{name: value for name, value in record.items() if name in known}})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"the state file {file} must be a JSON object with 'key' and 'state'; found {error}; remove it, "
                "and the same command looks at the run itself"
            ) from error

    def write(self, state: State) -> None:
        """Write how a run ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._file(state.key), json.dumps(asdict(state), indent=1, sort_keys=True) + "\n", durable=True)

    def states(self, keys: Iterable[str]) -> dict[str, State]:
        """Return how the runs ended that ended, by key."""
        found = {key: self.read(key) for key in keys}
        return {key: state for key, state in found.items() if state is not None}

    def forget_failure(self, key: str) -> None:
        """Remove the state of a run that failed, so that it is tried again; diverged ones would only do it again."""
        try:
            state = self.read(key)
        except ValueError:  # damaged: what lies in the run's folder is looked at instead
            state = State(key, "failed")
        if state is not None and state.state != "done" and not state.diverged:
            self._file(key).unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Try to become the only process at a run, without waiting; the system gives it back when a process dies.

        Yields:
            Whether it worked.
        """
        lock = self._locked(key)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def at_work(self, begin: Callable[[bool], None]) -> Iterator[None]:
        """Let others know for a while that a command is at work on the study.

        Args:
            begin: is called first, with whether no other command is at work; none can begin meanwhile.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "plan.lock"):
            known = {file.stem: self._locked(file.stem) for file in self.folder.glob("command-*.lock")}
            alone, free = None not in known.values(), [lock for lock in known.values() if lock is not None]
            mine = free.pop() if free else self._locked(f"command-{len(known)}")
            for lock in free:
                lock.release()
            try:
                begin(alone)
            except BaseException:
                mine.release()
                raise
        try:
            yield
        finally:
            mine.release()

    def _locked(self, name: str) -> FileLock | None:
        """A lock that this process has got, None if another one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """Return what decides how fast this process is: ``processor``, ``cores`` and ``torch_threads``."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {"processor": name, "cores": cores(), "torch_threads": torch.get_num_threads()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # only Linux has it
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
