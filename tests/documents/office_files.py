"""Office files of many kinds, made when a test wants one, by the libraries that most programs use; and bombs, by hand."""

from __future__ import annotations

import datetime
import io
import zipfile

import docx
import openpyxl
import pptx

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def _saved(file):
    made = io.BytesIO()
    file.save(made)
    return made.getvalue()


def report():
    file = docx.Document()
    file.add_heading("Harbour Report", 0)
    file.add_heading("Dues", 2)
    said = file.add_paragraph("Dues rose by ")
    said.add_run("4 %").bold = True
    said.add_run(".\tIn a year.")
    for style, words in (("List Bullet", ("Timber", "Grain")), ("List Number", ("Weigh", "Pay"))):
        for word in words:
            file.add_paragraph(word, style=style)
    table = file.add_table(rows=3, cols=3)
    for i, row in enumerate((("Port", "Ships", "Tons"), ("Riga", "112", "30|240"), ("All", "", "30"))):
        for j, cell in enumerate(row):
            table.cell(i, j).text = cell
    table.cell(2, 0).merge(table.cell(2, 1))
    file.add_paragraph("The end.")
    return _saved(file)


def archive(**parts):
    """A zip archive of *parts*, whose names have `__` for `/`, stored with a little compression."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, part in parts.items():
            file.writestr(name.replace("__", "/") + ".xml", part)
    return made.getvalue()


def word(body, **parts):
    """A Word document by hand, for what python-docx does not write."""
    return archive(word__document=f"<w:document {WORD}><w:body>{body}</w:body></w:document>", **parts)


def paragraph(words, properties=""):
    return f'<w:p><w:pPr>{properties}</w:pPr><w:r><w:t xml:space="preserve">{words}</w:t></w:r></w:p>'


def in_list(words, depth, list_=1):
    return paragraph(words, f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{list_}"/></w:numPr>')


def contract():
    """Clauses with numbers, footnotes and an endnote, tracked changes, a box of text, a table in a table."""
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for i, (kind, text) in enumerate((("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)")))
    )
    body = (
        in_list("Parties", 0) + in_list("The guild", 1) + in_list("of Riga", 2) + in_list("of Memel", 2)
        + in_list("The ship", 1) + in_list("Dues", 0) + in_list("Rate", 1)
        + '<w:p><w:pPr><w:tabs><w:tab w:val="left" w:pos="720"/></w:tabs></w:pPr><w:r><w:t>Paid by the guild</w:t></w:r>'
        '<w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:t> in spring</w:t></w:r><w:r><w:endnoteReference w:id="2"/></w:r></w:p>'
        '<w:p><w:del><w:r><w:delText>No</w:delText></w:r></w:del><w:ins><w:r><w:t>All dues</w:t></w:r></w:ins>'
        '<w:r><w:instrText> PAGEREF x </w:instrText><w:noBreakHyphen/><w:t>paid</w:t></w:r></w:p>'
        "<w:tbl><w:tr><w:tc>" + paragraph("Outer") + "</w:tc><w:tc><w:tbl><w:tr><w:tc>" + paragraph("Inner")
        + "</w:tc></w:tr></w:tbl></w:tc></w:tr><w:tr><w:tc>" + paragraph("a") + paragraph("b") + "</w:tc><w:tc/></w:tr></w:tbl>"
    )  # fmt: skip
    return word(
        body,
        word__numbering=f'<w:numbering {WORD}><w:abstractNum w:abstractNumId="7">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num></w:numbering>',
        word__footnotes=f'<w:footnotes {WORD}><w:footnote w:id="2">{paragraph("Minutes, folio 17.")}</w:footnote></w:footnotes>',
        word__endnotes=f'<w:endnotes {WORD}><w:endnote w:id="2">{paragraph("Of 1882.")}</w:endnote></w:endnotes>',
    )


def cargo():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Cargo"
    sheet.append(["Port", "Ships", "Share", "Built", "Mixed"])
    sheet.append(["Riga", 112, 0.415, datetime.date(1982, 3, 4), "x"])
    sheet.append(["Danzig", 87, None, datetime.date(1983, 5, 6), 5])
    notes = book.create_sheet("Notes")
    notes["C3"], notes["D4"] = "Only a note", 3
    book.create_sheet("Empty")
    return _saved(book)


def far_cell():
    """Two cells, one in the first place of a sheet and one in its last: seventeen billion between them."""
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = 1, 2
    return _saved(book)


def slides():
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.placeholders[1].text = "Rose by 4 %\nIn a year"
    slide.placeholders[1].text_frame.paragraphs[1].level = 1
    slide.shapes.title.text = "Dues"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "Cargo"
    table = slide.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for i, row in enumerate((("Port", "Tons"), ("Riga", "30"))):
        for j, cell in enumerate(row):
            table.cell(i, j).text = cell
    show.slides.add_slide(show.slide_layouts[6])
    return _saved(show)


def long_report(paragraphs):
    return word(
        "".join(paragraph(f"Paragraph {i}: the harbour was dredged in spring.") for i in range(paragraphs))
    )


def long_sheet(rows):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Cargo")
    sheet.append(["Port", "Ships", "Tons"])
    for i in range(rows):
        sheet.append([f"Port {i % 40}", i, i * 1.5])
    return _saved(book)


# Bombs


def great_part():
    return word(" " * 120_000_000)


def many_elements():
    return word("<w:r/>" * 10_000_000)


def deep_elements():
    return word("<w:p>" * 200_000 + "</w:p>" * 200_000)


def growing_entities():
    lines = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    return archive(word__document=f'<!DOCTYPE d [<!ENTITY e0 "grow">{lines}]><d>&e11;</d>')


def wide_spans():
    return word(
        "<w:tbl><w:tr>"
        + '<w:tc><w:tcPr><w:gridSpan w:val="999"/></w:tcPr></w:tc>' * 200_000
        + "</w:tr>"
        + "<w:tr/>" * 20_000
        + "</w:tbl>"
    )


SOON = (great_part, deep_elements, growing_entities, wide_spans)
LATE = (many_elements,)
