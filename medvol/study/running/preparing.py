"""What is checked and written down before the first run of a study begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from medvol.writing import write_whole

from ..planning.plan import Plan, PlannedRun
from .executing import Executor
from .ledger import Ledger
from .sameness import OtherCodeError, OtherRecipeError

__all__ = ["check_finished", "check_name", "check_needs", "needs", "prepare"]

_NAMED = 5  # runs in a message


def needs(run: PlannedRun) -> tuple[str, ...]:
    """Return the keys of the runs that must have ended before a run can begin."""
    return (*run.tuned_by, *(() if run.start is None else (run.start,)))


def check_needs(runs: Sequence[PlannedRun]) -> None:
    """Check that every run stands after those that it needs.

    Raises:
        ValueError: one does not, or two have one key.
    """
    before: set[str] = set()
    for run in runs:
        missing = [key for key in needs(run) if key not in before]
        if missing:
            raise ValueError(
                f"a plan must hold what its runs need, before them; found '{run.key}', which needs '{missing[0]}'; "
                "make the plan anew"
            )
        if run.key in before:
            raise ValueError(f"the keys of a plan must be unique; found '{run.key}' twice; make the plan anew")
        before.add(run.key)


def check_name(plan: Plan, folder: Path) -> None:
    """Check that a folder is new, or holds a study of the same name.

    Raises:
        ValueError: it holds another study.
    """
    file = folder / "study.json"
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("name") if file.is_file() else plan.study.name
    except (ValueError, AttributeError):
        name = "unreadable"
    if name != plan.study.name:
        raise ValueError(
            f"the folder must be new or hold the study '{plan.study.name}'; found the study '{name}' in {folder}; "
            "choose another --out"
        )


def check_finished(plan: Plan, folder: Path, accept_other_code: bool) -> None:
    """Check that the finished runs in a folder are those that the study asks for now.

    Args:
        plan: the plan.
        folder: the study's folder.
        accept_other_code: whether other versions of medvol, torch or MONAI will do.

    Raises:
        OtherCodeError: the first that is not was made by other code.
        OtherRecipeError: the first that is not was made with other settings.
    """
    executor = Executor(plan, folder, accept_other_code)
    refused: dict[str, ValueError] = {}
    for run in plan.runs:
        try:
            executor.check(run)
        except (OtherCodeError, OtherRecipeError) as error:
            refused[run.key] = error
        except (ValueError, OSError):
            continue  # damaged, or not to be known before others have been done: it is said when its turn comes
    if refused:
        first, *more = refused
        others = f"; the same goes for {', '.join(more[:_NAMED])}" if more else ""
        others += f" and {len(more) - _NAMED} more" if len(more) > _NAMED else ""
        raise type(refused[first])(f"{refused[first]}{others}")


def prepare(plan: Plan, folder: Path, ledger: Ledger, alone: bool) -> None:
    """Write down what is to be run, and take away the failures of earlier commands, which are tried again.

    Args:
        plan: the plan.
        folder: the study's folder.
        ledger: its states.
        alone: whether no other command is at work in it.

    Raises:
        ValueError: another command is at work in it, with another plan.
    """
    contents = {"study.json": dict(plan.study.raw), "plan.json": plan.as_dict()}
    for name, content in contents.items():
        file, text = folder / name, json.dumps(content, indent=1) + "\n"
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if not alone:
            raise ValueError(
                f"commands that share a study's folder must share the study; found another one at work on {folder} "
                f"with another {name}; wait for its end, or choose another --out"
            )
        write_whole(file, text)
    for run in plan.runs:
        with ledger.lock(run.key) as mine:
            if mine:
                ledger.forget_failure(run.key)
