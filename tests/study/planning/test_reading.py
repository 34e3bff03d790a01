from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from medvol.study import load_study
from medvol.study.planning.design import Replicate, Score
from medvol.study.planning.reading import parse_study, shipped_studies

LEAST: dict[str, Any] = {
    "name": "mine", "question": "Does it?", "downstream": {"bundle": "unet_brats"}, "counts": [4, 16, "all"],
    "seeds": [0, 1, {"pretraining": 2, "subset": 12, "finetuning": 22}], "arms": {"scratch": {}, "b": {}},
    "margin": 0.01,
}  # fmt: skip
TABLE = {"title": "T", "citation": "C", "columns": ["a", "b"], "rows": [["1", "2"]]}
ROBUST = {"corruptions": ["noise"], "severities": [1]}


def changed(place: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(LEAST)
    node = content
    *path, last = place.split("::")
    for key in path:
        node = node[key]
    node[last] = value
    return content


def test_defaults_and_values() -> None:
    study = parse_study(LEAST)
    assert study.scores == (Score("dice", "mean"),)
    assert (study.reference, study.section, study.variants, study.tuning, study.robustness) == (
        "scratch", "test", {"": {}}, None, None,
    )  # fmt: skip
    assert study.replicates == (Replicate(0, 0, 0, 0), Replicate(1, 1, 1, 1), Replicate(2, 2, 12, 22))
    assert study.counts == (4, 16, "all")
    assert study.raw == LEAST


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("armss", {}, r"found the key 'armss'; did you mean 'arms'\?"),
        ("name", "a/b", "name must be a name"),
        ("question", "", "question must be a text"),
        ("downstream", {"bundle": "x", "override": {}}, r"'override'; did you mean 'overrides'\?"),
        ("downstream", {}, "the key 'bundle'"),
        ("downstream", {"bundle": "x", "overrides": {"pretrained": "w"}}, "found 'pretrained'; state it by arms"),
        ("scores", [], "scores must be a list of at least 1"),
        ("scores", [{"metrik": "dice"}], r"scores::0 .*; did you mean 'metric'\?"),
        ("scores", [{}, {"region": "mean"}], "found 'mean dice' twice"),
        ("scores", [{"metric": "dise"}], r"scores::0::metric must be a metric whose .*'dise'; did you mean 'dice'\?"),
        ("scores", [{"metric": "mine"}], 'found \'mine\'; correct the name, or say "higher_is_better": true or false'),
        ("scores", [{"metric": "mine", "higher_is_better": 1}], "scores::0::higher_is_better must be true or false"),
        ("scores", [{"metric": "hd95", "higher_is_better": True}], "must be false for hd95; found true; leave it out"),
        ("counts", [16, 4], "counts must be ascending"),
        ("counts", ["all", 4], "counts must be ascending"),
        ("counts", [4, 4], "counts must be ascending"),
        ("counts", [0], "counts::0 must be"),
        ("counts", [True], "counts::0 must be"),
        ("counts", 4, "counts must be a list"),
        ("seeds", [], "seeds must be a list"),
        ("seeds", [0, 0], "pretraining seeds of the replicates must be different"),
        ("seeds", [0, {"pretraining": 1, "subset": 0, "finetuning": 1}], "the subset seeds .* found 0 twice"),
        ("seeds", [{"pretraining": 1, "subset": 0}], "the key 'finetuning'"),
        ("seeds", [{"pretrain": 1}], r"seeds::0 .*'pretrain'; did you mean 'pretraining'\?"),
        ("seeds", [2**32], "a whole number from 0 to 4294967295"),
        ("seeds", [-1], "seeds::0::pretraining must be a whole number"),
        ("arms", [], "arms must be an object"),
        ("reference", "scrath", r"reference must be .*'scrath'; did you mean 'scratch'\?"),
        ("margin", 0, "margin must be a number above 0"),
        ("section", "training", "section must be one of validation, test"),
        ("section", "tests", r"did you mean 'test'\?"),
        ("tune", {"count": 8, "values": [1]}, "tune::count must be one of the study's counts, 4, 16, all"),
        ("tune", {"count": 4, "replicate": 3, "values": [1]}, "tune::replicate must be a whole number from 0 to 2"),
        ("tune", {"count": 4, "values": []}, "tune::values must be"),
        ("tune", {"count": 4, "values": [0.1, 0.10000001]}, "in six digits, must be different"),
        ("tune", {"count": 4, "value": [1]}, r"did you mean 'values'\?"),
        ("pretraining", [], "pretraining must be an object"),
        ("pretraining", {"override": {}}, r"pretraining .*'override'; did you mean 'overrides'\?"),
        ("pretraining", {"overrides": {"seed": 1}}, "pretraining::overrides .* found 'seed'; state it by seeds"),
        ("pretraining", {"overrides": {"arm": "b"}}, "found 'arm'; state it by arms"),
        ("variants", {"a": 3}, "variants::a must be an object"),
        ("variants", {"a": {}, "A": {}}, "found 'a' twice"),
        ("variants", [], "variants must be an object"),
        ("robustness", {**ROBUST, "severities": [6]}, "robustness::severities must be a whole number from 1 to 5"),
        ("robustness", {**ROBUST, "corruptions": []}, "robustness::corruptions must be"),
        ("robustness", {**ROBUST, "corruptions": ["noise", "noise"]}, "found 'noise' twice"),
        ("robustness", {**ROBUST, "counts": [8]}, "robustness::counts must be some of"),
        ("robustness", {**ROBUST, "severity": [1]}, r"did you mean 'severities'\?"),
        ("published", {}, "published must be a list"),
        ("published", [{**TABLE, "rows": [["1"]]}], "published::0::rows::0 must be 2 cells"),
        ("published", [{**TABLE, "rows": [["1", 2]]}], "must be a text"),
        ("published", [{**TABLE, "citations": ""}], r"'citations'; did you mean 'citation'\?"),
    ],
)  # fmt: skip
def test_what_is_refused(place: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_study(changed(place, value))


def test_overrides_of_all_pre_trainings_reach_the_arms() -> None:
    content = {
        **LEAST, "arms": {"scratch": {}, "cpc3d": {"pretrain": {"bundle": "cpc3d"}}},
        "pretraining": {"overrides": {"optimizer#lr": 0.1}},
    }  # fmt: skip
    study = parse_study(content)
    assert study.arms["cpc3d"].pretraining.overrides == {"optimizer::lr": 0.1}
    assert study.overrides == {}
    assert parse_study(study.raw) == study, "the file of its folder says the same"


def test_the_direction_of_a_score_is_known_or_said() -> None:
    entries = [{"metric": "assd"}, {"metric": "mine", "higher_is_better": False}, {"metric": "dice"}]
    scores = parse_study(changed("scores", entries)).scores
    assert [score.higher_is_better for score in scores] == [False, False, True]


@pytest.mark.parametrize("key", ["name", "question", "downstream", "counts", "seeds", "arms", "margin"])
def test_what_must_be_there(key: str) -> None:
    with pytest.raises(ValueError, match=f"the key '{key}'"):
        parse_study({k: v for k, v in LEAST.items() if k != key})


def test_a_tuned_rate_has_no_other_value() -> None:
    content = {**LEAST, "tune": {"count": 4, "values": [0.1]}}
    given = {**content, "downstream": {"bundle": "unet_brats", "overrides": {"learning_rate": 1.0}}}
    with pytest.raises(ValueError, match="downstream::overrides must be without 'learning_rate' where it is tuned"):
        parse_study(given)
    with pytest.raises(ValueError, match="variants::a must be without"):
        parse_study({**content, "variants": {"a": {"learning_rate": 1.0}}})
    own = {"scratch": {"learning_rate": 0.1}, "b": {"learning_rate": 0.1}}
    assert parse_study({**given, "arms": own}).tuning is not None


def test_a_file_is_named_in_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(changed("margin", "x")), encoding="utf-8")
    with pytest.raises(ValueError, match=r"margin must be .*mine\.json\)$"):
        load_study(file)
    file.write_text('{"name": ', encoding="utf-8")
    with pytest.raises(ValueError, match="must be JSON; found in line 1"):
        load_study(file)


def test_a_bundle_that_there_is_not(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    file.write_text(json.dumps(changed("downstream", {"bundle": "unet_brast"})), encoding="utf-8")
    with pytest.raises(ValueError, match=r"did you mean 'unet_brats'\?"):
        load_study(file)
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    assert load_study(file).bundle == "unet_brast", "a study that was planned is read where its bundles are not"
    assert load_study(tmp_path) == load_study(file), "and by the name of its folder"


def test_an_unknown_study() -> None:
    with pytest.raises(FileNotFoundError, match=r"'smok'; did you mean 'smoke'\?.*give one of: .*smoke"):
        load_study("smok")


@pytest.mark.parametrize("name", list(shipped_studies()))
def test_the_shipped_studies_can_be_read(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert parse_study(json.loads(json.dumps(study.raw))) == study
