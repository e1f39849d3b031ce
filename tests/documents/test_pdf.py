"""Papers of many kinds, and what each must say."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from qwennb.documents import find_place, read_document
from qwennb.errors import MediaError
from tests.documents import papers


def say(paper, **options):
    return read_document(paper(**options), "paper.pdf")


def sentences(start, end):
    """The numbers that stand before sentences of `papers.prose`, in order."""
    return list(range(start, end))


def numbers(text):
    return [int(number) for number in re.findall(r"\((\d+)\)", text)]


@pytest.mark.parametrize(
    ("paper", "end"),
    [
        (papers.two_columns, 36),
        (papers.three_columns_under_a_wide_table, 30),
        (papers.turned_page, 8),
        (papers.sideways_table, 4),
        (papers.landscape, 10),
        (papers.turned_words, 8),
        (papers.tiny_text, 30),
        (papers.broken_index, 36),
        (papers.locked_against_printing, 4),
    ],
)
def test_sentences_are_read_in_the_order_in_which_people_read_them(paper, end):
    assert numbers(say(paper).pages[0].text) == sentences(0, end)


@pytest.mark.parametrize(
    ("paper", "rows"),
    [
        (papers.table_with_rules, ["Port,Ships,Tons,Share", "Riga,112,30 240,41.5 %", "Danzig,87,21 100,28.9 %", "Memel,64,,21.6 %", "Other,29,5 870,8.0 %"]),
        (papers.three_columns_under_a_wide_table, ["Year,Ships,Dues", "1881,412,9 310", "1882,455,10 022"]),
        (papers.sideways_table, ["Berth,Length,Depth", "North,120,7.5", "South,95,6.0"]),
        (papers.long_cells, ["Berth,Remarks,Depth", "North,Dredged in spring; to be dredged again,7.5", "South,None,6.0", "East,Closed since the storm; no crane,5.5"]),
        (papers.table_of_boxes, ["Ship,Flag,Tons", "Aurora,Riga,210", "Hansa,Memel,340"]),
        (papers.table_of_boxes, ["Dues,Paid", "12,yes", "15,no"]),
    ],
)  # fmt: skip
def test_a_table_with_rules_is_a_markdown_table_where_it_stands(paper, rows):
    cells = [[cell.replace(" ", ",") if cell[0:1].isdigit() and "%" not in cell else cell.replace(";", ",") for cell in row.split(",")] for row in rows]  # fmt: skip
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    text = say(paper).pages[0].text
    assert "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]) in text
    assert text.count(cells[-1][1]) == 1  # and its words stand nowhere else


@pytest.mark.parametrize(
    ("paper", "said"),
    [
        (papers.table_without_rules, "Receivables 3,310 2,875\n"),
        (papers.invoice, "Oak planks 40 2.50 100.00\n"),
        (papers.invoice, "Total 135.00"),
        (papers.footnotes, "anew1 and paid for by the guild."),
        (papers.footnotes, "1 Minutes of the council, 4 March 1882, folio 17."),
        (papers.turned_words, "Thousands of tons"),
        (papers.turned_words, "DRAFT"),
        (papers.scan_with_hidden_text, "\n".join(papers.SENTENCES)),
        (papers.ligatures, "The efficient office offered five floors.\n“Quoted”, it’s said – and so on …"),
        (papers.right_to_left, "שלום עולם\nהנמל נבנה מחדש"),
        (papers.chinese_and_japanese, "港口在春天疏浚，码头重建。\n船只大多运送木材。"),
        (papers.chinese_and_japanese, "港は春に浚渫された。\n多くの船が木材を運んだ。"),
        (papers.chinese_and_japanese, "항구는 봄에 준설되었다."),
        (papers.hyphenated, "was reorgan-\nised in the spring, and the well-\nknown quay was re-\nbuilt"),
        (papers.headers_and_footers, "Harbour Report 1882"),
        (papers.headers_and_footers, "Page 1 of 6"),
        (papers.form_fields, "Ship's name:\nAurora\n"),
        (papers.form_fields, "Insured:\n[x]"),
        (papers.annotations, "[note: Check this figure with the guild]"),
        (papers.overlapping, "Struck twice to look bold\n"),
        (papers.overlapping, "The new sum of 250 marks"),
        (papers.code_listing, "def dues(ship):\n    if ship.tons > 100:\n        return ship.tons * 0.04\n    return 4.0"),
        (papers.contents_and_lists, "1.1 The quay ............................................................ 5\n"),
        (papers.contents_and_lists, "• Timber from the north\n    – oak\n    – pine\n• Grain\n1. First, weigh."),
    ],
)  # fmt: skip
def test_a_paper_says(paper, said):
    assert said in say(paper).pages[0].text


def test_words_struck_twice_are_read_once():
    assert say(papers.overlapping).text().count("Struck") == 1


def test_a_page_without_text_that_shows_something_is_scanned():
    def scanned(paper):
        return [page.number for page in say(paper).pages if page.is_scanned]

    assert scanned(papers.scanned) == [1, 2]
    assert scanned(papers.mixed) == [2, 4]  # the third has a figure beside its text, the fifth is empty
    assert say(papers.mixed).pages[3].text == "4"
    assert scanned(papers.scan_with_hidden_text) == []
    assert scanned(papers.letters_drawn_as_curves) == [1]
    assert scanned(papers.damaged_words) == [2]
    assert scanned(papers.blank) == []


def test_a_word_broken_at_a_lines_end_is_found_whole():
    paper = say(papers.hyphenated)
    assert find_place(paper, "was reorganised in the spring, and the well-known quay").line == 1
    assert find_place(paper, "rebuilt by the guild without interruption").line == 3


@pytest.mark.slow
def test_five_hundred_pages_keep_their_numbers():
    report = say(papers.long_report)
    assert [page.number for page in report.pages] == list(range(1, 501))
    assert all(f"On page {page.number} berth" in page.text for page in report.pages)
    assert len(report.text()) > 500_000
    place = find_place(report, "On page 212 berth 807 is named")
    assert (place.page, place.line) == (212, 3)


def test_chosen_pages_are_read_alone_also_of_ten_thousand():
    paper = read_document(papers.ten_thousand_pages(), "paper.pdf", pages=(9_999, 3))
    assert [page.number for page in paper.pages] == [9_999, 3]
    assert "Some words on the page" in paper.pages[0].text


@pytest.mark.parametrize(
    ("content", "pages", "said"),
    [
        (papers.locked(), None, "a.pdf is locked with a password; save it without one"),
        (papers.without_pages(), None, "a.pdf has no pages; give one that has"),
        (papers.blank(), (1, 4), "a.pdf has 1 pages; there is no page 4"),
        (papers.cut_off(), None, "a.pdf ends in the middle, as after a download that broke off; fetch it again"),
        (papers.ten_thousand_pages(), None, "a.pdf has 10,000 pages; at most 5,000 are read, so choose some with pages="),
    ],
)  # fmt: skip
def test_a_pdf_that_cannot_be_read_says_why(content, pages, said):
    with pytest.raises(MediaError) as error:
        read_document(content, "a.pdf", pages=pages)
    assert str(error.value) == said


@pytest.mark.parametrize("content", [b"%PDF-1.7\nnothing at all", b"%PDF-1.7\nnothing at all\n%%EOF\n"])
def test_a_pdf_with_nothing_in_it_is_told_to_be_none(content):
    with pytest.raises(MediaError, match=r"^a\.pdf is not a PDF that can be read \(.+\); print it to a new one$"):  # fmt: skip
        read_document(content, "a.pdf")


def test_what_follows_the_end_of_a_pdf_does_not_matter():
    assert read_document(papers.hyphenated() + b"\n<html>sent by a server</html>", "a.pdf").text()


def test_controls_and_marks_of_direction_stay_data():
    said = papers.one_line("left \u202eright \x1b[31mred\x07")
    assert read_document(said, "a.pdf").pages[0].text == "left \u202eright [31mred"


def test_many_threads_read_at_once():
    contents = [papers.one_line(f"Number {i}") for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        read = list(pool.map(lambda content: read_document(content, "a.pdf").pages[0].text, contents))
    assert read == [f"Number {i}" for i in range(12)]


@pytest.mark.parametrize(("library", "called"), [("pdf_oxide", "pdf-oxide"), ("pypdfium2", "pypdfium2")])
def test_without_its_libraries_a_pdf_says_what_to_type(library, called):
    code = f"""
import sys
sys.modules["{library}"] = None
from qwennb.documents import read_document
read_document(b"%PDF-1.7 %%EOF", "a.pdf")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"qwennb.errors.MediaError: the text of a.pdf needs {called}, which is not installed; "
        'type: pip install "qwennb[pdf]"'
    )
