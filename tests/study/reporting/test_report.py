"""The whole report: every file or none, and the same again."""

import csv
import html
import json

import pytest
from reported import png
from studies import write_study_folder

from medvol.study.reporting import curve_sections, patient_sections, report, score_sections
from medvol.study.reporting.document import Document, Picture, Section
from medvol.study.reporting.findings import find
from medvol.study.reporting.report import write_report

TABLES = ["convergence", "equivalence", "robustness", "runs", "scores", "verdicts"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_study_folder(
        tmp_path_factory.mktemp("study"), counts=(4,), overlays=True, effect=0.05, interaction_sd=0.0, seed_sd=0.001
    )


@pytest.fixture(scope="module")
def written(folder):
    """A report whose plots are not drawn; those are the browser test's and test_plots.py's."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (score_sections, curve_sections, patient_sections):
            for name in [name for name in vars(module) if name.startswith("draw_")]:
                patch.setattr(module, name, lambda *args: png(2, 1))
        return write_report(folder).parent


def test_all_files_are_there(written):
    names = {path.name for path in written.iterdir()}
    assert names >= {"report.html", "report.md", "report.json", *(f"{name}.csv" for name in TABLES)}
    assert {name for name in names if name.endswith(".png")} == {
        "differences.png", "labels.png", "curves.png", "patients.png",
    }  # fmt: skip


def test_the_verdict_comes_first_and_is_the_same_everywhere(written):
    content = json.loads((written / "report.json").read_text(encoding="utf-8"))
    page = (written / "report.html").read_text(encoding="utf-8")
    sentence = content["verdicts"][0]["sentence"]
    assert content["verdicts"][0]["word"] == "helps"
    assert page.index(html.escape(sentence)) < page.index("<h2>")
    with (written / "verdicts.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["sentence"] == sentence
    assert content["answer"] in page


def test_the_order_of_the_page(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    places = [page.index(f'<section id="{name}"') for name in (
        "verdict", "differences", "scores", "labels", "curves", "patients", "given", "cases", "recipe", "reading"
    )]  # fmt: skip
    assert places == sorted(places)


def test_images_of_patients_are_in_the_page_alone(written):
    assert "best case: case_1_0" in (written / "report.html").read_text(encoding="utf-8")
    assert not list(written.glob("best*"))
    assert "best case" not in (written / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def findings(folder):
    return find(folder)


@pytest.fixture
def quick(monkeypatch, findings):
    """A report without plots: what is written, and how."""
    kept = {"pictures": ("curves", "curves1")}

    def compose(findings, images=True):
        kept["images"] = images
        pictures = tuple(Picture(name, b"picture", "", "") for name in kept["pictures"])
        return Document("t", "q", "a", (), (), None, (Section("s", "S", pictures),))

    monkeypatch.setattr(report, "compose", compose)
    monkeypatch.setattr(report, "find", lambda folder: findings)
    return kept


def test_equal_results_give_equal_bytes(folder, tmp_path, quick):
    first, second = (
        {p.name: p.read_bytes() for p in write_report(folder, tmp_path / n).parent.iterdir()} for n in "ab"
    )
    assert first == second


def test_a_plot_of_the_report_before_goes_and_what_others_put_there_stays(folder, tmp_path, quick):
    write_report(folder, tmp_path, images=False)
    assert quick["images"] is False
    (tmp_path / "curves7.png").write_bytes(b"mine")
    quick["pictures"] = ("curves",)
    write_report(folder, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["curves.png", "curves7.png"]


def test_all_files_or_none(folder, tmp_path, quick, monkeypatch):
    write_report(folder, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    quick["pictures"] = ("other",)
    (tmp_path / "other.png").mkdir()
    with pytest.raises(OSError, match=r"other\.png"):
        write_report(folder, tmp_path)
    (tmp_path / "other.png").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_places_that_cannot_be_written_to(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold study\.json"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder for the report; found the file"):
        write_report(folder, tmp_path / "file")


def test_numbers_that_are_none_are_null():
    assert report._plain({"a": float("nan"), "b": (1, float("inf")), "c": "x"}) == {"a": None, "b": [1, None], "c": "x"}
