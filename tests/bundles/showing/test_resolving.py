from __future__ import annotations

import sys
import tracemalloc
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


@pytest.mark.parametrize(
    "text",
    [
        "$len([0] * 100000000)",
        "$[0] * 100000000",
        "$10 * ([[0] * 200] * 200)",
        "$'x' * 100000000",
        "$'%0100000000d' % 1",
        "$round(3, -100000000)",
        "$9999999999 * 9999999999 * 9999999999",
        "$9 ** 9 ** 9",
        "$@many + @many",
        "$@tens",
    ],
)
def test_nothing_large_is_computed(text: str) -> None:
    tens = {f"t{i}": [f"@t{i + 1}"] * 10 for i in range(6)} | {"t6": 0}
    config = {"x": text, "many": [0] * 6000, **tens, "tens": "@t0"}
    tracemalloc.start()
    try:
        shown = resolve_plain(config)["x"]
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert shown.startswith("$")


def test_the_usual_arithmetic_is_computed() -> None:
    config = {"f": [8, 16], "a": "$[3] * len(@f)", "b": "$2 * [@f[0] // 3]", "c": "$round(7 / 3, 2)", "d": "$7 % 4"}
    assert list(resolve_plain(config).values())[1:] == [[3, 3], [2, 2], 2.33, 3]
