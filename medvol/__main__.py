"""The command line: ``python -m medvol <command>``; what the commands do stands in their rooms."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import medvol
from medvol.bundles.commands import add_bundle_commands
from medvol.bundles.options import misspelled_option, overrides_of
from medvol.data.commands import add_cache_command, add_manifest_command
from medvol.study.commands import add_study_command


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; every leaf sets ``run``, a function from the arguments to an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m medvol", description="Self-supervised pre-training for 3D medical images on MONAI."
    )
    parser.add_argument("--version", action="version", version=f"medvol {medvol.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    add_manifest_command(commands)
    add_cache_command(commands)
    add_bundle_commands(commands)
    add_study_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after ``python -m medvol``; None for those of the process.

    Returns:
        0 if all is well, 1 if a check found errors, 2 if the command could not be carried out, 141 if its reader left.
    """
    try:
        parser = build_parser()
        chosen, rest = parser.parse_known_args(arguments)
        if rest and getattr(chosen, "overrides", None) is None:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        if rest:
            if slip := misspelled_option(rest, chosen.own_options):
                parser.error(slip)
            chosen.overrides = overrides_of(rest)
        code = chosen.run(chosen)
        sys.stdout.flush()  # a reader that has left is noticed here, and not at the interpreter's end
        return code
    except BrokenPipeError:
        sys.stdout = None  # `... | head` has read what it wanted; files are written before the text is printed
        return 128 + 13  # as a shell reports it
    except (ValueError, OSError, ImportError) as error:
        # Every error of medvol is a sentence with a remedy; the way to the place where it arose helps nobody here.
        print(f"medvol: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("medvol: stopped; nothing half-written is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
