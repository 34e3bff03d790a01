from __future__ import annotations

from typing import Any

from medvol.study.planning.grid import planned_runs
from medvol.study.planning.overview import plan_notes, plan_text, study_list
from medvol.study.planning.plan import Plan
from medvol.study.planning.reading import parse_study

STUDY: dict[str, Any] = {
    "name": "mine", "question": "Does it?", "margin": 0.01, "counts": [4, "all"], "seeds": [0, 1, 2],
    "downstream": {"bundle": "unet_hippocampus"}, "tune": {"count": 4, "values": [0.001, 0.01]},
    "arms": {
        "scratch": {},
        "long": {"longer": 3, "learning_rate": "scratch"},
        "cpc3d": {"pretrain": {"bundle": "cpc3d"}},
    },
}  # fmt: skip


def plan_of(**changes: Any) -> Plan:
    study = parse_study({**STUDY, **changes})
    return Plan(study, planned_runs(study))


def test_the_table_has_a_line_for_every_arm_and_kind() -> None:
    lines = plan_text(plan_of()).splitlines()
    rows = [line.split() for line in lines[2:9]]
    assert rows[0] == ["kind", "arm", "patients", "seeds", "runs", "steps", "learning", "rate", "budget"]
    assert rows[1] == ["pre-training", "cpc3d", "3", "3", "300", "of", "its", "bundle"]
    assert rows[2] == ["tuning", "scratch", "4", "1", "2", "600", "0.001,", "0.01"]
    assert rows[5] == ["fine-tuning", "long", "4,", "all", "3", "6", "1800", "tuned", "1800", "steps"]
    assert "runs      25, of which 2 go on from a tuning and are not trained again" in lines
    assert not any(line.startswith("note") for line in lines)


def test_columns_without_content_are_left_out() -> None:
    assert "budget" not in plan_text(plan_of(arms={"scratch": {}}))
    assert "variant" in plan_text(plan_of(variants={"small": {}, "large": {"batch_size": 4}}))


def test_what_limits_the_conclusions() -> None:
    assert plan_notes(plan_of()) == []
    (note,) = plan_notes(plan_of(seeds=[0, 1]))
    assert note.startswith("2 seeds: arms will not be judged, which takes 3 or more")
    each = {"scratch": {}, "rest": {"each": "pretext bundles", "args": "args_nowhere.json"}}
    assert plan_notes(plan_of(arms=each)) == [
        "'rest' stands for no arm: there is no pretext bundle here with the file args_nowhere.json"
    ]
    each["rest"]["args"] = "args_hipocampus.json"
    (note,) = plan_notes(plan_of(arms=each))
    assert note.endswith("with the file args_hipocampus.json; did you mean 'args_hippocampus.json'?")
    (note,) = plan_notes(plan_of(seeds=[0]))
    assert note.startswith("1 seed: arms")
    longer = {"scratch": {}, "cpc3d": {"pretrain": {"bundle": "cpc3d"}, "longer": 2}}
    (note,) = plan_notes(plan_of(arms=longer))
    assert note == "arm 'cpc3d' has another budget (1200 steps) and is compared with arms of that budget only"


def test_the_list_of_studies() -> None:
    assert study_list([parse_study(STUDY)]).splitlines()[1].split() == ["mine", "unet_hippocampus", "Does", "it?"]
