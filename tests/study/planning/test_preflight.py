"""What stops a study before hours are spent on it; each test plans the study of five tiny cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_study import LABELS, tiny_study

from medvol.study.planning.grid import planned_runs
from medvol.study.planning.plan import Plan
from medvol.study.planning.preflight import check_plan
from medvol.study.planning.reading import parse_study

Build = Callable[..., Plan]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("preflight"), modalities=["t1"], label_map=LABELS)


@pytest.fixture
def build(manifest: Path) -> Build:
    def plan(downstream: dict[str, Any] | None = None, pretext: dict[str, Any] | None = None, **more: Any) -> Plan:
        content = tiny_study(manifest, manifest.parent / "cache")
        content["downstream"]["overrides"] |= downstream or {}
        content["arms"]["cpc3d"]["pretrain"]["overrides"] |= pretext or {}
        study = parse_study({**content, **more})
        return Plan(study, planned_runs(study))

    return plan


SCRATCH = {"scratch": {}}


def test_a_sound_plan_passes(build: Build) -> None:
    check_plan(build())


def test_more_patients_than_there_are(build: Build) -> None:
    said = "label counts of at most 3, the labelled training patients of '.*'\n.*found: +4"
    with pytest.raises(ValueError, match=said):
        check_plan(build(arms=SCRATCH, tune=None, counts=[2, 4, "all"]))


def test_all_reasons_at_once_each_with_its_arm(build: Build) -> None:
    plan = build({"step_size": 3, "batch_size": 1}, {"crop": 3, "spacing": [1.0]})
    with pytest.raises(ValueError, match="cannot be run as planned") as refused:
        check_plan(plan)
    said = str(refused.value)
    assert "arm 'cpc3d', pre-training\n" in said
    assert "nothing reads the key 'crop'" in said
    assert "arm 'scratch'; arm 'cpc3d'\n" in said
    assert "nothing reads the key 'step_size'" in said


def test_a_pretraining_that_does_not_fit_is_known_before_it_is_trained(build: Build) -> None:
    plan = build(pretext={"filters": [8, 8, 16]})
    with pytest.raises(ValueError, match=r"arm 'cpc3d'\n +expected: weights whose tensors are") as no:
        check_plan(plan)
    assert "arm 'scratch'" not in str(no.value)


def test_what_is_wrong_with_several_arms_is_said_once(build: Build) -> None:
    with pytest.raises(ValueError, match="arm 'scratch'; arm 'long'\n") as refused:
        check_plan(build({"step_size": 3}, arms={**SCRATCH, "long": {"longer": 2}}, tune=None))
    assert str(refused.value).count("expected:") == 1


@pytest.mark.slow
def test_weights_that_there_are_not(build: Build) -> None:
    with pytest.raises(ValueError, match=r"arm 'x'\n +expected: weights for 'pretrained'\n +found: .*lost\.pt"):
        check_plan(build(arms={**SCRATCH, "x": {"weights": "lost.pt"}}, tune=None))


def test_scores_that_are_not_written(build: Build) -> None:
    scores = [{"metric": "hd95"}, {"metric": "dise", "higher_is_better": True}, {"region": "hole"}]
    with pytest.raises(ValueError, match=r"a first score that trainings validate by, too\n.*only dice") as refused:
        check_plan(build(arms=SCRATCH, tune=None, scores=scores))
    assert "'dise'; did you mean 'dice'?" in str(refused.value)
    assert "'hole'; did you mean 'whole'?" in str(refused.value)


@pytest.mark.slow
def test_a_corruption_that_the_evaluation_does_not_know(build: Build) -> None:
    robustness = {"corruptions": ["noise", "noize"], "severities": [1]}
    with pytest.raises(ValueError, match="robustness::corruptions") as refused:
        check_plan(build(arms=SCRATCH, tune=None, robustness=robustness))
    assert "('noize', 1)" in str(refused.value)
    assert "('noise', 1)" not in str(refused.value)


@pytest.mark.parametrize(
    ("labels", "said"), [(True, ".*no label"), pytest.param(False, "none", marks=pytest.mark.slow)]
)
def test_a_section_without_cases_to_score(build: Build, manifest: Path, labels: bool, said: str) -> None:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    bare = manifest.with_name("bare.json")
    for item in content["test"] * labels:
        del item["label"]
    content = content if labels else {key: value for key, value in content.items() if key != "test"}
    bare.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=f"labelled cases in section 'test' to score\n +found: +{said}"):
        check_plan(build({"manifest": str(bare)}, arms=SCRATCH, tune=None))


@pytest.mark.slow
def test_a_variant_is_named(build: Build) -> None:
    variants = {"good": {}, "bad": {"spacing": 0}}
    with pytest.raises(ValueError, match="arm 'scratch', variant 'bad'\n") as refused:
        check_plan(build(arms=SCRATCH, tune=None, variants=variants))
    assert "'good'" not in str(refused.value)


def test_a_manifest_that_there_is_not(build: Build) -> None:
    with pytest.raises(ValueError, match=r"found: .*nowhere\.json") as refused:
        check_plan(build({"manifest": "nowhere.json"}, arms=SCRATCH, tune=None))
    assert "dataset_dir" not in str(refused.value), "a folder of images is no manifest"
