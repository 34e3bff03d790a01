"""The beginning of a report."""

from dataclasses import replace

from reported import failed, poor, rich

from medvol.study.reporting.records import RunRecord
from medvol.study.reporting.summary import answer, claims, main_verdicts, notices, overview


def test_the_answer_names_what_helps():
    assert answer(rich()) == "Compared with scratch: cpc3d helps with 4 and all labelled patients; no arm harms."


def test_words_are_counted():
    verdicts = [replace(v, word=word) for v, word in zip(rich().verdicts, ["harms", "no evidence"], strict=False)]
    text = answer(replace(rich(), verdicts=verdicts))
    assert "no arm helps; cpc3d harms with 4 labelled patients; 1 of 2 comparisons shows no evidence" in text


def test_few_seeds_and_lone_arms_are_not_judged():
    assert answer(failed()) == "Nothing is judged yet: 1 of 1 comparison."
    assert "Nothing to judge" in answer(poor())
    assert overview(poor()) is None


def test_nothing_is_denied_that_rests_on_what_is_not_judged():
    verdicts = [replace(v, word=word) for v, word in zip(rich().verdicts, ["not judged", "no evidence"], strict=False)]
    assert answer(replace(rich(), verdicts=verdicts)) == (
        "Compared with scratch: 1 of 2 comparisons shows no evidence of a difference; 1 of 2 comparisons is not judged."
    )
    verdicts[1] = replace(verdicts[1], word="harms")
    assert "scratch: cpc3d harms with all labelled patients; 1 of 2" in answer(replace(rich(), verdicts=verdicts))


def test_all_carries_its_number_where_it_is_known():
    known = replace(rich(), collected=replace(rich().collected, labelled=16))
    assert "helps with 4 and all (16) labelled patients" in answer(known)
    assert claims(known)[1].group == "Compared with scratch: all (16) labelled patients"
    assert overview(known).columns[-1] == "all (16)"


def test_an_unfinished_study_says_so_first():
    texts = [notice.text for notice in notices(poor())]
    assert texts[0] == "1 of 2 runs finished (1 not finished yet); everything below is of those alone:"
    assert "synthetic" in texts[1]
    (notice,) = notices(failed())
    assert "11 of 12" in notice.text or "failed" in notice.text
    assert any("the disk is full" in item for item in notice.items)


def test_a_finished_study_of_real_data_has_no_notice():
    records = {key: replace(record, passport={}) for key, record in rich().records.items()}
    assert notices(replace(rich(), records=records)) == ()


def test_a_pretraining_on_synthetic_data_leaves_the_scores_real():
    findings = rich()
    kinds = {run.key: run.kind for run in findings.plan.runs}
    assert {"pretrain", "finetune"} <= set(kinds.values())

    def noted(simulated):
        records = {key: RunRecord(key, {}, {"data": {"synthetic": kind in simulated}}) for key, kind in kinds.items()}
        return [notice.text for notice in notices(replace(findings, records=records))]

    assert noted([]) == []
    assert noted(["pretrain"]) == ["cpc3d: pre-trained on synthetic data; all scores are of the study's own images."]
    (text,) = noted(["pretrain", "finetune"])
    assert text.startswith("the data are synthetic")


def test_every_comparison_of_the_main_score_is_a_claim():
    found = claims(rich())
    assert len(found) == len(main_verdicts(rich())) == sum(v.role == "main" for v in rich().verdicts)
    assert found[0].group == "Compared with scratch: 4 labelled patients"
    assert any("scratch-x3, which trains longer from scratch" in claim.group for claim in found)
    assert not any(claim.folded for claim in found)


def test_of_many_claims_those_against_the_reference_stay_open():
    many = replace(rich(), verdicts=tuple(rich().verdicts) * 3)
    assert {claim.folded for claim in claims(many) if "scratch-x3" in claim.group} == {True}
    assert {claim.folded for claim in claims(many) if "scratch-x3" not in claim.group} == {False}


def test_the_overview_has_a_word_in_every_cell():
    table = overview(rich())
    assert table.columns == ("arm", "against", "4", "all")
    assert ("cpc3d", "scratch", "▲ helps", "▲ helps") in table.rows
