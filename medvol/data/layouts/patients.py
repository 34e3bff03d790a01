"""Who is on an image: a rule over its path that the user states, never a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

# Shown in the error, with what they would give: a user picks one, medvol does not.
_SUGGESTIONS = (r"([^/]+)/", r"(?:^|/)([^/_]+)_[^/]*$", r"(?:^|/)(\w*?\d+)[^/]*$")


def check_rule(rule: str | None, example_paths: Sequence[str]) -> str:
    r"""Refuse a patient rule that cannot name patients.

    Args:
        rule: ``"case"`` (every case is a patient of its own), ``"folder"`` (the name of the folder that holds the
            file), or a regular expression searched in the path relative to the root, whose group ``patient``, or
            else its first group, is the patient.
        example_paths: paths of the set, relative to its root; the first three are shown.

    Returns:
        The rule.

    Raises:
        ValueError: no rule, not a regular expression, or one without a group.

    Example:
        >>> check_rule(r"(sub\d+)/", ["sub01/t1.nii.gz"]) == r"(sub\d+)/"
        True
    """
    if rule in ("case", "folder"):
        return rule
    if not isinstance(rule, str) or not rule:
        raise ValueError(_message("a rule", repr(rule), example_paths))
    try:
        groups = re.compile(rule).groups
    except re.error as error:
        raise ValueError(_message("a valid regular expression", f"'{rule}' ({error})", example_paths)) from error
    if not groups:
        raise ValueError(_message("a regular expression with a group in ( )", f"'{rule}'", example_paths))
    return rule


def patient_of(path: str, case: str, rule: str) -> str:
    r"""Return the patient on an image.

    Args:
        path: the image's path relative to the root of its set, with ``/``.
        case: the name of its case.
        rule: see :func:`check_rule`.

    Raises:
        ValueError: the rule finds no patient in this path.

    Example:
        >>> patient_of("sub07/ses1_t1.nii.gz", "ses1", r"(?P<patient>sub\d+)/")
        'sub07'
        >>> patient_of("sub07/ses1_t1.nii.gz", "ses1", "case"), patient_of("sub07/ses1_t1.nii.gz", "ses1", "folder")
        ('ses1', 'sub07')
    """
    if rule == "case":
        return case
    if rule == "folder":
        found = PurePosixPath(path).parent.name
    else:
        match = re.search(rule, path)
        found = (match["patient"] if "patient" in match.re.groupindex else match[1]) if match else ""
    if not found:
        raise ValueError(
            f"the patient rule '{rule}' must find a patient in every path; it finds none in {path}; correct the rule, "
            "or take the file out"
        )
    return found


def patient_of_files(paths: Sequence[str], case: str, rule: str) -> str:
    """Return the patient on all images of one case.

    Raises:
        ValueError: the rule finds no patient in a path, or different ones in two of them.

    Example:
        >>> patient_of_files(["p1/t1.nii", "p1/t2.nii"], "p1", "folder")
        'p1'
    """
    found = {patient_of(path, case, rule): path for path in paths}
    if len(found) > 1:
        shown = ", ".join(f"'{patient}' in {path}" for patient, path in found.items())
        raise ValueError(
            f"the files of case '{case}' must show one patient; the rule '{rule}' finds {shown}; correct the rule"
        )
    return next(iter(found))


def _message(expected: str, found: str, paths: Sequence[str]) -> str:
    shown = list(paths[:3])
    hints = ["'case' (every case is another patient)", *(_hint(rule, shown) for rule in _SUGGESTIONS)]
    return (
        f"the option patient must be {expected}: 'case', 'folder', or a regular expression over the relative path "
        f"whose group is the patient (it is never guessed); found {found}; the paths are like {', '.join(shown)}; "
        f"say who is on them, for instance {' or '.join(hint for hint in hints if hint)}"
    )


def _hint(rule: str, paths: Sequence[str]) -> str:
    matches = [re.search(rule, path) for path in paths]
    if not matches or not all(matches):
        return ""
    return f"'{rule}' (which finds {', '.join(dict.fromkeys(match[1] for match in matches if match))})"
