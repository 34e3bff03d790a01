"""What arms cost."""

from dataclasses import replace

from reported import rich

from medvol.study.reporting.spending import budget_text, pretraining_text


def test_budgets():
    assert budget_text(rich(), "cpc3d", 4, "") == "600 steps, 1200 examples"
    assert budget_text(rich(), "scratch-x3", "all", "") == "1800 steps, 3600 examples (another budget)"
    assert budget_text(rich(), "cpc3d", 99, "") == "-"


def test_another_tag_is_told():
    runs = tuple(replace(run, budget="batches of 8") for run in rich().plan.runs)
    found = replace(rich(), collected=replace(rich().collected, plan=replace(rich().plan, runs=runs)))
    assert budget_text(found, "cpc3d", 4, "") == "600 steps, 1200 examples (another budget: batches of 8)"


def test_pretraining():
    assert pretraining_text(rich(), "cpc3d") == "602 steps, 1204 examples, 2 min 0 s"
    assert pretraining_text(rich(), "scratch") == "none"
    arm = replace(rich().study.arms["scratch"], weights="unet_brats")
    study = replace(rich().study, arms={**rich().study.arms, "scratch": arm})
    assert pretraining_text(replace(rich(), collected=replace(rich().collected, study=study)), "scratch") == (
        "given weights: unet_brats"
    )
