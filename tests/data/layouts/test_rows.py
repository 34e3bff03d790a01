import gzip

import pandas as pd
import pytest

from medvol.data.layouts.rows import check_flags, columns, make_items, read_table, sexes, sort_into, states, years


def test_cells_stay_text_and_empty_ones_empty(tmp_path):
    (tmp_path / "t.csv").write_text("id,NA\n007,NA\n1e5,\n")
    frame = read_table(tmp_path, "demo", ("id",), "t.csv")
    assert frame["id"].tolist() == ["007", "1e5"]
    assert frame["NA"].tolist() == ["NA", ""]


def test_a_compressed_table_is_the_same_table(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfid\nA\n"))
    assert read_table(tmp_path, "demo", ("id",), "t.csv")["id"].tolist() == ["A"]


def test_a_missing_table_is_named_with_what_is_there(tmp_path):
    (tmp_path / "other.csv").touch()
    with pytest.raises(FileNotFoundError, match=r"needs the table t\.csv or u\.csv .* found other\.csv"):
        read_table(tmp_path, "demo", ("id",), "t.csv", "u.csv")


@pytest.mark.parametrize("content", [b"", b'a,b\n1,"2\n', b"a,b\n1,2,3,4\n5\n", b"\xff\xfe\xff,b\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"table .*t\.csv must"):
        read_table(tmp_path, "demo", ("id",), "t.csv")


def test_a_broken_archive_is_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id\n" + b"A\n" * 50)[:-9])
    with pytest.raises(ValueError, match="get it again"):
        read_table(tmp_path, "demo", ("id",), "t.csv")


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="missing c"):
        read_table(tmp_path, "demo", ("a", "c"), "t.csv")


def test_a_strange_state_is_named():
    frame = pd.DataFrame({"Edema": ["1", "", "2"]})
    with pytest.raises(ValueError, match="'Edema' in the table must be empty or one of 0, 1; found 2"):
        states(frame, {"0": "absent", "1": "present"}, "the table")


def test_ages_and_sexes_of_all_tables():
    ages = years(pd.Series(["58", "058Y", "006M", "026W", "73.0", "412", "1-5 y", ""]))
    assert ages[:5].tolist() == [58, 58, 0.5, 0.5, 73]
    assert ages[5:].isna().all()
    assert sexes(pd.Series(["Male", "female", "F", "O", "Unknown", ""])).tolist() == ["M", "F", "F", "", "", ""]


def test_unknown_columns_are_left_out():
    found = columns(view=pd.Series(["PA", ""]), age=pd.Series([7.5, float("nan")]))
    assert found == [{"view": "PA", "age": 7.5}, {}]


def test_images_are_looked_for_before_the_import_goes_on(tmp_path, write_image):
    items = make_items(image=[f"{i}.png" for i in range(101)], patient=["P"] * 101)
    with pytest.raises(FileNotFoundError, match=r"none of the first 100 is, for instance 0\.png"):
        sort_into(tmp_path, items, ["training"] * 101, expected="here", partial=False)
    write_image(tmp_path / "99.png")
    sections = sort_into(tmp_path, items, ["training"] * 101, expected="here", partial=False)
    assert len(sections["training"]) == 101  # verify names the missing ones
    sections = sort_into(tmp_path, items, ["training"] * 101, expected="here", partial=True)
    assert [item["image"] for item in sections["training"]] == ["99.png"]


def test_a_flag_is_true_or_false(tmp_path):
    with pytest.raises(ValueError, match="the option reports must be true or false; found 'False'"):
        check_flags(reports="False")
    with pytest.raises(ValueError, match="the option partial must be"):
        sort_into(tmp_path, [], [], expected="here", partial="no")


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must list images"):
        sort_into(tmp_path, [], [], expected="here", partial=False)
