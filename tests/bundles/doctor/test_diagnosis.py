from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.bundles.doctor import diagnosis as doctor
from medvol.bundles.doctor import hardware as doctor_hardware
from medvol.bundles.doctor import packages as doctor_packages
from medvol.bundles.doctor import places as doctor_places
from medvol.bundles.doctor.diagnosis import Diagnosis, diagnose, diagnosis_text

PARTS = (
    "python packages torchvision device bfloat16 threads memory shm "
    "cache disk temporary links runs mlflow variables network"
).split()


def test_every_part_is_looked_at_in_sentences_and_soon() -> None:
    start = time.perf_counter()
    found = diagnose()
    assert time.perf_counter() - start < 5
    assert set(PARTS) == {line.part for line in found}
    for line in found:
        assert line.text.endswith("."), line
        assert line.state in ("ok", "warning", "error")
        assert (line.remedy.endswith(".") or line.remedy.endswith("?")) if line.state != "ok" else True, line


def test_where_a_part_breaks_the_others_are_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off() -> None:
        yield Diagnosis("x", "ok", "So far.")
        raise OSError("no such luck.")

    monkeypatch.setattr(doctor_packages, "EXAMINATIONS", (("x", break_off), ("y", break_off)))
    found = diagnose()
    assert [line.part for line in found[:4]] == ["x", "x", "x", "y"]  # the second looks at "y"
    assert found[1].state == "warning"
    assert "OSError: no such luck)." in found[1].text
    assert found[-1].part == "network"


def test_a_library_that_cannot_be_imported_is_an_error_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "medvol.bundles.doctor.hardware", None)
    (error,) = (line for line in diagnose() if line.part == "hardware")
    assert error.state == "error"


def test_the_text_counts_and_fits() -> None:
    findings = [Diagnosis("a", "warning", "word " * 40, "Do it."), Diagnosis("b", "error", "y", "Z."), *[DONE] * 2]
    text = diagnosis_text(findings, 60)
    assert max(map(len, text.split("\n"))) <= 60
    assert text.endswith("2 ok, 1 warning, 1 error")
    assert "Do it." in text


DONE = Diagnosis("c", "ok", "Done.")


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    for module in (doctor_packages, doctor_hardware, doctor_places):
        monkeypatch.setattr(module, "EXAMINATIONS", (("c", lambda: iter([DONE])),))
    assert main(["doctor", "--json", str(tmp_path / "a.json")]) == 0
    assert "3 ok, 0 warnings, 0 errors" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text()) == [DONE.as_dict()] * 3
    bad = Diagnosis("c", "error", "Bad.", "Mend it.")
    monkeypatch.setattr(doctor_places, "EXAMINATIONS", (("c", lambda: iter([bad])),))
    assert main(["doctor"]) == 1
    assert doctor.Diagnosis is Diagnosis
