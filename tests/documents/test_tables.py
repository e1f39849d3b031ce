"""CSV and Parquet: told as frames are, and refused in one sentence."""

from __future__ import annotations

import io

import polars as pl
import pytest

from qwennb.documents import frame_text, read_document
from qwennb.errors import MediaError

FRAME = pl.DataFrame(
    {"port": ["Riga", "Da|nzig", None], "ships": [112, 87, None], "share": [0.415, 2.0, 3.25]}
)


def parquet(frame):
    made = io.BytesIO()
    frame.write_parquet(made)
    return made.getvalue()


def test_a_csv_and_a_parquet_file_say_what_their_frame_says():
    for content, name in ((FRAME.write_csv().encode(), "a.csv"), (parquet(FRAME), "a.parquet")):
        read = read_document(content, name)
        assert (read.kind, read.text()) == (name[2:], frame_text(FRAME))


@pytest.mark.parametrize(
    "text", ["a;b\n1,5;2\n", "a\tb\n1,5\t2\n", "a|b\n1,5|2\n", '"a";"b, c, d, e"\n"1,5";2\n']
)
def test_the_separator_is_the_one_that_the_first_line_has_most_of(text):
    assert "1 rows × 2 columns" in read_document(text.encode(), "a.csv").text()


def test_a_csv_in_utf_16_is_read_too():
    assert "| 0 | Zürich |" in read_document("stadt\nZürich\n".encode("utf-16"), "a.csv").text()


def test_a_number_that_comes_late_does_not_change_what_a_column_is():
    text = "a\n" + "1\n" * 5_000 + "x\n"
    assert "columns: a: String" in read_document(text.encode(), "a.csv").text()


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"a,b\n1,2,3\n", "a.csv", "a.csv is no table that can be read (found more fields than defined in 'Schema'); name it .txt to give it as text"),
        (b"a" * 2_000_000, "a.csv", "a.csv has more than 10,000 columns or 1,000,000 characters in its first line; give it as text, or columns of it as a frame"),
        (b"," * 20_000, "a.csv", "a.csv has more than 10,000 columns or 1,000,000 characters in its first line; give it as text, or columns of it as a frame"),
        (b"caf\xe9\n", "a.csv", "a.csv is not UTF-8 (byte 0xE9 in line 1); save it as UTF-8"),
    ],
)  # fmt: skip
def test_a_csv_that_cannot_be_read_says_why(content, name, said):
    with pytest.raises(MediaError) as error:
        read_document(content, name)
    assert str(error.value) == said


def test_a_parquet_file_that_is_damaged_says_so():
    with pytest.raises(
        MediaError, match=r"^a\.parquet is no Parquet file that can be read \(.+\); write it anew$"
    ):
        read_document(parquet(FRAME)[:100], "a.parquet")
