"""Carry out one run of a plan: train, then score; or find that it has been done."""

from __future__ import annotations

import datetime
import gc
import shutil
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from medvol.passport import read_passport

from ..planning.plan import Plan, PlannedRun
from .failing import diverged, text_of
from .ledger import Ledger, State, machine
from .logfile import output_into
from .resolving import Resolver
from .sameness import Identity, OtherCodeError, identity_of, read_begun, read_finished, require_same

__all__ = ["Executor"]


class Executor:
    """Carries out runs of a plan in this process.

    Args:
        plan: the plan.
        folder: the study's folder.
        accept_other_code: keep finished runs that other versions of medvol, torch or MONAI made.
    """

    def __init__(self, plan: Plan, folder: Path, accept_other_code: bool = False) -> None:
        self.plan, self.folder, self.accept_other_code = plan, folder.resolve(), accept_other_code
        self.ledger, self.resolver = Ledger(self.folder), Resolver(plan, self.folder)

    def settled(self, run: PlannedRun) -> State | None:
        """Return the state of a run that has been done and is whole, None if there is something left to do.

        Raises:
            OtherCodeError: it has been done by other code.
            OtherRecipeError: it has been done with other settings.
            ValueError: what lies there is damaged.
        """
        state = self.ledger.read(run.key)
        if state is None or not (state.state == "done" or state.diverged):
            return None
        overrides = self.resolver.overrides(run)
        wanted, run_dir = identity_of(run.bundle, overrides), self.resolver.run_dir(overrides)
        if state.diverged:
            return state if state.hash == wanted.hash else None
        passport = read_finished(run_dir)
        if passport is None:
            return None
        require_same(passport, wanted, run_dir, self.accept_other_code)
        whole = state.hash == passport.get("hash") and state.run_dir == self.resolver.relative(run_dir)
        return state if whole and not self._missing(run, overrides, run_dir) else None

    def carry_out(self, run: PlannedRun) -> State:
        """Train and score a run, as far as that is not done, and write its state; what it prints goes into its log.

        Returns:
            The state, which tells a failure, too.

        Raises:
            KeyboardInterrupt: the user stops; nothing is written, and the run goes on at its last checkpoint.
        """
        wanted: Identity | None = None
        run_dir: Path | None = None
        try:
            with output_into(self.folder / "logs" / f"{run.key}.log"):
                overrides = self.resolver.overrides(run)
                run_dir = self.resolver.run_dir(overrides)
                wanted = identity_of(run.bundle, overrides)
                state = self._carry_out(run, overrides, wanted, run_dir)
        except (Exception, SystemExit) as error:
            state = self._failure(run, error, wanted, run_dir)
        finally:
            _free()
        self._write(state)
        return state

    def fail(self, run: PlannedRun, sentence: str) -> State:
        """Write that a run cannot be done, unless it has been done before, and return that."""
        state = State(run.key, "failed", error=sentence, machine=machine(), finished=_today())
        self._write(state)
        return state

    def _write(self, state: State) -> None:
        """Write a state, but not that a run was refused over that it had finished: it lies there still."""
        before = self.ledger.read(state.key)
        if state.state == "failed" and before is not None and before.state == "done" and before.run_dir is not None:
            passport = read_passport(self.folder / before.run_dir)
            if passport is not None and passport.get("hash") == before.hash:
                return
        self.ledger.write(state)

    def _carry_out(self, run: PlannedRun, overrides: dict[str, Any], wanted: Identity, run_dir: Path) -> State:
        begin = perf_counter()
        before = self._seconds_known(run_dir)
        passport = read_finished(run_dir)
        if passport is not None:
            require_same(passport, wanted, run_dir, self.accept_other_code)
            self._drop_scores_of_others(run, run_dir, passport)
        else:
            _train(run.bundle, overrides, wanted, run_dir)
            passport, before = read_finished(run_dir), 0.0
        if passport is None:
            raise FileNotFoundError(f"a finished run must leave model.pt and passport.json; found none in {run_dir}")
        for name, given in self._missing(run, overrides, run_dir).items():
            _score(run.bundle, run_dir, name, given)
        return State(
            key=run.key,
            state="done",
            run_dir=self.resolver.relative(run_dir),
            hash=passport.get("hash"),
            versions=passport.get("versions") or {},
            seconds=None if before is None else before + perf_counter() - begin,
            learning_rate=wanted.recipe.get("learning_rate"),
            machine=machine(),
            finished=_today(),
        )

    def _missing(self, run: PlannedRun, overrides: Mapping[str, Any], run_dir: Path) -> dict[str, dict[str, Any]]:
        """The scorings that have not been done."""
        scorings = self.resolver.scorings(run, overrides)
        return {name: given for name, given in scorings.items() if not (run_dir / name / "metrics.csv").is_file()}

    def _drop_scores_of_others(self, run: PlannedRun, run_dir: Path, passport: Mapping[str, Any]) -> None:
        """Remove scores of weights that lay here before."""
        state = self.ledger.read(run.key)
        if state is not None and state.hash is not None and state.hash != passport.get("hash"):
            _drop_scores(run_dir)

    def _seconds_known(self, run_dir: Path) -> float | None:
        """What the run in that folder took, if this study measured it; another key may stand for the same run."""
        place = self.resolver.relative(run_dir)
        known = (self.ledger.read(key) for key in self.resolver.runs)
        return next((s.seconds for s in known if s is not None and s.run_dir == place and s.seconds), None)

    def _failure(self, run: PlannedRun, error: BaseException, wanted: Identity | None, run_dir: Path | None) -> State:
        return State(
            key=run.key,
            state="failed",
            run_dir=None if run_dir is None else self.resolver.relative(run_dir),
            hash=None if wanted is None else wanted.hash,
            versions={} if wanted is None else wanted.versions,
            learning_rate=None if wanted is None else wanted.recipe.get("learning_rate"),
            error=text_of(error),
            machine=machine(),
            finished=_today(),
            diverged=run.kind == "tune" and diverged(error),
        )


def _train(bundle: str, overrides: Mapping[str, Any], wanted: Identity, run_dir: Path) -> None:
    from medvol import bundles

    begun = read_begun(run_dir)
    restart = {}
    if begun is not None:
        try:
            require_same(begun, wanted, run_dir)
        except OtherCodeError:
            restart = {"restart": True}  # what other code left half done cannot be continued, and is no loss
    _drop_scores(run_dir)
    bundles.run(bundle, **{**overrides, **restart})


def _score(bundle: str, run_dir: Path, name: str, given: Mapping[str, Any]) -> None:
    from medvol import bundles

    # Into a folder beside, and renamed: whoever finds the scores finds all of them, and the pictures.
    part = run_dir / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    bundles.run(bundle, "evaluate.json", weights=str(run_dir / "model.pt"), results_dir=str(part), **given)
    if not (part / "metrics.csv").is_file():
        raise FileNotFoundError(f"a scoring must leave metrics.csv; found none in {part}; correct evaluate.json")
    shutil.rmtree(run_dir / name, ignore_errors=True)
    part.replace(run_dir / name)


def _drop_scores(run_dir: Path) -> None:
    for scores in run_dir.glob("*/metrics.csv"):
        shutil.rmtree(scores.parent)


def _free() -> None:
    """Give back what a run took; parsers and engines hold one another in circles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _today() -> str:
    return datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
