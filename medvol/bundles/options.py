"""How commands take their options and keys: spelled in two ways, checked before any work, and never abbreviated."""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medvol.writing import write_whole

__all__ = [
    "add_option",
    "file_to_write",
    "folder_to_write",
    "misspelled_option",
    "new_command",
    "overrides_of",
    "positive",
    "write_json",
]


def new_command(commands: Any, name: str, run: Any, text: str, overrides: bool = False) -> argparse.ArgumentParser:
    """Add a command to a parser's commands and return it.

    Args:
        commands: of ``ArgumentParser.add_subparsers``.
        name: its name.
        run: what it does, a function from the arguments to an exit code.
        text: its help; the list of commands shows it up to the first semicolon.
        overrides: whether it takes further words as ``--key value``, and a file of them as ``--args_file``.
    """
    # Without abbreviations: `--warmup 3` shall not silently mean an option of ours that begins so.
    command = commands.add_parser(name, help=text.partition(";")[0], description=text, allow_abbrev=False)
    command.set_defaults(run=run, overrides={} if overrides else None, own_options=[])
    if overrides:
        words = "JSON file of values for such keys, as for a run; what is given by hand wins"
        add_option(command, "--args_file", action="append", metavar="FILE", help=words)
    return command


def add_option(command: argparse.ArgumentParser, name: str, **settings: Any) -> None:
    """Add an option to a command of :func:`new_command`, spelled with underscores and with dashes."""
    spellings = dict.fromkeys([name, name.replace("_", "-")])
    command.add_argument(*spellings, **settings)
    command.get_default("own_options").append(name)


def overrides_of(words: Sequence[str]) -> dict[str, Any]:
    """Return ``--key value`` words as a dict, read as MONAI's command line reads them.

    Raises:
        ValueError: a value stands without a key, or is None, which a run leaves out.

    Example:
        >>> overrides_of(["--steps", "3", "--grid=[3,3,3]", "--restart", "--manifest", "mine.json"])
        {'steps': 3, 'grid': [3, 3, 3], 'restart': True, 'manifest': 'mine.json'}
    """
    found: dict[str, Any] = {}
    key = None
    for word in words:
        if word.startswith("--"):
            key, sign, value = word[2:].replace("#", "::").partition("=")
            found[key] = _literal(value) if sign else True
            key = None if sign else key
        elif key is None:
            raise ValueError(f"a bundle's key must be given as --key value; found {word!r} without one; name its key")
        else:
            found[key], key = _literal(word), None
    for key in (key for key, value in found.items() if value is None):
        instead = f"--{key} '$None'" if "::" in key else f"--{key} null"
        raise ValueError(
            f"a value other than None is expected for --{key}, for a run leaves None out and goes on with the config's "
            f"own; found None; write {instead}, which takes effect"
        )
    return found


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def misspelled_option(words: Sequence[str], own_options: Sequence[str]) -> str | None:
    """Return a sentence if a word that no option takes was meant as one, and not as a key of the bundle.

    Example:
        >>> misspelled_option(["--no_estimat", "--steps", "3"], ["--no_estimate", "--json"])
        'there is no option --no_estimat; did you mean --no_estimate?'
        >>> misspelled_option(["--steps", "3"], ["--no_estimate", "--json"]) is None
        True
    """
    for word in words:
        name = word.partition("=")[0].replace("-", "_").replace("__", "--", 1)
        near = [option for option in own_options if len(name) > 5 and option.startswith(name)]
        near += difflib.get_close_matches(name, own_options, n=1, cutoff=0.85)
        if name.startswith("--") and near:
            return f"there is no option {word.partition('=')[0]}; did you mean {near[0]}?"
    return None


def file_to_write(text: str) -> str:
    """Return a file to write, refused before any work is done for it.

    Raises:
        argparse.ArgumentTypeError: it is a folder, or its own folder is missing or takes no files.
    """
    path = Path(text).expanduser()
    found = "a folder" if path.is_dir() else "" if path.parent.is_dir() else f"no folder {path.parent}"
    if not found and not os.access(path.parent, os.W_OK):
        found = f"the folder {path.parent}, which takes no files"
    if found:
        raise argparse.ArgumentTypeError(
            f"a file in a folder that exists is expected; found {found}; make it, or correct the path"
        )
    return str(path)


def folder_to_write(text: str) -> str:
    """Return a folder to write to, there or not, refused before any work is done for it.

    Raises:
        argparse.ArgumentTypeError: it is a file or lies in one, or nothing can be made there.
    """
    path = Path(text).expanduser()
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    found = f"the file {there}" if not there.is_dir() else ""
    if not found and not os.access(there, os.W_OK):
        found = f"the folder {there}, which takes no files"
    if found:
        raise argparse.ArgumentTypeError(f"a folder, there or new, is expected; found {found}; correct the path")
    return str(path)


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is none.

    Example:
        >>> positive("2")
        2
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is expected; found {text!r}; correct it")
    return int(text)


def write_json(content: Any, file: str | None) -> None:
    """Write a file of JSON, if one is asked for.

    Raises:
        OSError: its folder takes no file, or the disk is full.
    """
    if file is None:
        return
    try:
        write_whole(Path(file), json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        reason = f"the JSON must go into a folder that takes files; found '{error.strerror}' at {file}"
        raise OSError(f"{reason}; choose another --json") from error
