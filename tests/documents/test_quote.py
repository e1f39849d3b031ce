"""Where a quote stands: what is forgiven, and what is not."""

from __future__ import annotations

import pytest

from qwennb.documents import DocumentText, PageText, Place, find_place


def document(*pages, kind="pdf"):
    return DocumentText(kind, "report.pdf", tuple(PageText(i, "", text) for i, text in enumerate(pages, 1)))


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("the  profit\n rose by 4 %", "the profit rose\nby 4 %"),
        ("an exam-\nple of it", "an example of it"),
        ("a well-\nknown town", "a well-known town"),
        ("a well-known town", "a well-\nknown town"),
        ("an exam-\nple", "an exam-\nple"),
        ("an exam-\nple", "an exam- ple"),
        ("an exam\xad\nple and more", "an example and more"),
        ("an exam\xadple", "an example"),
        ("an example", "an exam\xadple"),
        ("an eﬃcient oﬃce, a ﬂoor and the ﬁrst ſtep", "an efficient office, a floor and the first ſtep"),
        ("an efficient floor", "an eﬃcient ﬂoor"),
        ("of-\nfice", "office"),
        ("he said “it’s late”", 'He said "it\'s late"'),
        ('he said "it\'s late"', "he said “it’s late”"),
        ("NET PROFIT", "Net profit"),
        ("ÉTÉ À PARIS", "été à Paris"),
        ("東京の人口は\n千四百万人", "東京の人口は千四百万人"),
        ("東京の人口は千四百万人", "人口は千四"),
        ("a non‑breaking hyphen", "a non-breaking hyphen"),
        ("x = f(a[0]) * (b + c)?", "f(a[0]) * (b + c)?"),
    ],
)
def test_what_gets_lost_between_page_and_model_is_forgiven(text, quote):
    assert find_place(document(text), quote) is not None


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("re-sign the contract", "resign the contract"),
        ("the profit rose by 4 %", "the profit rose by 5 %"),
        ("the profit did not rise", "the profit did rise"),
        ("nowhere", "no where"),
        ("no where", "nowhere"),
        ("the party of the year", "art of the year"),
        ("15 days", "5 days"),
        ("a rate of 1.5", "5"),
        ("a rate of 1.5", "1"),
        ("1,500 people", "1"),
        ("fewer, not more", "fewer not more"),
        ("a profit", "a.profit"),
        ("a profit", ""),
        ("a profit", " \n\xad"),
    ],
)
def test_nothing_else_is_forgiven(text, quote):
    assert find_place(document(text), quote) is None


def test_the_place_has_the_page_the_line_and_the_words_as_they_stand_there():
    pages = ("Cover", "One\nTwo “quoted”\nThree", "Two “quoted”")
    assert find_place(document(*pages), 'TWO "QUOTED"\nthree') == Place(2, "", 2, "Two “quoted”\nThree")
    assert find_place(document(*pages), "two “quoted”") == Place(2, "", 2, "Two “quoted”")


def test_a_quote_may_end_on_the_next_page_of_a_pdf_and_on_no_other_sheet():
    pages = ("it ends", "on the next")
    assert find_place(document(*pages), "ends on the") == Place(1, "", 1, "ends\non the")
    assert find_place(document(*pages, kind="xlsx"), "ends on the") is None
    assert find_place(document("", "", *pages), "on the next").page == 4


def test_a_document_without_pages_has_a_line_only():
    text = DocumentText("text", "notes.md", (PageText(None, "", "a\nb\nc"),))
    assert find_place(text, "c") == Place(None, "", 3, "c")


def test_a_page_that_begins_with_the_quote_is_its_page():
    assert find_place(document("", "x", "y"), "y") == Place(3, "", 1, "y")
    assert find_place(document("a", "b c"), "b") == Place(2, "", 1, "b")
