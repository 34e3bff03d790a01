"""Carry out one run of a plan: train, then score; or find that it has been done."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from medvol.bundles.freeing import freeing
from medvol.passport import read_passport

from ..planning.plan import Plan, PlannedRun
from .failing import diverged, text_of
from .ledger import Ledger, State, machine
from .logfile import output_into
from .resolving import Resolver
from .sameness import (
    Identity,
    OtherCodeError,
    OtherRecipeError,
    identity_of,
    read_begun,
    read_finished,
    require_same,
)
from .scoring import Scoring, drop_scores, is_current, score, scoring_of

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
        return state if whole and not self._missing(run, overrides, run_dir, passport) else None

    def check(self, run: PlannedRun) -> None:
        """Refuse a run that lies finished in its place and is not the one that the study asks for now.

        The bytes of its weights are not looked at.

        Raises:
            OtherCodeError: it has been done by other code.
            OtherRecipeError: it has been done with other settings.
            ValueError: what lies there is damaged, or what it needs has not been done.
        """
        overrides = self.resolver.overrides(run)
        run_dir = self.resolver.run_dir(overrides)
        passport = read_passport(run_dir) if (run_dir / "model.pt").is_file() else None
        if passport is not None:
            require_same(passport, identity_of(run.bundle, overrides), run_dir, self.accept_other_code)

    def carry_out(self, run: PlannedRun) -> State:
        """Train and score a run, as far as that is not done, and write its state; what it prints goes into its log.

        Returns:
            The state, which tells a failure, too.

        Raises:
            KeyboardInterrupt: the user stops; nothing is written, and the run goes on at its last checkpoint.
        """
        with freeing():  # what the error of a run that fails holds, too
            state, keep = self._ended(run)
        self._write(state, keep)
        return state

    def fail(self, run: PlannedRun, sentence: str) -> State:
        """Return the state of a run that cannot be done now, and write it, unless the run has been done before."""
        state = State(run.key, "failed", error=sentence, machine=machine(), finished=_today())
        self._write(state)
        return state

    def _ended(self, run: PlannedRun) -> tuple[State, bool]:
        """How a run ended, and whether an earlier end of it holds if this is a failure."""
        wanted: Identity | None = None
        run_dir: Path | None = None
        try:
            with output_into(self.folder / "logs" / f"{run.key}.log"):
                overrides = self.resolver.overrides(run)
                run_dir = self.resolver.run_dir(overrides)
                wanted = identity_of(run.bundle, overrides)
                return self._carry_out(run, overrides, wanted, run_dir), False
        except (Exception, SystemExit) as error:
            return self._failure(run, error, wanted, run_dir), not isinstance(error, OtherRecipeError)

    def _write(self, state: State, keep: bool = True) -> None:
        """Write a state, but by default not a failure over the end of a run that lies there still."""
        before = self.ledger.read(state.key) if keep else None
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
        for name, (given, scoring) in self._missing(run, overrides, run_dir, passport).items():
            score(run.bundle, run_dir, name, given, scoring)
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

    def _missing(
        self, run: PlannedRun, overrides: Mapping[str, Any], run_dir: Path, passport: Mapping[str, Any]
    ) -> dict[str, tuple[dict[str, Any], Scoring]]:
        """The scorings that have not been done, were done otherwise, or by other code: that is soon done again."""
        missing = {}
        for name, given in self.resolver.scorings(run, overrides).items():
            wanted = scoring_of(run.bundle, run_dir, given, str(passport.get("weights")))
            if not is_current(run_dir / name, wanted, self.accept_other_code):
                missing[name] = given, wanted
        return missing

    def _drop_scores_of_others(self, run: PlannedRun, run_dir: Path, passport: Mapping[str, Any]) -> None:
        """Remove scores of weights that lay here before."""
        state = self.ledger.read(run.key)
        if state is not None and state.hash is not None and state.hash != passport.get("hash"):
            drop_scores(run_dir)

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
    drop_scores(run_dir)
    bundles.run(bundle, **{**overrides, **restart})


def _today() -> str:
    return datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
