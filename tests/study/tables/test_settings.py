"""Was a run made with what the plan asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medvol.study.planning.plan import PlannedRun
from medvol.study.tables import settings
from medvol.study.tables.settings import other_settings

RUN = PlannedRun(
    "k", "finetune", "a", "", 4, 0, "unet", "a", {"steps": 60, "scores::metrics": ["dice"], "num_workers": 3}, None,
    None, (), 0.002, 60, 120, "",
)  # fmt: skip
RECIPE = {"steps": 60, "scores": {"metrics": ["dice"], "more": 1}, "learning_rate": 0.002, "pretrained": None}
PASSPORT = {"bundle": "unet", "recipe": RECIPE, "pretrained": None}


def made(**recipe: object) -> dict:
    return {**PASSPORT, "recipe": {**RECIPE, **recipe}}


def planned(**overrides: object) -> PlannedRun:
    return replace(RUN, overrides={**RUN.overrides, **overrides})


def test_the_same_settings_have_no_difference() -> None:
    assert other_settings(PASSPORT, RUN, 0.002) == ""
    assert other_settings(PASSPORT, planned(num_workers=9, mlflow=False)) == ""  # a recipe leaves them out
    assert other_settings(made(frozen=False), planned(frozen="false")) == ""
    assert other_settings({}, RUN, 0.002) == ""  # nothing is known


@pytest.mark.parametrize(
    ("passport", "run", "rate", "said"),
    [
        (made(steps=6), RUN, None, "steps 6, the plan asks for 60"),
        (made(steps=6), replace(RUN, overrides={}), None, "steps 6, the plan asks for 60"),
        (PASSPORT, planned(**{"scores::metrics": []}), None, 'scores.metrics ["dice"], the plan asks for []'),
        (PASSPORT, planned(**{"scores::new": 1}), None, "scores.new null, the plan asks for 1"),
        (PASSPORT, planned(**{"scores::deep::new": 1}), None, "scores::deep::new null, the plan asks for 1"),
        (made(learning_rate=0.1), RUN, None, "learning_rate 0.1, the plan asks for 0.002"),
        (made(learning_rate=0.1), replace(RUN, learning_rate=None), 0.3, "learning_rate 0.1, the plan asks for 0.3"),
        ({**PASSPORT, "bundle": "other"}, RUN, None, 'bundle "other", the plan asks for "unet"'),
        (made(pretrained="a" * 64), RUN, None, 'starting weights aaaaaaaa, the plan asks for "none"'),
        (PASSPORT, replace(RUN, start="pretrain-b"), None, 'starting weights "none", the plan asks for "pretrain-b"'),
        (made(pretrained="a" * 64), replace(RUN, weights="given"), None, "aaaaaaaa, the plan asks for bbbbbbbb"),
        (made(manifest="a" * 64), planned(manifest="given"), None, "manifest aaaaaaaa, the plan asks for bbbbbbbb"),
    ],
)  # fmt: skip
def test_what_differs_is_said(
    passport: dict, run: PlannedRun, rate: float | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "_hash_of", lambda key, named: "b" * 64 if named == "given" else None)
    assert other_settings(passport, run, rate).endswith(said)


def test_a_start_is_known_by_the_hash_of_its_run() -> None:
    passport, run = {**made(pretrained="a" * 64), "pretrained": {"hash": "c" * 64}}, replace(RUN, start="pretrain-b")
    assert other_settings(passport, run, start={"hash": "c" * 64}) == ""
    assert other_settings(passport, run, start=None) == ""
    assert "cccccccc, the plan asks for dddddddd" in other_settings(passport, run, start={"hash": "d" * 64})


def test_many_differences_are_counted() -> None:
    names = "abcde"
    passport = made(**dict.fromkeys(names, 1))
    assert other_settings(passport, planned(**dict.fromkeys(names, 2))).endswith("; and 2 more")


def test_hashes_are_those_of_the_bundles() -> None:
    assert settings._hash_of("manifest", "hippocampus") == settings._hash_of("manifest", "hippocampus")
    assert len(settings._hash_of("manifest", "hippocampus")) == 64
    assert settings._hash_of("manifest", "nowhere.json") is None
    assert settings._hash_of("manifest", "phantom") is None
    assert settings._hash_of("pretrained", "unet_brats@latest") is None
