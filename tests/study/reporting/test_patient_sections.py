"""Sections about single patients."""

from dataclasses import replace

import numpy as np
import pytest
from reported import failed, poor, rich
from studies import write_study_folder

from medvol.study.reporting import patient_sections
from medvol.study.reporting.findings import find
from medvol.study.reporting.patient_sections import cases_section, main_arm, patients_section
from medvol.study.tables.cubes import cube


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    kept = []
    monkeypatch.setattr(patient_sections, "draw_pairs", lambda *args: kept.append(args) or b"")
    return kept


def test_a_dot_per_patient(drawn):
    section = patients_section(rich())
    assert [picture.name for picture in section.parts] == ["patients"]  # an arm of another budget has none
    ((panels, arm, reference, _),) = drawn
    title, across, up = panels[0]
    assert (title, arm, reference) == ("4 labelled patients", "cpc3d", "scratch")
    values = [cube(rich().collected, rich().study.scores[0], name, 4).values.mean(0) for name in ("scratch", "cpc3d")]
    assert np.array_equal(across, values[0])
    assert np.array_equal(up, values[1])
    assert "6 of 6 test patients better with cpc3d" in section.parts[0].alt


def test_two_seeds_still_have_patients():
    assert len(patients_section(failed()).parts) == 1
    assert patients_section(poor()).parts == ()


def test_cases_of_the_reference_and_the_main_arm(tmp_path):
    found = find(write_study_folder(tmp_path, counts=(4,), seeds=(5, 6), overlays=True))
    prose, *pictures = cases_section(found).parts
    assert main_arm(found) == "cpc3d"
    assert "scratch and cpc3d, first replicate, 4 labelled patients" in prose.text
    assert [picture.caption.split(":")[0] for picture in pictures[:2]] == ["scratch, best case", "cpc3d, best case"]
    scores = found.collected.scores.query(
        "arm == 'cpc3d' and replicate == 0 and case == 'case_1_0' and region == 'mean'"
    )
    score = f"case_1_0, Dice {scores['value'].item():.3f}"
    assert pictures[1].caption.endswith(f"{score}. Filled: prediction; line: reference.")


def test_pictures_say_what_their_colors_and_sides_are(tmp_path):
    found = find(write_study_folder(tmp_path, counts=(4,), seeds=(5, 6), overlays=True))
    passport = {"data": {"label_map": {"background": 0, "tumor": 1}}, "architecture": {"spatial_dims": 3}}
    records = {key: replace(record, passport=passport) for key, record in found.records.items()}
    caption = cases_section(replace(found, records=records)).parts[-1].caption
    assert "orange: tumor. The left of the body is on the left" in caption


def test_no_pictures_no_section():
    assert cases_section(rich()).parts == ()
    assert main_arm(poor()) is None
