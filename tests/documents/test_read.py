"""The door: what a document is, its pages together, and what is remembered."""

from __future__ import annotations

import io

import pytest
from reportlab.pdfgen.canvas import Canvas

from qwennb.documents import DocumentText, PageText, kind_of_document, read_document
from qwennb.errors import MediaError


def pdf(*pages):
    made = io.BytesIO()
    canvas = Canvas(made, invariant=True)
    for text in pages:
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"%PDF-1.7\n", "notes.txt", "pdf"),
        (b"junk\n%PDF-1.7\n", "a.pdf", "pdf"),
        (b"junk\n%PDF-1.7\n\xe2\xe3\xcf\xd3\n\x00", "a", "pdf"),
        (b'if data.startswith(b"%PDF-"):', "a.py", "text"),
        (b"PAR1\x15\x04", "a.csv", "parquet"),
        (b"a,b\n1,2\n", "a.csv", "csv"),
        (b"a\tb\n1\t2\n", "A.TSV", "csv"),
        (b"a,b\n1,2\n", "a.pdf", "text"),
        (b"<p>Hello</p>", "a.html", "html"),
        (b"<p>Hello</p>", "a.md", "text"),
        (b"\xef\xbb\xbf <!-- saved --> <!DOCTYPE html><title>x</title>", "a.txt", "html"),
        ("print('é')".encode(), "a.py", "text"),
        ("é".encode()[:1], "a.py", "text"),
        ("é".encode("utf-16"), "a.txt", "text"),
        ("caf\xe9 cr\xe8me".encode("latin-1"), "a.txt", "text"),
        (b"\x7fELF\x02\x01\x01\x00", "a.txt", None),
        (b"\x89PNG\r\n\x1a\n\x00", "a.txt", None),
        (b"a\x00b", "a.txt", None),
        (b"PK\x03\x04" + bytes(22) + b"\x13\x00\x00\x00[Content_Types].xml", "a.docx", "docx"),
        (b"PK\x03\x04" + bytes(22) + b"\x0f\x00\x00\x00xl/workbook.xml", "a.zip", "xlsx"),
        (b"PK\x03\x04" + bytes(22) + b"\x05\x00\x00\x00a.txt", "a.zip", None),
    ],
)
def test_the_bytes_say_what_it_is_and_a_name_only_which_text(head, name, kind):
    assert kind_of_document(head, name) == kind


def test_a_pdf_is_read_by_pages_with_their_numbers():
    read = read_document(pdf("One", "Two", "Three"), "report.pdf")
    assert (read.kind, read.name) == ("pdf", "report.pdf")
    assert [(page.number, page.text) for page in read.pages] == [(1, "One"), (2, "Two"), (3, "Three")]
    assert read.text() == "[page 1]\nOne\n\n[page 2]\nTwo\n\n[page 3]\nThree"


def test_the_pages_that_are_wanted_are_read_in_their_order():
    read = read_document(pdf("One", "Two", "Three"), "report.pdf", pages=(3, 1))
    assert read.text() == "[page 3]\nThree\n\n[page 1]\nOne"


def test_a_text_is_one_page_without_a_number():
    read = read_document(b"\xef\xbb\xbf# Title\r\n\r\nWords\r", "notes.md")
    assert read == DocumentText("text", "notes.md", (PageText(None, "", "# Title\n\nWords\n"),))
    assert read.text() == "# Title\n\nWords"
    assert read_document("naïve".encode("utf-16"), "notes.md").text() == "naïve"


@pytest.mark.parametrize(
    ("content", "name", "pages", "said"),
    [
        (b"", "a.txt", None, "a.txt is empty; give a file with something in it"),
        (b"caf\xe9", "a.txt", None, "a.txt is not UTF-8 (byte 0xE9 in line 1); save it as UTF-8"),
        (b"x", "a.txt", (1,), "a.txt has no pages to choose from; leave pages= out"),
        (pdf("One"), "a.pdf", (2,), "a.pdf has 1 pages; there is no page 2"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(content, name, pages, said):
    with pytest.raises(MediaError) as error:
        read_document(content, name, pages=pages)
    assert str(error.value) == said


def test_what_was_read_once_is_not_read_again():
    content = pdf("Once")
    first = read_document(content, "a.pdf")
    again = read_document(bytes(bytearray(content)), "b.pdf")
    assert again.pages is first.pages and again.name == "b.pdf"
    assert read_document(content, "a.pdf", pages=(1,)).pages is not first.pages
