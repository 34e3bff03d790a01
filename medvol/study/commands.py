"""The command ``study``: its actions and options, and what they print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medvol.bundles.options import add_option, file_to_write, folder_to_write, new_command, positive, write_json
from medvol.bundles.reading import read_json

# What an action does is imported where it runs: its module needs torch and MONAI, its help does not.

_OVERRIDES = "any key of the downstream bundle follows as --key value, and holds for every fine-tuning"


def add_study_command(commands: Any) -> None:
    """Add ``study list | plan | run | report`` to a parser's commands.

    Args:
        commands: of ``ArgumentParser.add_subparsers``.
    """
    text = "does pre-training help: plan, run and report a study"
    study = commands.add_parser("study", help=text, description=text, allow_abbrev=False)
    actions = study.add_subparsers(metavar="action", required=True)

    new_command(actions, "list", _list, "the studies that come with medvol, and the question of each")

    plan = new_command(
        actions, "plan", _plan, f"the runs of a study and what they cost; writes nothing; {_OVERRIDES}", True
    )
    _study(plan)
    add_option(plan, "--no_estimate", action="store_true", help="do not try steps to estimate time, memory and disk")
    add_option(plan, "--estimate_steps", type=positive, default=5, help="steps to try (default %(default)s)")
    add_option(plan, "--jobs", type=positive, default=1, help="processes to estimate for (default %(default)s)")
    add_option(plan, "--json", metavar="FILE", type=file_to_write, help="write the plan and its cost as JSON")

    run = new_command(
        actions, "run", _run, f"carry out what is not done yet; a stopped study goes on; {_OVERRIDES}", True
    )
    _study(run)
    add_option(run, "--jobs", type=positive, default=1, help="processes; they share the cores (default %(default)s)")
    add_option(run, "--accept_other_code", action="store_true", help="keep finished runs of other versions of medvol")

    report = new_command(actions, "report", _report, "judge a study, finished or not, and write the report")
    _study(report, data=False)
    add_option(
        report,
        "--report",
        metavar="DIR",
        type=folder_to_write,
        help="folder for the report; default: 'report' in the study's folder",
    )
    add_option(report, "--no_images", action="store_true", help="leave out pictures of patients")


def study_folder(study: str, out: str | None, name: str) -> Path:
    """Return the folder of a study: the one that is given, the study folder that was named, or ``studies/<name>``.

    Args:
        study: name, file or folder of the study, as on the command line.
        out: the option ``--out``.
        name: the study's own name.

    Raises:
        ValueError: the folder holds another study, or would be taken for that of a study that comes with medvol.

    Example:
        >>> study_folder("smoke", None, "smoke").as_posix()
        'studies/smoke'
    """
    from .planning.reading import shipped_studies, study_name

    named = Path(study)
    named = named.parent if named.name == "study.json" else named
    if out is not None:
        folder = Path(out).expanduser()
    elif (named / "plan.json").is_file():
        folder = named
    elif name in shipped_studies() and study not in shipped_studies():
        raise ValueError(
            f"a study of your own must have a name of its own; found '{name}', which comes with medvol, in {study}; "
            "change its 'name', or give it a folder by --out"
        )
    else:
        folder = Path("studies") / name
    if (folder / "study.json").is_file() and (held := study_name(folder)) != name:
        raise ValueError(f"{folder} must hold the study '{name}'; found the study '{held}'; give another --out")
    return folder


def _data_before(folder: Path) -> str | None:
    """Return the folder of the images that an earlier command was given for this study, if any."""
    file = folder / "plan.json"
    return read_json(file).get("dataset_dir") if file.is_file() else None


def _study(command: argparse.ArgumentParser, data: bool = True) -> None:
    command.add_argument("study", help="name of a study that comes with medvol, a study file, or a study folder")
    add_option(
        command, "--out", metavar="DIR", type=folder_to_write, help="the study's folder (default: studies/<name>)"
    )
    if data:
        add_option(
            command,
            "--dataset_dir",
            metavar="DIR",
            help="folder of the downstream task's images (default: the last one)",
        )


def _list(chosen: argparse.Namespace) -> int:
    from .planning.overview import study_list
    from .planning.reading import load_study, shipped_studies

    print(study_list([load_study(file) for file in shipped_studies().values()]))
    return 0


def _plan(chosen: argparse.Namespace) -> int:
    from .planning.overview import plan_notes, plan_text
    from .planning.plan import make_plan
    from .planning.reading import load_study

    study = load_study(chosen.study)
    data = chosen.dataset_dir or _data_before(study_folder(chosen.study, chosen.out, study.name))
    plan = make_plan(study, data, chosen.overrides)
    cost = None
    if not chosen.no_estimate:
        from .planning.costs import estimate_plan

        cost = estimate_plan(plan, chosen.estimate_steps, chosen.jobs)
    costs = None if cost is None else cost.as_dict()
    write_json({"study": dict(plan.study.raw), **plan.as_dict(), "cost": costs, "notes": plan_notes(plan)}, chosen.json)
    print(plan_text(plan, cost))
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from .planning.overview import plan_notes
    from .planning.plan import make_plan
    from .planning.reading import load_study
    from .running.run import run_study

    study = load_study(chosen.study)
    folder = study_folder(chosen.study, chosen.out, study.name)
    plan = make_plan(study, chosen.dataset_dir or _data_before(folder), chosen.overrides)

    def say(line: str) -> None:
        print(line, flush=True)  # a person watches this for hours

    for note in plan_notes(plan):
        say(f"note: {note}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"--out must be a folder that can be made; found '{error.strerror}' at {folder}; choose another one"
        ) from error
    outcome = run_study(plan, folder, chosen.jobs, chosen.accept_other_code, say)
    say(f"{outcome.done} runs carried out, {outcome.skipped} done before, {len(outcome.failed)} failed")
    say(f"judge them with: python -m medvol study report {folder}")
    return 1 if outcome.failed else 0


def _report(chosen: argparse.Namespace) -> int:
    from .planning.reading import study_name
    from .reporting.report import write_report

    folder = study_folder(chosen.study, chosen.out, study_name(chosen.study))
    if not (folder / "plan.json").is_file():
        raise FileNotFoundError(
            f"a study's folder must hold plan.json; found none in {folder}; give the folder of 'study run' by --out"
        )
    print(f"written: {write_report(folder, chosen.report, images=not chosen.no_images)}")
    return 0
