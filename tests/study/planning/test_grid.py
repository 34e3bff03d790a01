from __future__ import annotations

from typing import Any

import pytest

from medvol.study.planning.grid import planned_runs, with_overrides
from medvol.study.planning.plan import PlannedRun
from medvol.study.planning.reading import parse_study

PRETRAIN = {"bundle": "cpc3d", "args": "args_hippocampus.json", "overrides": {"batch_size": 2}}
STUDY: dict[str, Any] = {
    "name": "mine", "question": "Does it?", "margin": 0.01, "counts": [4, "all"],
    "seeds": [0, {"pretraining": 1, "subset": 11, "finetuning": 21}],
    "downstream": {"bundle": "unet_hippocampus", "overrides": {"steps": 100, "scores::metrics": ["dice"]}},
    "arms": {
        "scratch": {},
        "long": {"longer": 3, "learning_rate": "scratch"},
        "cpc3d": {"pretrain": PRETRAIN},
        "frozen": {"pretrain": PRETRAIN, "frozen": True, "learning_rate": 0.5, "overrides": {"batch_size": 4}},
        "given": {"weights": "unet_brats"},
    },
    "tune": {"count": 4, "replicate": 1, "values": [0.001, 0.01]},
}  # fmt: skip


def runs_of(**changes: Any) -> dict[str, PlannedRun]:
    return {run.key: run for run in planned_runs(parse_study({**STUDY, **changes}))}


def test_the_grid_is_whole_and_in_order() -> None:
    runs = runs_of()
    kinds = [run.kind for run in runs.values()]
    assert (kinds.count("pretrain"), kinds.count("tune"), kinds.count("finetune")) == (2, 3 * 2, 5 * 2 * 2)
    order = list(runs)
    assert order[:3] == ["pretrain-cpc3d-seed1", "tune-scratch-lr0.001", "tune-scratch-lr0.01"]
    assert order.index("pretrain-cpc3d-seed0") == 7, "the other replicate's comes when its fine-tunings need it"
    replicates = [run.replicate for run in runs.values() if run.kind == "finetune"]
    assert replicates == sorted(replicates), "a study that is stopped has whole replicates"
    for number, run in enumerate(runs.values()):
        for needed in (*run.tuned_by, *([run.start] if run.start else [])):
            assert order.index(needed) < number


def test_names_and_overrides_of_a_run() -> None:
    runs = runs_of()
    run = runs["finetune-frozen-all-seed21"]
    assert (run.run_name, run.learning_rate, run.tuned_by) == ("frozen-all-seed21-lr0.5", 0.5, ())
    assert run.overrides == {
        "steps": 100, "scores::metrics": ["dice"], "batch_size": 4, "num_patients": "all", "subset_seed": 11,
        "seed": 21, "arm": "frozen", "freeze_steps": 100,
    }  # fmt: skip
    assert (run.start, run.weights, run.count, run.replicate) == ("pretrain-cpc3d-seed1", None, "all", 1)
    tuned = runs["finetune-cpc3d-4-seed21"]
    tried = runs["tune-cpc3d-lr0.01"]
    assert (tuned.learning_rate, tuned.run_name) == (None, "cpc3d-4-seed21")
    assert tuned.tuned_by == ("tune-cpc3d-lr0.001", "tune-cpc3d-lr0.01")
    assert tried.run_name == f"{tuned.run_name}-lr0.01", "the winner of the tuning is the grid's run"
    assert tried.overrides == tuned.overrides
    assert runs["finetune-given-4-seed0"].weights == "unet_brats"


def test_a_pretraining_and_who_shares_it() -> None:
    runs = runs_of()
    run = runs["pretrain-cpc3d-seed1"]
    assert (run.run_name, run.bundle, run.count, run.budget) == ("cpc3d-seed1", "cpc3d", None, "")
    assert (run.overrides["seed"], run.overrides["batch_size"], run.overrides["crop_size"]) == (1, 2, [60, 78, 48])
    assert "arm" not in run.overrides, "cpc3d's config has no such key"
    assert (run.steps, run.examples) == (600, 1200)
    supervised = {"scratch": {}, "s": {"pretrain": {"bundle": "unet_brats"}}}
    assert runs_of(arms=supervised)["pretrain-s-seed0"].overrides == {"seed": 0, "arm": "s"}


def test_budgets_carry_a_tag_where_they_differ() -> None:
    runs = runs_of()
    tags = {run.arm: (run.steps, run.examples, run.budget) for run in runs.values() if run.kind == "finetune"}
    assert tags == {
        "scratch": (100, 200, ""), "long": (300, 600, "300 steps"), "cpc3d": (100, 200, ""),
        "frozen": (100, 400, "100 steps, 400 examples"), "given": (100, 200, ""),
    }  # fmt: skip
    assert runs["finetune-long-4-seed0"].overrides["steps"] == 300
    assert runs["finetune-long-4-seed0"].tuned_by == ("tune-scratch-lr0.001", "tune-scratch-lr0.01")


def test_without_tuning_the_rate_is_the_bundles_own() -> None:
    runs = runs_of(tune=None)
    assert (runs["finetune-scratch-4-seed0"].learning_rate, runs["finetune-long-4-seed0"].learning_rate) == (
        0.002,
        0.002,
    )
    assert runs["finetune-scratch-4-seed0"].run_name == "scratch-4-seed0-lr0.002"


def test_variants_are_tuned_in_the_first_and_named() -> None:
    runs = runs_of(variants={"small": {"filters": [8, 16]}, "large": {"filters": [8, 64]}})
    assert next(key for key in runs if key.startswith("tune-")) == "tune-small-scratch-lr0.001"
    run = runs["finetune-large-cpc3d-4-seed0"]
    assert run.tuned_by == ("tune-small-cpc3d-lr0.001", "tune-small-cpc3d-lr0.01")
    assert (run.run_name, run.overrides["filters"], run.variant) == ("large-cpc3d-4-seed0", [8, 64], "large")
    assert len([run for run in runs.values() if run.kind == "pretrain"]) == 2, "a pre-training serves all variants"


def test_two_runs_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 runs named 'finetune-a-b-c-4-seed0'"):
        runs_of(arms={"c": {}, "b-c": {}}, reference="c", variants={"a-b": {}, "a": {}}, tune=None)


def test_what_the_bundle_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"arms::scratch: 'steps' must be a whole number of at least 1; found 1\.5;"):
        runs_of(downstream={"bundle": "unet_hippocampus", "overrides": {"steps": 1.5}})
    with pytest.raises(ValueError, match=r"arms::scratch: the key 'a::b::c' must lead to a place"):
        runs_of(downstream={"bundle": "unet_hippocampus", "overrides": {"a::b::c": 1}})
    frozen = {"scratch": {}, "f": {"weights": "w", "frozen": True}}
    with pytest.raises(ValueError, match="arms::f::frozen must be of a bundle with the key 'freeze_steps'"):
        runs_of(downstream={"bundle": "cpc3d"}, arms=frozen, tune=None)


def test_overrides_of_the_command_line() -> None:
    study = parse_study(STUDY)
    changed = with_overrides(study, {"steps": 7, "precision": "fp32"})
    assert changed.overrides == {"steps": 7, "scores::metrics": ["dice"], "precision": "fp32"}
    assert parse_study(changed.raw) == changed, "the study file in the study's folder says what was run"
    assert with_overrides(study, {}) is study
    for key, place in {"batch_size": "arms::frozen::overrides", "learning_rate": "tune"}.items():
        with pytest.raises(ValueError, match=f"found '{key}', which {place} sets"):
            with_overrides(study, {key: 1})
    with pytest.raises(ValueError, match="'seed'; state it by seeds"):
        with_overrides(study, {"seed": 1})


def test_planning_twice_is_equal() -> None:
    assert runs_of() == runs_of()


def test_a_chosen_pair_has_one_budget() -> None:
    arms = {**STUDY["arms"], "given": {"weights": "unet_brats", "against": "cpc3d"}}
    assert list(runs_of(arms=arms)) == list(runs_of()), "a comparison is no run"
    arms["given"]["against"] = "long"
    words = "arms::given::against must be an arm with the same budget; found 'long' with 300 steps, where given has the"
    with pytest.raises(ValueError, match=words):
        runs_of(arms=arms)
