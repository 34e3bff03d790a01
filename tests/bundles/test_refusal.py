from __future__ import annotations

import pytest

from medvol.bundles.refusal import GuardError, Problem, innermost, refuse, refuse_errors


def test_a_refusal_has_three_parts_and_ends_the_command() -> None:
    with pytest.raises(GuardError) as error:
        refuse("an egg", "a hen", "wait")
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["expected", "found", "remedy"]
    assert isinstance(error.value, SystemExit), "MONAI wraps every other exception into its own tracebacks"
    assert error.value.code == str(error.value), "a text as code is printed, and the status is 1"


def test_all_errors_are_named_and_warnings_pass() -> None:
    one, two = Problem("an egg", "a hen", "wait"), Problem("a nest", "a box", "build")
    with pytest.raises(GuardError) as error:
        refuse_errors([one, Problem("a", "b", "c", "warning"), two])
    text = str(error.value)
    assert text.count("expected:") == 2
    assert "a hen" in text
    assert "build" in text
    refuse_errors([Problem("a", "b", "c", "warning")])


def test_a_part_of_several_lines_stays_in_its_column() -> None:
    lines = Problem("a", "b\n  ^", "c").text().splitlines()
    assert lines == ["expected: a", "found:    b", "            ^", "remedy:   c"]


def test_the_innermost_message_has_no_traceback() -> None:
    worker = ValueError("Caught in worker.\nTraceback (most recent call last):\n  File 'x'\nValueError: too small\n")
    outer = RuntimeError("failed to instantiate")
    outer.__cause__ = worker
    assert innermost(outer) == "ValueError: too small"
    assert innermost(KeyError("steps")) == "KeyError: 'steps'"
    assert innermost(MemoryError()) == "MemoryError"
    assert len(innermost(ValueError("x" * 9999))) < 1300
