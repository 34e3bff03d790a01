import pytest

from medvol.data.layouts.columns import identifier, is_known, read_table, require_column, typed_columns


def write(path, text):
    path.write_text(text)
    return path


def test_separators_and_spaces(tmp_path):
    rows = [{"a": "1", "b c": "x y"}]
    assert read_table(write(tmp_path / "t.csv", "\ufeffa, b c\n1, x y\n\n")) == rows
    assert read_table(write(tmp_path / "t.tsv", "a\tb c\n1\tx y\n")) == rows


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "different column names"),
        ("a,a\n1,2\n", "different column names"),
        ("a,b\n1\n", "must have 2 values; line 2 has 1"),
    ],
)
def test_no_table(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        read_table(write(tmp_path / "t.csv", text))


def test_other_bytes_and_no_file(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_table(tmp_path / "no.csv")


def test_types():
    rows = [
        {"n": "1", "f": "1.5", "id": "007", "mix": "3", "b": True, "bad": "inf", "e": "1e3", "dot": "."},
        {"n": "-2", "f": "2", "id": "8", "mix": "89+", "b": False, "bad": "nan", "e": "n/a", "dot": "5"},
    ]
    assert typed_columns(rows, list(rows[0])) == [
        {"n": 1, "f": 1.5, "id": "007", "mix": "3", "b": True, "bad": "inf", "e": 1000.0, "dot": "."},
        {"n": -2, "f": 2, "id": "8", "mix": "89+", "b": False, "dot": "5"},
    ]
    assert typed_columns([{"x": float("nan")}, {"x": 2}], ["x"]) == [{}, {"x": 2}]
    assert typed_columns([{}, {"x": None}], ["x"]) == [{}, {}]


def test_names():
    assert [identifier(name) for name in ("age", "Age (y)", "3T", "%")] == ["age", "Age_y", "c_3T", "column"]
    with pytest.raises(ValueError, match="found a b, a-b"):
        typed_columns([], ["a b", "a-b"])
    assert not is_known("NaN")
    with pytest.raises(ValueError, match="did you mean 'age'"):
        require_column([{"age": "1"}], "agee", type("F", (), {"name": "t.csv"}))
