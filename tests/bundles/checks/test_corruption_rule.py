from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.checks.corruption_rule import corruption_rule
from medvol.bundles.opening import OpenBundle

CHAIN = {
    "_target_": "monai.transforms.Compose",
    "transforms": [
        {
            "_target_": "medvol.transforms.Corruptiond",
            "keys": "image",
            "corruption": "@corruption",
            "severity": "@severity",
            "_disabled_": "$not @corruption",
        }
    ],
}


def found(**changes: object) -> list[str]:
    config = {"corruption": None, "severity": 1, "preprocessing": CHAIN, **changes}
    opened = OpenBundle(Path(), Path("evaluate.json"), config, ConfigParser(config))
    return [problem.found for problem in corruption_rule(opened)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"corruption": "blurr"}, ["found 'blurr'; did you mean 'blur'?"]),
        ({"corruption": "noise", "severity": 6}, ["found 6"]),
        ({"corruption": "noise", "severity": True}, ["found True"]),
        ({"corruption": ["noise"]}, ["found ['noise']"]),
        ({"corruption": "noise", "severity": 5}, []),
        ({"severity": 6}, []),
        ({"corruption": False}, []),
    ],
)
def test_only_what_exists_is_let_through(changes: dict, words: list[str]) -> None:
    problems = found(**changes)
    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


def test_a_config_without_corruptions_is_none_of_its_business() -> None:
    opened = OpenBundle(Path(), Path("train.json"), {"steps": 3}, ConfigParser({"steps": 3}))
    assert list(corruption_rule(opened)) == []
