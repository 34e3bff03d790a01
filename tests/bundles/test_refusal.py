from __future__ import annotations

import pytest

from medvol.bundles.refusal import GuardError, refuse


def test_a_refusal_has_three_parts_and_ends_the_command() -> None:
    with pytest.raises(GuardError) as error:
        refuse("an egg", "a hen", "wait")
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["expected", "found", "remedy"]
    assert isinstance(error.value, SystemExit), "MONAI wraps every other exception into its own tracebacks"
    assert error.value.code == str(error.value), "a text as code is printed, and the status is 1"
