from __future__ import annotations

import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.showing.resolving import resolve_plain

CONFIG = {
    "steps": 3,
    "filters": [8, 16, 32],
    "again": "@filters",
    "part": {"_target_": "monai.transforms.Identity"},
    "root": "here",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@steps", 3),
        ("@again", [8, 16, 32]),
        ("@filters::1", 16),
        ("$len(@again) + 1", 4),
        ("$[1] + [2] * (len(@filters) - 1)", [1, 2, 2]),
        ("$@root + '/eval'", "here/eval"),
        ("$'a' if @steps > 2 else 'b'", "a"),
        ("$dict([['x', [1]]])", {"x": [1]}),
        ("$not @steps", False),
        ("%steps", 3),
    ],
)
def test_plain_values_and_arithmetic_are_what_monai_makes_of_them(text: str, value: object) -> None:
    config = {**CONFIG, "value": text}
    assert resolve_plain(config)["value"] == value == ConfigParser(config).get_parsed_content("value")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@part", "@part"),
        ("@missing", "@missing"),
        ("me@steps", "me@steps"),
        ("$@part(@steps)", "$@part(3)"),
        ("$medvol.f(@steps, @again)", "$medvol.f(3, [8, 16, 32])"),
        ("$@steps / 0", "$3 / 0"),
        ("$@steps.real", "$3.real"),
        ("$9 ** 9 ** 9", "$9 ** 9 ** 9"),
        ("$__import__('os').getpid()", "$__import__('os').getpid()"),
        ("$open('x')", "$open('x')"),
        ("$(", "$("),
        ("$float('inf')", "$float('inf')"),
        ("$range(@steps)", "$range(3)"),
    ],
)
def test_components_and_calls_stay_text(text: str, shown: str) -> None:
    assert resolve_plain({**CONFIG, "value": text})["value"] == shown


def test_nothing_is_imported_or_called() -> None:
    config = {"imports": ["$import this"], "initialize": ["$exit(3)"], "x": {"_target_": "this.that", "y": "$exit(3)"}}
    assert resolve_plain(config) == config
    assert "this" not in sys.modules


def test_circles_end() -> None:
    config = {"a": "@b", "b": "@a", "c": "$@c + 1", "d": ["@d"]}
    assert resolve_plain(config) == config


def test_the_config_that_was_given_stays_as_it_is() -> None:
    config = {"a": [1], "b": "@a", "c": "%a"}
    resolved = resolve_plain(config)
    resolved["b"].append(2)
    assert config == {"a": [1], "b": "@a", "c": "%a"}
    assert resolved["a"] == resolved["c"] == [1]


def test_what_the_start_fills_in_stays_a_reference_until_then() -> None:
    config = {"run_dir": None, "x": "@run_dir", "y": "$@run_dir + '/a'"}
    assert resolve_plain(config, ["run_dir"]) == config
    assert resolve_plain({**config, "run_dir": "r"}, ["run_dir"]) == {"run_dir": "r", "x": "r", "y": "r/a"}


@pytest.mark.parametrize("macro", ["%nowhere", "%missing.json::x", "@::::::x"])
def test_a_macro_that_leads_nowhere_is_said(macro: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="must lead to a place"):
        resolve_plain({"a": {"b": macro}})
