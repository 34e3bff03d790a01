from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.checks.rules import BEFORE_RUN, IN_CHECK, data_rule, keys_rule, problems_of, values_rule
from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.bundles.refusal import Problem


def with_config(original: dict | None = None, **config: object) -> OpenBundle:
    return OpenBundle(Path(), Path("train.json"), original or {}, ConfigParser({"train": {}, **config}))


def test_a_bundle_as_it_is_has_no_problem(overrides: Callable[..., dict]) -> None:
    for bundle in ("cpc3d", "unet_brats", "unet_hippocampus"):
        assert problems_of(IN_CHECK, open_bundle(bundle, overrides=overrides(bundle))) == []


def test_check_knows_every_rule_of_the_guard() -> None:
    assert {keys_rule, *BEFORE_RUN} < set(IN_CHECK)


def test_rules_leave_the_bundle_as_it_is(overrides: Callable[..., dict], trained: dict[str, Path]) -> None:
    given = overrides("unet_brats", pretrained=str(trained["cpc3d"] / "model.pt"))
    opened = open_bundle("unet_brats", overrides=given)
    before = json.dumps(opened.config, sort_keys=True)
    problems_of(IN_CHECK, opened)
    assert json.dumps(opened.config, sort_keys=True) == before
    assert not Path(given["output_dir"]).exists()


def test_errors_come_first() -> None:
    problems = [Problem(name, "b", "c", state) for name in "ab" for state in ("warning", "error")]
    found = problems_of((lambda opened: iter(problems),), with_config())
    assert [problem.state for problem in found] == ["error", "error", "warning", "warning"]


@pytest.mark.parametrize(
    "good",
    [{"steps": 1}, {"eval_every_examples": None}, {"learning_rate": "$0.1 / 2"}, {"steps": "@other"}, {"seed": 0},
     {"device": "$medvol.distributed.device()"}, {"device": "cpu"}, {"num_workers": 0}],
)  # fmt: skip
def test_values_that_may_be(good: dict) -> None:
    assert list(values_rule(with_config(**good))) == []


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"eval_every_examples": 0}, {"learning_rate": 0}, {"learning_rate": float("inf")}, {"seed": None},
     {"steps": "many"}, {"steps": True}, {"device": "tpu9"}, {"warmup_steps": -1}, {"accumulation_steps": 0}],
)  # fmt: skip
def test_values_that_may_not_be(bad: dict) -> None:
    (problem,) = values_rule(with_config(**bad))
    assert f"'{next(iter(bad))}'" in problem.expected or "device" in problem.expected


def test_a_wrong_type_is_told_once_where_the_file_is_known() -> None:
    opened = with_config({"steps": 3}, steps="many", run=["$@steps", "@train"])
    assert len([*keys_rule(opened), *values_rule(opened)]) == 1


def test_a_lack_of_both_sections_is_told_once(dataset: Path) -> None:
    opened = with_config(manifest=str(dataset), modalities=["swi"], validate={})
    assert len(list(data_rule(opened))) == 1


def test_two_sections_with_two_lacks_are_told_twice(dataset: Path, tmp_path: Path) -> None:
    content = json.loads(dataset.read_text(encoding="utf-8")) | {"root": str(dataset.parent)}
    (tmp_path / "m.json").write_text(json.dumps(content | {"validation": [], "training": []}), encoding="utf-8")
    opened = with_config(manifest=str(tmp_path / "m.json"), dataset_dir=str(dataset.parent), validate={})
    assert [problem.expected.split("'")[1] for problem in data_rule(opened)] == ["training", "validation"]


def test_labels_that_are_left_out_of_the_loss_must_be_there(dataset: Path, tmp_path: Path) -> None:
    content = json.loads(dataset.read_text(encoding="utf-8")) | {"root": str(dataset.parent)}
    for case in content["validation"]:
        case.pop("label")
    (tmp_path / "m.json").write_text(json.dumps(content), encoding="utf-8")
    given = {"manifest": str(tmp_path / "m.json"), "dataset_dir": str(dataset.parent), "validate": {}}
    assert list(data_rule(with_config(**given))) == []
    (problem,) = data_rule(with_config(**given, exclude_key="label"))
    assert "label" in problem.found


def test_the_subset_of_patients_is_that_of_the_run(dataset: Path) -> None:
    def problems(**config: object) -> int:
        return len(list(data_rule(with_config(manifest=str(dataset), validate={}, **config))))

    assert [problems(num_patients=count) for count in (None, "all", 3, 4, 0)] == [0, 0, 0, 1, 1]
    assert problems(num_patients=3, where="case != 'c0'") == 1, "two patients are left"
