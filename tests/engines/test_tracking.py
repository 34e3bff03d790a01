"""medvol.engines.tracking"""

from __future__ import annotations

from medvol.engines.tracking import CsvLog, Row, read_log


def test_numbers_survive_exactly(tmp_path):
    rows = [Row(1, 2, "loss", 0.1 + 0.2), Row(1, 2, 'odd, "name"', float("inf"))]
    log = CsvLog(tmp_path / "log.csv")
    log.start(0)
    log.write(rows)
    assert read_log(tmp_path / "log.csv") == rows  # readable while the training goes on
    log.close()
    log.write(rows)  # after the end nothing is written
    assert read_log(tmp_path / "log.csv") == rows


def test_start_cuts_later_and_torn_rows(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,examples,name,value\n1,2,loss,0.5\n2,4,loss,0.25\n3,6,loss,0.125\n3,6,me")
    log = CsvLog(path)
    assert log.start(2) == [Row(1, 2, "loss", 0.5), Row(2, 4, "loss", 0.25)]
    log.write([Row(3, 6, "loss", 0.1)])
    log.close()
    assert path.read_text() == "step,examples,name,value\n1,2,loss,0.5\n2,4,loss,0.25\n3,6,loss,0.1\n"
    again = CsvLog(path)
    assert again.start(0) == []
    again.close()
    assert path.read_text() == "step,examples,name,value\n"


def test_no_log_yet(tmp_path):
    assert read_log(tmp_path / "log.csv") == []
