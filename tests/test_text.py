"""Plain text for people: lengths, counts, lists and tables."""

import pytest

from qwennb.text import amount, first_words, join_some, plural, shorten, table


def test_a_text_is_cut_to_the_length_that_is_asked_for():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert first_words("  two\n\nwords and more ", 10) == "two words…"


def test_a_count_stands_with_its_noun():
    assert [plural(n, "answer") for n in (0, 1, 1200)] == ["0 answers", "1 answer", "1,200 answers"]
    assert [plural(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]


def test_a_long_list_says_how_many_more_there_are():
    assert join_some(["a", "b"], 2) == "a, b"
    assert join_some(["a", "b", "c"], 2) == "a, b, and 1 more"
    assert join_some(list("abcd"), 2, "; ", last=" and ") == "a; b and 2 more"
    assert join_some([], 2) == ""


@pytest.mark.parametrize(
    ("size", "said"), [(999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3e9, "3.0 GB")]
)
def test_bytes_are_said_as_people_read_them(size, said):
    assert amount(size) == said


def test_bytes_may_be_counted_in_powers_of_two():
    assert [amount(n, kilo=1024) for n in (1023, 2048, 20 * 2**20, 2**31)] == [
        "1023 bytes", "2.0 kB", "20.0 MB", "2.0 GB"
    ]  # fmt: skip


def test_a_table_is_as_wide_as_its_cells_and_each_row_is_one_line():
    rows = [("name", "answers"), ("a\x1b[2Jb\nc", "7"), ("a long name", "1,200")]
    assert table(rows, right=(1,)) == [
        "  name         answers",
        "  ab c               7",
        "  a long name    1,200",
    ]
    assert table([("a", ""), ("bc", "d")], indent="") == ["a", "bc  d"]
    assert table([]) == []
