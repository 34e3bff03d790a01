"""The report as Markdown."""

from reported import EVIL, document, png

from medvol.study.reporting.document import Code, Document, Picture, Section, Table
from medvol.study.reporting.markdown import render


def _with(*parts) -> str:
    return render(Document("t", "q", "a", (), (), None, (Section("s", "S", parts),)))


def test_nothing_is_markup_by_accident():
    text = render(document(EVIL))
    body = text.replace("\n\n```\n" + EVIL + "\n```", "")
    assert "<script>" not in body
    assert "\\<script\\>" in body


def test_a_table_keeps_its_columns():
    lines = _with(Table("cap", ("a|b", "n"), (("x|y", "1\n2"),))).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows == ["| a\\|b | n |", "| --- | ---: |", "| x\\|y | 1 2 |"]


def test_every_verdict_has_its_word():
    text = render(document())
    assert [word in text for word in ("▲ **helps**", "▼ **harms**", "● **no evidence**", "○ **not judged**")] == [
        True
    ] * 4


def test_images_of_patients_stay_out():
    shown = Picture("plot", png(1, 1), "alt", "cap")
    hidden = Picture("best_case", png(1, 1), "alt", "case 7", private=True)
    text = _with(shown, hidden)
    assert "![alt](plot.png)" in text
    assert "case 7" not in text


def test_code_may_hold_fences():
    assert "\n````\na\n```\nb\n````" in _with(Code("file", "a\n```\nb"))
