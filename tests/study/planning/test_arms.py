from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medvol.study.planning.arms import bundle_folder, check_bundles, read_args, read_arms, read_overrides, written_out
from medvol.study.planning.design import Pretraining

CPC = {"pretrain": {"bundle": "cpc3d", "args": "args_hippocampus.json"}}


def make_bundle(folder: Path, name: str, args: str | None = None, **train: Any) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "train.json").write_text(json.dumps(train), encoding="utf-8")
    if args is not None:
        (folder / name / args).write_text("{}", encoding="utf-8")


def test_each_stands_for_the_pretext_bundles_that_have_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path / "bundles", "aaa", "args_x.json", steps=1)
    make_bundle(tmp_path / "bundles", "bbb", None, steps=1)
    make_bundle(tmp_path / "bundles", "ddd", "args_x.json", pretrained=None)
    each = {"each": "pretext bundles", "args": "args_x.json", "longer": 2}
    arms = {"scratch": {}, "all": each, "last": {"weights": "w"}}
    written = written_out(arms)
    assert written["all"]["bundles"] == ["aaa"], "ddd starts from weights itself, bbb has no such file"
    read = read_arms(written)
    assert list(read) == ["scratch", "aaa", "last"], "in the place of the entry, and named like the bundle"
    assert read["aaa"].pretraining == Pretraining("aaa", "args_x.json")
    assert read["aaa"].longer == 2
    assert "bundles" not in arms["all"], "the study file is left as it is"

    make_bundle(tmp_path / "bundles", "ccc", "args_x.json", steps=1)
    assert written_out(written) == written, "a study that has been planned keeps its arms"
    assert written_out(arms)["all"]["bundles"] == ["aaa", "ccc"]
    assert "bbb" in written_out({"a": {"each": "pretext bundles"}})["a"]["bundles"], "without a file: all of them"


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({}, "arms must be an object of at least 1 entries"),
        ({"a": {"pretrian": {}}}, r"found the key 'pretrian'; did you mean 'pretrain'\?"),
        ({"a": {"pretrain": {"bundel": "x"}}}, r"arms::a::pretrain .*; did you mean 'bundle'\?"),
        ({"a": {"pretrain": "cpc3d"}}, "arms::a::pretrain must be an object"),
        ({"a": {"each": "bundles"}}, 'arms::a::each must be "pretext bundles"'),
        ({"a": {"each": "pretext bundles", "weights": "x"}}, "found the key 'weights'"),
        ({"a b": {}}, "a name of letters"),
        ({"a": {}, "A": {}}, "found 'a' twice"),
        ({"a": {"frozen": True}}, "arms::a::frozen must be false for an arm from scratch"),
        ({"a": {**CPC, "weights": "x"}}, "an arm with one start"),
        ({"a": {**CPC, "frozen": 1}}, "true or false"),
        ({"a": {"longer": 0}}, "arms::a::longer must be a number above 0"),
        ({"a": {"learning_rate": -1}}, "arms::a::learning_rate must be a number above 0"),
        ({"scratch": {}, "b": {"learning_rate": "scrath"}}, r"'scrath'; did you mean 'scratch'\?"),
        ({"b": {"learning_rate": "b"}}, "found 'b'; give one of no arm"),
        ({"a": {}, "b": {"learning_rate": "a"}, "c": {"learning_rate": "b"}}, "name 'a' itself"),
        (
            {"mae": {}, "b": {"against": "mea"}},
            r"arms::b::against must be another arm; found 'mea'; did you mean 'mae'",
        ),
        ({"b": {"against": "b"}}, "arms::b::against must be another arm; found 'b'; give one of no arm"),
        ({"a": {}, "b": {"against": 3}}, "arms::b::against must be"),
        ({"a": {"overrides": {"learning_rate": 1}}}, "state it as arms::a::learning_rate"),
        ({"a": {"overrides": {"seed": 1}}}, "found 'seed'; state it by seeds"),
        ({"a": {"overrides": {"num_patients": 1}}}, "found 'num_patients'; state it by counts"),
        ({"a": {"overrides": {" ": 1}}}, "keys that have a name; found ' '"),
        ({"a": {"overrides": [1]}}, "arms::a::overrides must be an object"),
        ({"cpc3d": {}, "b": {"each": "pretext bundles", "bundles": ["cpc3d"]}}, "found 'cpc3d' twice"),
    ],
)
def test_what_is_refused(arms: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_arms(written_out(arms))


def test_an_arm_as_it_is_read() -> None:
    arms = read_arms(
        written_out(
            {"s": {}, "f": {**CPC, "frozen": True, "learning_rate": "s", "overrides": {"a#b": 1}, "against": "s"}}
        )
    )
    assert arms["s"].starts_from_scratch
    assert arms["s"].learning_rate is None
    assert (arms["f"].frozen, arms["f"].learning_rate, arms["f"].overrides) == (True, "s", {"a::b": 1})
    assert (arms["s"].against, arms["f"].against) == (None, "s")


def test_overrides_of_all_pre_trainings_lie_under_those_of_an_arm() -> None:
    own = {"pretrain": {"bundle": "rpl3d", "overrides": {"steps": 7}}}
    each = {"each": "pretext bundles", "bundles": ["jigsaw3d"]}
    arms = {"scratch": {}, "weights": {"weights": "w"}, "cpc3d": CPC, "rpl3d": own, "each": each}
    common = {"steps": 3, "warmup_steps": 1}
    read = read_arms(written_out(arms), common)
    overrides = {name: arm.pretraining and arm.pretraining.overrides for name, arm in read.items()}
    assert overrides == {
        "scratch": None, "weights": None, "cpc3d": common, "rpl3d": {"steps": 7, "warmup_steps": 1}, "jigsaw3d": common
    }  # fmt: skip
    assert not any(arm.overrides for arm in read.values()), "those of the fine-tuning are others"


def test_a_pretraining_may_have_its_own_patients() -> None:
    assert read_overrides({"num_patients": 3}, "x", pretraining=True) == {"num_patients": 3}
    with pytest.raises(ValueError, match="'arm'"):
        read_overrides({"arm": "b"}, "x", pretraining=True)


def test_bundles_and_their_files_are_looked_for() -> None:
    check_bundles({"downstream::bundle": "unet_brats"}, read_arms({"cpc3d": CPC}))
    with pytest.raises(
        ValueError, match=r"downstream::bundle must be .* found 'unet_brast'; did you mean 'unet_brats'\?"
    ):
        check_bundles({"downstream::bundle": "unet_brast"}, {})
    with pytest.raises(ValueError, match=r"an evaluate\.json; found 'cpc3d' without it"):
        check_bundles({"downstream::bundle": "cpc3d"}, {})
    lost = read_arms({"cpc3d": {"pretrain": {"bundle": "cpc3d", "args": "args_hipocampus.json"}}})
    with pytest.raises(ValueError, match=r"arms::cpc3d::pretrain::args .*did you mean 'args_hippocampus.json'\?"):
        check_bundles({}, lost)
    assert read_args(bundle_folder("cpc3d", "x"), None, "x") == {}
    assert read_args(bundle_folder("cpc3d", "x"), "args_hippocampus.json", "x")["manifest"] == "hippocampus"
