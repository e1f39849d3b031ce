"""Papers of many kinds, drawn when a test wants one: the same bytes each time, no file in the repository.

Each function draws one PDF. What stands on it, and so what must be read from it, is told by the tests beside its name.
"""

from __future__ import annotations

import io
import re
import zlib
from itertools import zip_longest
from pathlib import Path

import matplotlib
import pyarrow
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from pyarrow import parquet
from reportlab.lib import colors, pagesizes
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Table, TableStyle

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # Hebrew, Arabic, ligatures
SENTENCES = (
    "The harbour was dredged in spring and the quay was built anew.",
    "Of the ships that called, most carried timber from the north.",
    "Dues rose by four in a hundred, which the guild had opposed.",
    "No vessel waited longer than two tides for a berth that year.",
)


class Paper:
    """A canvas that makes the same bytes each time."""

    def __init__(self, size=pagesizes.A4, **options):
        self.made = io.BytesIO()
        self.canvas = Canvas(
            self.made, size, invariant=True, initialFontName="Helvetica", initialFontSize=10, **options
        )
        self.name, self.size = "Helvetica", 10

    def font(self, name, size):
        self.name, self.size = name, size
        self.canvas.setFont(name, size)

    def lines(self, x, y, lines, leading=None):
        for line in lines:
            self.canvas.drawString(x, y, line)
            y -= leading or self.size * 1.3
        return y

    def title(self, text, x=72, y=780):
        self.canvas.setFont("Helvetica-Bold", 18)
        self.canvas.drawString(x, y, text)
        self.canvas.setFont(self.name, self.size)

    def page(self):
        self.canvas.showPage()  # the next page begins with the first font again

    def bytes(self):
        self.canvas.save()
        return self.made.getvalue()


def wrap(text, width, font="Helvetica", size=10):
    """Break *text* into lines of at most *width* points."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and pdfmetrics.stringWidth(longer, font, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def prose(count, *, start=0):
    return " ".join(f"({start + i}) {SENTENCES[(start + i) % 4]}" for i in range(count))


def two_columns():
    """Written as some programs do, line by line across both columns."""
    paper = Paper()
    paper.title("The Harbour in Two Columns")
    left, right = wrap(prose(18), 215), wrap(prose(18, start=18), 215)
    for i, (one, other) in enumerate(zip_longest(left, right, fillvalue="")):
        paper.canvas.drawString(72, 740 - 13 * i, one)
        paper.canvas.drawString(310, 740 - 13 * i, other)
    return paper.bytes()


def three_columns_under_a_wide_table():
    paper = Paper(pagesizes.landscape(pagesizes.A4))
    paper.title("Three Columns", y=550)
    table = Table(
        [["Year", "Ships", "Dues"], ["1881", "412", "9,310"], ["1882", "455", "10,022"]],
        colWidths=[230, 230, 230],
    )
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    table.wrapOn(paper.canvas, 700, 200)
    table.drawOn(paper.canvas, 72, 470)
    for i in range(3):
        paper.lines(72 + 240 * i, 440, wrap(prose(10, start=10 * i), 205))
    return paper.bytes()


def table_with_rules():
    paper = Paper()
    paper.title("Cargo by Port")
    paper.lines(72, 750, wrap(prose(3), 450))
    rows = [["Port", "Ships", "Tons", "Share"], ["Riga", "112", "30,240", "41.5 %"], ["Danzig", "87", "21,100", "28.9 %"],
            ["Memel", "64", "", "21.6 %"], ["Other", "29", "5,870", "8.0 %"]]  # fmt: skip
    table = Table(rows, colWidths=[120, 80, 80, 80])
    table.setStyle(
        TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("ALIGN", (1, 0), (-1, -1), "RIGHT")])
    )
    table.wrapOn(paper.canvas, 400, 200)
    table.drawOn(paper.canvas, 72, 590)
    paper.lines(72, 560, wrap(prose(3, start=3), 450))
    return paper.bytes()


def table_of_boxes():
    """Each cell a box of its own, no rule at the sides of the second table, two tables one above the other."""
    paper = Paper()
    for i, row in enumerate((("Ship", "Flag", "Tons"), ("Aurora", "Riga", "210"), ("Hansa", "Memel", "340"))):
        for j, cell in enumerate(row):
            paper.canvas.rect(72 + 100 * j, 700 - 20 * i, 100, 20)
            paper.canvas.drawString(78 + 100 * j, 706 - 20 * i, cell)
    table = Table([["Dues", "Paid"], ["12", "yes"], ["15", "no"]], colWidths=[100, 100])
    table.setStyle(TableStyle([("INNERGRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    table.wrapOn(paper.canvas, 400, 200)
    table.drawOn(paper.canvas, 72, 560)
    paper.canvas.rect(60, 500, 400, 300)  # a frame around it all
    return paper.bytes()


def long_cells():
    """A table whose cells go on over several lines."""
    paper = Paper()
    rows = [["Berth", "Remarks", "Depth"], ["North", "Dredged in spring,\nto be dredged again", "7.5"], ["South", "None", "6.0"],
            ["East", "Closed since the storm,\nno crane", "5.5"]]  # fmt: skip
    table = Table(rows, colWidths=[100, 160, 80])
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    table.wrapOn(paper.canvas, 400, 200)
    table.drawOn(paper.canvas, 72, 640)
    return paper.bytes()


def sideways_table():
    """An upright page on which a wide table and its prose were set lying, as LaTeX's sidewaystable does."""
    paper = Paper()
    paper.canvas.rotate(90)
    paper.canvas.translate(0, -pagesizes.A4[0])
    paper.lines(72, 500, wrap(prose(4), 600))
    table = Table(
        [["Berth", "Length", "Depth"], ["North", "120", "7.5"], ["South", "95", "6.0"]],
        colWidths=[200, 200, 200],
    )
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    table.wrapOn(paper.canvas, 700, 200)
    table.drawOn(paper.canvas, 72, 300)
    return paper.bytes()


def table_without_rules():
    paper = Paper()
    paper.title("Balance Sheet")
    rows = [("", "2024", "2023"), ("Cash", "1,204", "998"), ("Receivables", "3,310", "2,875"), ("Inventory", "2,040", "2,260"),
            ("Total current assets", "6,554", "6,133")]  # fmt: skip
    for i, row in enumerate(rows):
        paper.canvas.drawString(72, 730 - 18 * i, row[0])
        paper.canvas.drawRightString(340, 730 - 18 * i, row[1])
        paper.canvas.drawRightString(440, 730 - 18 * i, row[2])
    paper.lines(72, 600, wrap(prose(3), 450))
    return paper.bytes()


def footnotes():
    paper = Paper()
    paper.title("With Footnotes")
    paper.canvas.drawString(72, 740, "The quay was built anew")
    width = pdfmetrics.stringWidth("The quay was built anew", "Helvetica", 10)
    paper.canvas.setFont("Helvetica", 6)
    paper.canvas.drawString(72 + width, 744, "1")
    paper.canvas.setFont("Helvetica", 10)
    paper.canvas.drawString(72 + width + 6, 740, "and paid for by the guild.")
    paper.lines(72, 720, wrap(prose(6), 450))
    paper.canvas.line(72, 110, 200, 110)
    paper.canvas.setFont("Helvetica", 8)
    paper.canvas.drawString(72, 98, "1 Minutes of the council, 4 March 1882, folio 17.")
    return paper.bytes()


def turned_page():
    """A page stored lying, that a viewer turns: /Rotate 90."""
    paper = Paper(pagesizes.landscape(pagesizes.A4))  # of a turned page reportlab swaps the sides
    paper.canvas.setPageRotation(90)
    paper.canvas.saveState()
    paper.canvas.rotate(90)
    paper.canvas.translate(0, -pagesizes.A4[0])
    paper.title("A Turned Page", y=540)
    paper.lines(72, 510, wrap(prose(8), 600))
    paper.canvas.restoreState()
    return paper.bytes()


def turned_words():
    """An upright page with a label up its side and a stamp across it."""
    paper = Paper()
    paper.title("Turned Words")
    paper.lines(90, 740, wrap(prose(8), 400))
    paper.canvas.saveState()
    paper.canvas.rotate(90)
    paper.canvas.drawString(300, -60, "Thousands of tons")
    paper.canvas.restoreState()
    paper.canvas.saveState()
    paper.canvas.translate(200, 300)
    paper.canvas.rotate(45)
    paper.canvas.setFont("Helvetica-Bold", 40)
    paper.canvas.setFillGray(0.8)
    paper.canvas.drawString(0, 0, "DRAFT")
    paper.canvas.restoreState()
    return paper.bytes()


def picture_of(lines):
    picture = Pillow.new("L", (1240, 1754), 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.truetype(str(DEJAVU), 28)
    for i, line in enumerate(lines):
        draw.text((150, 200 + 45 * i), line, fill=0, font=font)
    return ImageReader(picture)


def scanned():
    paper = Paper()
    for i in range(2):
        paper.canvas.drawImage(picture_of([f"Scanned page {i + 1}", *SENTENCES]), 0, 0, *pagesizes.A4)
        paper.page()
    return paper.bytes()


def mixed():
    """Text, a scan, text with a picture, a scan with a page number stamped on it, an empty page."""
    paper = Paper()
    paper.lines(72, 740, wrap(prose(6), 450))
    paper.page()
    paper.canvas.drawImage(picture_of(["Only a picture", *SENTENCES]), 0, 0, *pagesizes.A4)
    paper.page()
    paper.lines(72, 740, wrap(prose(6, start=6), 450))
    paper.canvas.drawImage(picture_of(["A figure"]), 150, 200, 250, 350)
    paper.page()
    paper.canvas.drawImage(picture_of(["A stamped scan", *SENTENCES]), 0, 0, *pagesizes.A4)
    paper.canvas.drawString(290, 30, "4")
    paper.page()
    paper.page()
    return paper.bytes()


def scan_with_hidden_text():
    """What OCR makes: the picture, and its words written invisibly upon it."""
    paper = Paper()
    paper.canvas.drawImage(picture_of(SENTENCES), 0, 0, *pagesizes.A4)
    text = paper.canvas.beginText(72, 740)
    text.setTextRenderMode(3)
    for sentence in SENTENCES:
        text.textLine(sentence)
    paper.canvas.drawText(text)
    return paper.bytes()


def locked():
    return _encrypted("secret")


def locked_against_printing():
    """Everybody may open it; only the owner may print or copy."""
    return _encrypted("")


def _encrypted(password):
    lock = StandardEncryption(password, ownerPassword="owner", canPrint=0, canCopy=0, strength=128)
    lock.setAllPermissions(0)
    paper = Paper(encrypt=lock)
    paper.lines(72, 740, wrap(prose(4), 450))
    return paper.bytes()


def broken_index():
    """Its table of where things stand points nowhere."""
    return re.sub(rb"startxref\n\d+", b"startxref\n7", two_columns())


def cut_off():
    """The second half is missing, as after a download that broke off."""
    whole = two_columns()
    return whole[: len(whole) // 2]


def _with_dejavu(size=12):
    pdfmetrics.registerFont(TTFont("DejaVu", str(DEJAVU)))
    paper = Paper()
    paper.font("DejaVu", size)
    return paper


def one_line(text):
    paper = _with_dejavu()
    paper.lines(72, 740, [text])
    return paper.bytes()


def ligatures():
    paper = _with_dejavu()
    paper.lines(72, 740, ["The eﬃcient oﬃce oﬀered ﬁve ﬂoors.", "“Quoted”, it’s said – and so on …"])
    return paper.bytes()


def right_to_left():
    """Hebrew as most programs write it: the signs in the order in which they stand, from the left."""
    paper = _with_dejavu(14)
    paper.canvas.drawRightString(520, 740, "שלום עולם"[::-1])
    paper.canvas.drawRightString(520, 715, "הנמל נבנה מחדש"[::-1])
    paper.canvas.drawString(72, 680, "The harbour was built anew.")
    return paper.bytes()


def chinese_and_japanese():
    paper = Paper()
    for font, lines, y in (
        ("STSong-Light", ["港口在春天疏浚，码头重建。", "船只大多运送木材。"], 740),
        ("HeiseiMin-W3", ["港は春に浚渫された。", "多くの船が木材を運んだ。"], 680),
        ("HYSMyeongJo-Medium", ["항구는 봄에 준설되었다."], 620),
    ):
        pdfmetrics.registerFont(UnicodeCIDFont(font))
        paper.font(font, 14)
        paper.lines(72, y, lines)
    return paper.bytes()


def hyphenated():
    paper = Paper()
    lines = ["The administration of the harbour was reorgan-", "ised in the spring, and the well-", "known quay was re-",
             "built by the guild without inter-", "ruption."]  # fmt: skip
    paper.lines(72, 740, lines)
    return paper.bytes()


def headers_and_footers(pages=6):
    paper = Paper()
    for i in range(pages):
        paper.canvas.drawString(72, 810, "Harbour Report 1882")
        paper.canvas.drawRightString(520, 810, f"Chapter {i // 3 + 1}")
        paper.lines(72, 760, wrap(prose(10, start=10 * i), 450))
        paper.canvas.drawCentredString(297, 30, f"Page {i + 1} of {pages}")
        paper.page()
    return paper.bytes()


def form_fields():
    paper = Paper()
    paper.title("Berth Application")
    form = paper.canvas.acroForm
    paper.canvas.drawString(72, 730, "Ship's name:")
    form.textfield(name="ship", x=180, y=722, width=200, height=20, value="Aurora")
    paper.canvas.drawString(72, 690, "Cargo:")
    form.choice(name="cargo", x=180, y=682, width=200, height=20, value="Timber", options=["Timber", "Grain"])
    paper.canvas.drawString(72, 650, "Insured:")
    form.checkbox(name="insured", x=180, y=645, size=16, checked=True)
    return paper.bytes()


def annotations():
    paper = Paper()
    paper.lines(72, 740, wrap(prose(4), 450))
    paper.canvas.textAnnotation("Check this figure with the guild", Rect=[400, 640, 420, 660], addtopage=1)
    paper.canvas.drawString(72, 600, "See the harbour's page.")
    paper.canvas.linkURL("https://example.org/harbour", (72, 595, 200, 612))
    return paper.bytes()


def long_report(pages=500):
    """Half a megabyte of text: eleven lines of a hundred characters a page."""
    paper = Paper()
    for i in range(pages):
        paper.canvas.drawString(72, 800, f"Section {i // 20 + 1}")
        paper.lines(
            40, 770, wrap(f"On page {i + 1} berth {i * 37 % 1000} is named. {prose(15, start=15 * i)}", 500)
        )
        paper.canvas.drawCentredString(297, 30, str(i + 1))
        paper.page()
    return paper.bytes()


def landscape():
    paper = Paper(pagesizes.landscape(pagesizes.A4))
    paper.title("A Wide Page", y=540)
    paper.lines(72, 510, wrap(prose(10), 680))
    return paper.bytes()


def tiny_text():
    paper = Paper()
    paper.font("Helvetica", 3)
    paper.lines(72, 740, wrap(prose(30), 450, size=3))
    return paper.bytes()


def overlapping():
    """Letters struck twice to look bold, and a line written over another."""
    paper = Paper()
    for shift in (0, 0.3):
        paper.canvas.drawString(72 + shift, 740, "Struck twice to look bold")
    paper.canvas.drawString(72, 700, "The old sum of 100 marks")
    paper.canvas.setFillGray(1)
    paper.canvas.rect(70, 697, 200, 12, fill=1, stroke=0)
    paper.canvas.setFillGray(0)
    paper.canvas.drawString(72, 700, "The new sum of 250 marks")
    return paper.bytes()


def invoice():
    paper = Paper()
    paper.title("Invoice 1882-17")
    paper.lines(72, 740, ["Guild of Shipwrights", "Quay Street 4", "Riga"])
    for i, (label, value) in enumerate(
        (("Date:", "4 March 1882"), ("Due:", "1 April 1882"), ("Customer:", "Aurora Line"))
    ):
        paper.canvas.drawString(360, 740 - 14 * i, label)
        paper.canvas.drawRightString(520, 740 - 14 * i, value)
    rows = [["Item", "Qty", "Price", "Amount"], ["Oak planks", "40", "2.50", "100.00"], ["Caulking", "1", "35.00", "35.00"],
            ["", "", "Total", "135.00"]]  # fmt: skip
    table = Table(rows, colWidths=[200, 60, 80, 100])
    table.setStyle(TableStyle([("LINEBELOW", (0, 0), (-1, 0), 1, colors.black), ("LINEABOVE", (2, -1), (-1, -1), 1, colors.black),
                               ("ALIGN", (1, 0), (-1, -1), "RIGHT")]))  # fmt: skip
    table.wrapOn(paper.canvas, 440, 200)
    table.drawOn(paper.canvas, 72, 580)
    return paper.bytes()


def code_listing():
    paper = Paper()
    paper.title("A Listing")
    paper.font("Courier", 9)
    paper.lines(
        72,
        740,
        ["def dues(ship):", "    if ship.tons > 100:", "        return ship.tons * 0.04", "    return 4.0"],
    )
    return paper.bytes()


def contents_and_lists():
    paper = Paper()
    paper.title("Contents")
    for i, (title, page) in enumerate((("1 The harbour", 3), ("1.1 The quay", 5), ("2 The ships", 9))):
        paper.canvas.drawString(72, 740 - 14 * i, f"{title} " + "." * 60)
        paper.canvas.drawRightString(480, 740 - 14 * i, str(page))
    paper.lines(
        72,
        660,
        [
            "• Timber from the north",
            "    – oak",
            "    – pine",
            "• Grain",
            "1. First, weigh.",
            "2. Then, pay.",
        ],
    )
    return paper.bytes()


def damaged_words():
    """The words of its second page can't be unpacked; its index and its other page are whole."""
    paper = Paper()
    paper.lines(72, 740, wrap(prose(4), 450))
    paper.page()
    paper.lines(72, 740, wrap(prose(20, start=4), 450))
    whole = paper.bytes()
    at = whole.rindex(b"\nstream\n") + 300
    return whole[:at] + bytes(40) + whole[at + 40 :]


def letters_drawn_as_curves():
    """What a printer's shop sends: each letter a shape, no text at all."""
    paper = Paper()
    for i in range(40):
        paper.canvas.circle(80 + 12 * i % 400, 700 - 20 * (12 * i // 400), 4, fill=1)
    return paper.bytes()


def blank():
    paper = Paper()
    paper.page()
    return paper.bytes()


def without_pages():
    return _assemble([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])


def _assemble(objects):
    """Write a PDF of *objects*, numbered from 1; the first is its catalogue."""
    made, at = bytearray(b"%PDF-1.7\n"), []
    for i, body in enumerate(objects, 1):
        at.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (i, body)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in at)
    made += b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(made)


PAPERS = (
    two_columns, three_columns_under_a_wide_table, table_with_rules, table_of_boxes, long_cells, sideways_table, table_without_rules, footnotes,
    turned_page, turned_words, scanned, mixed, scan_with_hidden_text, locked_against_printing, broken_index, ligatures, right_to_left,
    chinese_and_japanese, hyphenated, headers_and_footers, form_fields, annotations, landscape, tiny_text, overlapping, invoice, code_listing,
    contents_and_lists, damaged_words, letters_drawn_as_curves, blank,
)  # fmt: skip


# Bombs: small files that ask for a great deal.


def stream(data, extra=b"", filters=1):
    for _ in range(filters):
        data = zlib.compress(data, 1)
    chain = b"/FlateDecode " * filters
    return b"<</Length %d/Filter[%s]%s>>stream\n%s\nendstream" % (len(data), chain, extra, data)


def _one_page(content, *, box=b"0 0 595 842", resources=b"", more=()):
    """One page that shows the stream *content*; *more* objects are numbered from 6."""
    return _assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>%s>>>>"
            % (box, resources),
            content,
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            *more,
        ]
    )


WORDS = b"BT /F 10 Tf 72 700 Td (Some words on the page) Tj ET\n"


def ten_thousand_pages():
    return _assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%s]/Count 10000>>" % b" ".join(b"%d 0 R" % i for i in range(5, 10_005)),
            stream(WORDS * 50),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            *[
                b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 3 0 R/Resources<</Font<</F 4 0 R>>>>>>"
            ]
            * 10_000,
        ]
    )


def one_page_ten_thousand_times():
    return _assemble(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%s]/Count 10000>>" % (b"3 0 R " * 10_000),
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
            stream(WORDS * 50),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        ]
    )


def huge_box():
    return _one_page(stream(WORDS), box=b"-1000000000 -1000000000 2000000000 2000000000")


def far_words():
    far = b"BT /F 1e9 Tf 1e9 1e9 Td (Far) Tj ET BT /F 10 Tf -2e9 3e8 Td (away) Tj ET " + WORDS
    return _one_page(stream(far), box=b"0 0 1e10 1e10")


def great_stream():
    return _one_page(stream(b" " * 600_000_000))


def great_stream_of_words():
    return _one_page(stream(b"(a) Tj " * 60_000_000))


def folded_streams():
    return _one_page(stream(WORDS + b" " * 300_000_000, filters=4))


def many_words():
    return _one_page(
        stream(
            b"BT /F 10 Tf "
            + b"".join(b"1 0 0 1 %d %d Tm (w%d) Tj " % (i % 500, i // 500 % 800, i) for i in range(300_000))
            + b"ET"
        )
    )


def many_lines():
    return _one_page(
        stream(
            WORDS
            + b"".join(b"%d %d m %d %d l S " % (i % 595, i % 842, i % 591, i % 839) for i in range(200_000))
        )
    )


def many_boxes():
    return _one_page(
        stream(
            WORDS + b"".join(b"%d %d 40 12 re S " % (i % 14 * 40, i // 14 * 12 % 800) for i in range(200_000))
        )
    )


def nested_forms():
    """Each form shows the next ten times: ten to the ninth."""
    forms = [
        stream(
            b"/X Do " * 10 if i < 8 else WORDS,
            b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</Font<</F 5 0 R>>/XObject<</X %d 0 R>>>>"
            % (7 + i),
        )
        for i in range(9)
    ]
    return _one_page(stream(b"/X Do " * 10), resources=b"/XObject<</X 6 0 R>>", more=forms)


def form_in_itself():
    form = stream(
        b"/X Do " + WORDS + b"/X Do",
        b"/Type/XObject/Subtype/Form/BBox[0 0 595 842]/Resources<</Font<</F 5 0 R>>/XObject<</X 6 0 R>>>>",
    )
    return _one_page(stream(b"/X Do"), resources=b"/XObject<</X 6 0 R>>", more=[form])


def deep_arrays():
    return _one_page(stream(WORDS), more=[b"[" * 2_000_000 + b"]" * 2_000_000], resources=b"/Deep 6 0 R")


def deep_arrays_in_the_stream():
    return _one_page(stream(b"[" * 5_000_000 + b" TJ " + WORDS))


def deep_dictionary_on_the_page():
    return _one_page(stream(WORDS), resources=b"/A<<" * 200_000 + b">>" * 200_000)


def page_tree_in_a_circle():
    return _assemble(
        [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2000000000>>"]
    )


def great_count():
    return _assemble([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 2000000000>>"])


def great_predictor():
    content = stream(
        WORDS, b"/DecodeParms[<</Predictor 12/Columns 2000000000/Colors 32/BitsPerComponent 32>>]"
    )
    return _one_page(content)


def great_picture():
    picture = stream(
        bytes(300_000_000),
        b"/Type/XObject/Subtype/Image/Width 100000/Height 3000/ColorSpace/DeviceGray/BitsPerComponent 8",
    )
    return _one_page(
        stream(b"q 595 0 0 842 0 0 cm /X Do Q"), resources=b"/XObject<</X 6 0 R>>", more=[picture]
    )


def great_map():
    """A font whose map from codes to letters has sixteen million entries in one line."""
    cmap = b"begincmap 1 begincodespacerange <000000> <FFFFFF> endcodespacerange 1 beginbfrange <000000> <FFFFFF> <0041> endbfrange endcmap"
    page = _one_page(stream(WORDS), more=[stream(cmap)])
    return page.replace(b"/BaseFont/Helvetica", b"/BaseFont/Helvetica/ToUnicode 6 0 R")


def many_notes():
    page = _one_page(
        stream(WORDS),
        more=[
            b"[%s]" % (b"7 0 R " * 300_000),
            b"<</Type/Annot/Subtype/Text/Rect[0 0 9 9]/Contents(" + b"note " * 500 + b")>>",
        ],
    )
    return page.replace(b"/Parent 2 0 R", b"/Parent 2 0 R/Annots 6 0 R")


def great_parquet():
    """Eighty million zeros in a few kilobytes."""
    made = io.BytesIO()
    zeros = pyarrow.table(
        {
            "a": pyarrow.Array.from_buffers(
                pyarrow.int64(), 5_000_000, [None, pyarrow.py_buffer(bytes(40_000_000))]
            )
        }
    )
    with parquet.ParquetWriter(made, zeros.schema, compression="zstd") as writer:
        for _ in range(16):
            writer.write_table(zeros)
    return made.getvalue()


SOON = (  # refused, or read, at once
    ten_thousand_pages, one_page_ten_thousand_times, huge_box, far_words, many_words, nested_forms, form_in_itself, deep_arrays,
    deep_dictionary_on_the_page, great_count, great_predictor, great_map, many_notes,
)  # fmt: skip
LATE = (  # not before the processor's time is up, or the memory
    page_tree_in_a_circle, great_stream_of_words, great_stream, folded_streams, many_lines, many_boxes, deep_arrays_in_the_stream, great_picture,
)  # fmt: skip
