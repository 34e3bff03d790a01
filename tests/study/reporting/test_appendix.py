"""The end of a report."""

import json
from dataclasses import replace

from reported import failed, poor, rich

from medvol.study.reporting.appendix import published_section, reading_section, recipe_section
from medvol.study.reporting.document import Code, Table


def test_published_tables_stand_apart_with_their_source():
    warning, ours, source, table = published_section(rich()).parts
    assert "enter no comparison" in warning.text
    assert ours.caption.startswith("Ours: Dice")
    assert "Doe et al. 2020, Table 1" in source.text
    assert table.caption == "Published, not ours: fractions"
    assert table.rows == (("scratch", ".42"),)
    assert table.note == "other split"
    assert published_section(poor()).parts == ()


def test_five_sentences():
    (prose,) = reading_section(rich()).parts
    assert len(prose.items) == 5
    assert "below its margin of 0.01" in " ".join(prose.items)


def test_another_person_can_run_it_again():
    parts = recipe_section(rich()).parts
    codes = [part for part in parts if isinstance(part, Code)]
    assert "python -m medvol study run study.json" in codes[0].text
    assert json.loads(codes[1].text) == rich().study.raw
    assert '\n "counts": [4, "all"],\n' in codes[1].text
    assert max(map(len, codes[1].text.splitlines())) <= 100
    facts = dict(next(part for part in parts if isinstance(part, Table) and part.columns == ("what", "value")).rows)
    assert facts["finished on"] == "2026-11-22"
    assert facts["machine"] == "a processor, 2 cores, 2 threads"
    assert facts["torch"] == "2.14.1"
    assert facts["data: hippocampus"].startswith("hash da7ada7a")


def test_a_long_entry_of_the_study_file_is_broken():
    raw = {"a": list(range(60)), "b": {"c": ["x" * 60, "größe" * 20], "d": {}}, "e": None}
    text = recipe_section(_with(raw)).parts[3].text
    assert json.loads(text) == raw
    assert len(text.splitlines()) > 60
    assert '\n  "d": {}\n },\n "e": null\n}' in text


def _with(raw):
    return replace(rich(), collected=replace(rich().collected, study=replace(rich().study, raw=raw)))


def test_no_place_of_this_machine_is_told():
    collected = replace(rich().collected, plan=replace(rich().plan, dataset_dir="/home/somebody/data"))
    commands = recipe_section(replace(rich(), collected=collected)).parts[0].text
    assert "/home" not in commands
    assert "--dataset_dir <folder of the images>" in commands


def test_every_run_has_a_row_with_its_state():
    table = recipe_section(failed()).parts[-1]
    assert len(table.rows) == len(failed().plan.runs)
    assert {row[2] for row in table.rows} == {"done", "failed"}
    assert "1 failed" in table.caption


def test_a_run_that_stands_for_two_counts_once_in_the_time():
    times = {"run_dir": ["a", "a", "b", ""], "seconds": [100.0, 160.0, 145.0, float("nan")]}
    runs = rich().collected.runs.head(4).assign(**times)
    parts = recipe_section(replace(rich(), collected=replace(rich().collected, runs=runs))).parts
    facts = dict(next(part for part in parts if isinstance(part, Table) and part.columns == ("what", "value")).rows)
    assert facts["time of all runs"] == "5 min 5 s; of runs that were stopped, what they took since"
