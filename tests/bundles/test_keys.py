from __future__ import annotations

from pathlib import Path

import pytest

from medvol.bundles.keys import config_problems, key_problems, plain_values, suggest

CONFIG = {
    "steps": 3,
    "rate": 0.1,
    "sizes": [1, 2],
    "flag": False,
    "start": None,
    "run": ["$print(@steps, @rate, @sizes, @flag, @start)"],
}


def test_a_clean_config_has_no_problems() -> None:
    assert config_problems(CONFIG, CONFIG) == []


@pytest.mark.parametrize(
    ("key", "near"), [("step", "steps"), ("epoch", "steps"), ("max_epochs", "steps"), ("size", "sizes")]
)
def test_a_key_that_nothing_reads_is_named_with_its_neighbor(key: str, near: str) -> None:
    (problem,) = config_problems({**CONFIG, key: 1}, CONFIG)
    assert f"'{key}'" in problem
    assert f"did you mean '{near}'" in problem


def test_a_key_of_the_file_may_be_made_null_and_then_is_read_by_nothing() -> None:
    file = {"temperature": 0.1, "loss": "@temperature", "run": ["$print(@loss)"]}
    override = {**file, "temperature": None, "loss": 3}
    assert config_problems(override, file) == []
    assert "nothing reads the key 'temperature'" in config_problems({**override, "temperature": 0.2}, file)[0]
    assert "nothing reads the key 'epoch'" in config_problems({**override, "epoch": None}, file)[0]


def test_arguments_of_components_are_compared_with_their_signature() -> None:
    net = {"_target_": "monai.networks.nets.DynUNet", "filter": [8, 8], "_disabled_": False}
    (problem,) = config_problems({"network_def": net})
    assert "'network_def::filter'" in problem
    assert "did you mean 'filters'" in problem
    nested = {
        "network_def": {"_target_": "torch.nn.Sequential"},
        "train": {"a": [{"_target_": "torch.nn.Linear", "in": 1}]},
    }
    assert [p for p in config_problems(nested) if "train::a::0::in'" in p]


def test_a_target_that_does_not_exist_is_named() -> None:
    assert (
        "'medvol.networks.Nope', which cannot be imported"
        in config_problems({"network_def": {"_target_": "medvol.networks.Nope"}})[0]
    )


@pytest.mark.parametrize(
    ("key", "value"), [("steps", "many"), ("steps", 1.5), ("rate", "x"), ("sizes", 3), ("flag", 1), ("steps", True)]
)
def test_an_override_of_another_type_is_refused(key: str, value: object) -> None:
    (problem,) = config_problems({**CONFIG, key: value}, CONFIG)
    assert f"'{key}' must be" in problem


@pytest.mark.parametrize(
    ("key", "value"), [("rate", 1), ("sizes", (1, 2)), ("steps", "$3"), ("start", "x"), ("steps", 4)]
)
def test_an_override_that_can_be_meant_is_taken(key: str, value: object) -> None:
    assert config_problems({**CONFIG, key: value}, CONFIG) == []


def test_texts_become_the_values_they_mean() -> None:
    given = {"a": "true", "b": "False", "c": "null", "d": "None", "e": "nullable", "f": 1}
    assert plain_values(given) == {"a": True, "b": False, "c": None, "d": None}


def test_no_suggestion_for_what_is_like_nothing() -> None:
    assert suggest("zzz", ["steps"]) == ""


def test_a_problem_says_what_could_stand_there() -> None:
    net = {"_target_": "torch.nn.Linear", "in": 1}
    unknown, argument = key_problems({"steps": 3, "epoch": 1, "network_def": net, "run": ["$print(@steps)"]})
    assert unknown.remedy == "correct the name or take it out; the top-level keys are run, steps"
    assert "it takes in_features, out_features, bias" in argument.remedy


def test_a_component_whose_module_fails_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "medvol_broken_for_a_test.py").write_text("import no_such_package\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = key_problems({"network_def": {"_target_": "medvol_broken_for_a_test.Net"}})
    assert "cannot be imported (ModuleNotFoundError: No module named 'no_such_package')" in problem.found
