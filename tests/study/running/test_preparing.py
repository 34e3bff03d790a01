"""What is checked before the first run; the rest is tested where a study runs."""

from __future__ import annotations

import pytest

from medvol.study.planning.plan import PlannedRun
from medvol.study.running.preparing import check_needs, needs


def planned(key: str, start: str | None = None, tuned_by: tuple[str, ...] = ()) -> PlannedRun:
    return PlannedRun(key, "finetune", "a", "", 2, 0, "unet", key, {}, start, None, tuned_by, None, 1, 2, "")


def test_a_run_needs_its_start_and_its_tuning() -> None:
    assert needs(planned("a")) == ()
    assert needs(planned("c", "a", ("b",))) == ("b", "a")


def test_runs_stand_after_what_they_need_and_once() -> None:
    check_needs([planned("a"), planned("b", "a")])
    with pytest.raises(ValueError, match="found 'b', which needs 'a'"):
        check_needs([planned("b", "a"), planned("a")])
    with pytest.raises(ValueError, match="found 'a' twice"):
        check_needs([planned("a"), planned("a")])
