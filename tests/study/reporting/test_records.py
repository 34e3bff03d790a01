"""What runs say about themselves."""

import json

from medvol.study.reporting.records import RunRecord, read_records


def _write(folder, key, state, passport=None):
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / f"{key}.json").write_text(state if isinstance(state, str) else json.dumps(state), "utf-8")
    if passport is not None:
        (folder / key).mkdir()
        (folder / key / "passport.json").write_text(passport, encoding="utf-8")


def test_state_and_passport_are_read_in_the_order_asked_for(tmp_path):
    _write(tmp_path, "a", {"run_dir": "a"}, json.dumps({"data": {"name": "phantom"}, "versions": {"torch": "2"}}))
    _write(tmp_path, "b", {"run_dir": None, "versions": {"torch": "1"}})
    found = read_records(tmp_path, ["b", "missing", "a"])
    assert list(found) == ["b", "a"]
    assert [found["a"].data["name"], found["b"].data] == ["phantom", {}]
    assert [found[key].versions["torch"] for key in "ab"] == ["2", "1"]


def test_files_that_are_cut_count_as_empty(tmp_path):
    _write(tmp_path, "a", {"run_dir": "a"}, '{"data": {"na')
    _write(tmp_path, "b", '{"run_')
    found = read_records(tmp_path, ["a", "b"])
    assert list(found) == ["a"]
    assert found["a"].data == found["a"].versions == {}


def test_a_machine_in_words():
    machine = {"processor": "a processor", "cores": 2, "torch_threads": 1}
    assert RunRecord("a", {"machine": machine}, {}).machine == "a processor, 2 cores, 1 thread"
    assert RunRecord("a", {}, {}).machine == ""
