"""Office files, and what each must say."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pytest

from qwennb.documents import read_document
from qwennb.errors import MediaError
from tests.documents import office_files
from tests.documents.office_files import archive, in_list, paragraph, word


def test_a_word_document_has_its_headings_lists_and_tables():
    assert read_document(office_files.report(), "a.docx").text() == (
        "# Harbour Report\n\n## Dues\n\nDues rose by 4 %.\tIn a year.\n\n- Timber\n- Grain\n1. Weigh\n2. Pay\n\n"
        "| Port | Ships | Tons |\n|---|---|---|\n| Riga | 112 | 30\\|240 |\n| All |  | 30 |\n\nThe end."
    )


def test_a_contract_keeps_its_numbers_its_notes_and_what_was_changed_last():
    assert read_document(office_files.contract(), "a.docx").text() == (
        "1. Parties\n  1.1 The guild\n    (a) of Riga\n    (b) of Memel\n  1.2 The ship\n2. Dues\n  2.1 Rate\n\n"
        "Paid by the guild[^1] in spring[^i]\n\nAll dues-paid\n\n| Outer | Inner |\n|---|---|\n| a b |  |\n\n"
        "[^1]: Minutes, folio 17.\n[^i]: Of 1882."
    )


def test_slides_have_titles_first_then_text_tables_and_notes():
    show = read_document(office_files.slides(), "a.pptx")
    assert show.text() == (
        "[slide 1]\n# Dues\n\nRose by 4 %\n  In a year\n\nNotes: Say it slowly.\n\n"
        "[slide 2]\n# Cargo\n\n| Port | Tons |\n|---|---|\n| Riga | 30 |\n\n[slide 3]"
    )
    assert [page.number for page in read_document(office_files.slides(), "a.pptx", pages=(2,)).pages] == [2]


def test_sheets_are_told_as_frames_are():
    book = read_document(office_files.cargo(), "a.xlsx")
    assert [(page.number, page.title) for page in book.pages] == [(1, "Cargo"), (2, "Notes"), (3, "Empty")]
    assert book.pages[0].text == (
        "2 rows × 5 columns\ncolumns: Port: String, Ships: Int64, Share: Float64, Built: Date, Mixed: String\n\n"
        "| row | Port | Ships | Share | Built | Mixed |\n| --- | --- | --- | --- | --- | --- |\n"
        "| 0 | Riga | 112 | 0.415 | 1982-03-04 | x |\n| 1 | Danzig | 87 |  | 1983-05-06 | 5 |"
    )
    assert "| row | A | B |" in book.pages[1].text  # no row of names
    assert book.pages[2].text == ""
    assert book.text().startswith("[sheet 1: Cargo]\n2 rows")
    assert read_document(office_files.cargo(), "a.xlsx", pages=(2,)).pages == book.pages[1:2]


def test_how_far_a_list_was_counted_is_its_own():
    levels = '<w:lvl w:ilvl="0"><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>'
    numbering = "".join(f'<w:abstractNum w:abstractNumId="{i}">{levels}</w:abstractNum>' for i in (1, 2))
    numbering += "".join(f'<w:num w:numId="{i}"><w:abstractNumId w:val="{i}"/></w:num>' for i in (1, 2))
    said = read_document(
        word(
            in_list("a", 0, 1) + in_list("b", 0, 2) + in_list("c", 0, 1) + in_list("d", 0, 9),
            word__numbering=f"<w:numbering {office_files.WORD}>{numbering}</w:numbering>",
        ),
        "a.docx",
    ).text()
    assert said == "I. a\nI. b\nII. c\n- d"


@pytest.mark.parametrize(
    ("content", "name", "pages", "said"),
    [
        (office_files.report(), "a.docx", (1,), "a.docx has no pages to choose from; leave pages= out"),
        (office_files.slides(), "a.pptx", (4,), "a.pptx has 3 slides; there is no slide 4"),
        (office_files.cargo(), "a.xlsx", (4,), "a.xlsx has 3 sheets; there is no sheet 4"),
        (office_files.report()[:-30], "a.docx", None, "a.docx is damaged (File is not a zip file); open it in its program and save it anew"),
        (archive(word__x="<x/>"), "a.docx", None, "a.docx is damaged (word/document.xml is missing); open it in its program and save it anew"),
        (word("<w:p>"), "a.docx", None, "a.docx is damaged (word/document.xml: mismatched tag: line 1, column 98); open it in its program and save it anew"),
        (office_files.growing_entities(), "a.docx", None, "a.docx is damaged (its XML declares a document type); open it in its program and save it anew"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "a.doc", None, "a.doc is an office file of before 2007, or one locked with a password; save it as .docx, .xlsx or .pptx, without a password"),
        (b"\x7fELF\x00", "a", None, "a is no document that can be read; give a PDF, a text, a table, a web page or an office file"),
    ],
)  # fmt: skip
def test_an_office_file_that_cannot_be_read_says_why(content, name, pages, said):
    with pytest.raises(MediaError) as error:
        read_document(content, name, pages=pages)
    assert str(error.value) == said


def test_a_part_that_lies_about_its_size_is_read_no_further_than_it_says():
    content = bytearray(word(paragraph("x" * 3_000_000)))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        size = file.getinfo("word/document.xml").file_size.to_bytes(4, "little")
    with pytest.raises(MediaError, match=r"^a\.docx is damaged \(.*\); open it"):
        read_document(bytes(content).replace(size, (1000).to_bytes(4, "little")), "a.docx")


def test_what_a_document_links_to_outside_is_not_looked_at():
    links = '<Relationships><Relationship Id="r1" Type="x/slide" Target="https://example.org/x" TargetMode="External"/></Relationships>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("ppt/presentation.xml", '<p xmlns:r="r"><sldId id="1" r:id="r1"/></p>')
        file.writestr("ppt/_rels/presentation.xml.rels", links)
    with pytest.raises(MediaError, match=r"^a\.pptx has no slides; give one that has$"):
        read_document(made.getvalue(), "a.pptx")


def test_without_calamine_a_workbook_says_what_to_type():
    code = f"""
import sys
sys.modules["python_calamine"] = None
from qwennb.documents import read_document
read_document({office_files.cargo()!r}, "a.xlsx")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "qwennb.errors.MediaError: the sheets of a.xlsx need python-calamine, which is not installed; "
        'type: pip install "qwennb[office]"'
    )
