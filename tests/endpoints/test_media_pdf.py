"""PDFs: whole, cut to some pages, or drawn."""

import io
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image as Pillow

from qwennb.catalog import Images
from qwennb.endpoints.media.pdf import pages_of, pdf_bytes
from qwennb.errors import MediaError
from qwennb.request import Pdf

IMAGES = Images(forms=("base64",), formats=("png", "jpeg"), max_pixels=2_621_440)


def paper(*shades, size=(612, 792), extra="", rotate=0):
    """A PDF with a page for each shade of grey, filled in its lower left quarter."""
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(shades)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Count {len(shades)} /Kids [{kids}] >>"]
    for i, shade in enumerate(shades):
        box = f"/MediaBox [0 0 {size[0]} {size[1]}] /Rotate {rotate}"
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Contents {4 + 2 * i} 0 R >>")
        objects.append(stream(f"{shade} g 0 0 {size[0] / 2} {size[1] / 2} re f"))
    return pdf_of(objects, extra)


def letter(number):
    """A page of text, in a typeface and words that its number says."""
    face = ("Helvetica", "Times-Roman", "Courier", "Helvetica-Bold", "Times-Italic", "Courier-Bold")[
        number % 6
    ]
    lines = " ".join(f"({number * i} {chr(65 + i) * 6}) Tj 0 -6 Td" for i in range(25))
    page = "/MediaBox [0 0 200 200] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >>"
    return pdf_of(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            f"<< /Type /Page /Parent 2 0 R {page} >>",
            stream(f"BT /F1 9 Tf 10 180 Td {lines} ET"),
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{face} >>",
        ]
    )


def stream(drawing):
    return f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream"


def pdf_of(objects, extra=""):
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    end = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n<< /Size {count} /Root 1 0 R {extra} >>\n"
    return made + f"{end}startxref\n{len(made)}\n%%EOF\n".encode()


def drawn(content, images=IMAGES, most=100, **options):
    pages = pages_of(Pdf(content, **options), images, "here", most)
    return [Pillow.open(io.BytesIO(page.data)).convert("L") for page in pages]


def shade(page):
    return page.getpixel((page.width // 4, page.height * 3 // 4)) / 255


def test_pages_are_drawn_in_order_and_sharp_enough_to_read():
    pages = drawn(paper(0.0, 0.4, 0.8))
    assert [shade(page) for page in pages] == pytest.approx([0, 0.4, 0.8], abs=0.01)
    assert pages[0].size == pytest.approx((1275, 1650), abs=1)  # letter paper at 150 dots an inch


def test_pages_that_were_asked_for_are_drawn_as_asked():
    assert [shade(page) for page in drawn(paper(0.0, 0.4, 0.8), pages=[3, 1])] == pytest.approx(
        [0.8, 0], abs=0.01
    )


def test_a_page_that_lies_is_turned_upright():
    page = drawn(paper(0.0, rotate=90))[0]
    assert page.size == pytest.approx((1650, 1275), abs=1)
    assert page.getpixel((page.width // 4, page.height // 4)) == 0


@pytest.mark.parametrize("budget", [1_000_000, 100_000, 5_000])
@pytest.mark.parametrize("size", [(612, 792), (14_400, 14_400), (20, 2000), (333.3, 777.7)])
def test_a_page_stays_within_its_pixels(size, budget):
    page = drawn(paper(0.0, size=size), max_pixels=budget)[0]
    assert page.width * page.height <= budget
    assert page.width / page.height == pytest.approx(size[0] / size[1], rel=0.2)


def test_text_becomes_png_which_every_server_reads():
    assert pages_of(Pdf(paper(0.5)), IMAGES, "here", 9)[0].mime == "image/png"


def test_too_many_pages_are_refused_with_how_to_choose():
    many = paper(*[0.5] * 30)
    with pytest.raises(
        MediaError, match=r"has 30 pages; here is sent at most 20 .* Pdf\(…, pages=range\(1, 20\)\)"
    ):
        drawn(many, most=20)
    assert len(drawn(many, most=20, pages=range(1, 20), max_pixels=10_000)) == 19
    with pytest.raises(MediaError, match=r"pages=range\(1, 4\)"):
        drawn(many, most=3)


def test_a_page_that_is_not_there_is_named():
    for use in (lambda pdf: pages_of(pdf, IMAGES, "here", 9), pdf_bytes):
        with pytest.raises(MediaError, match="has 2 pages; there is no page 7"):
            use(Pdf(paper(0, 1), pages=[1, 7]))


def test_a_whole_file_goes_as_it_is_and_chosen_pages_as_a_file_of_their_own():
    content = paper(0.0, 0.4, 0.8)
    assert pdf_bytes(Pdf(content)) == content
    cut = pdf_bytes(Pdf(content, pages=[2]))
    assert len(pypdfium2.PdfDocument(cut)) == 1
    assert shade(drawn(cut)[0]) == pytest.approx(0.4, abs=0.01)


LOCK = (
    "/ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 "
    f"/O <{'28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a'}> /U <{'00' * 32}> >>"
)


@pytest.mark.parametrize("use", [lambda pdf: pages_of(pdf, IMAGES, "here", 9), pdf_bytes])
def test_a_locked_or_broken_pdf_is_refused_in_one_sentence(use):
    with pytest.raises(MediaError, match="is locked with a password; save it without one"):
        use(Pdf(paper(0, extra=LOCK)))
    for broken in (b"%PDF-1.4 and nothing else", paper(0)[:80], paper()):
        with pytest.raises(MediaError, match=r"not a PDF that can be read|has no pages") as raised:
            use(Pdf(broken))
        assert "\n" not in str(raised.value)


def test_a_name_stands_in_what_went_wrong(tmp_path):
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF-1.4 and nothing else")
    with pytest.raises(MediaError, match=r"invoice\.pdf is not a PDF that can be read"):
        pdf_bytes(Pdf(tmp_path / "invoice.pdf"))


@pytest.mark.slow
def test_many_threads_draw_at_once():
    # In a process of its own: without its lock, PDFium brings the whole process down.
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from concurrent.futures import ThreadPoolExecutor
from tests.endpoints.test_media_pdf import drawn, letter
with ThreadPoolExecutor(8) as pool:  # each another letter, so that none is remembered
    pages = list(pool.map(lambda number: drawn(letter(number), max_pixels=20_000), range(400)))
assert all(page.getextrema()[0] < 128 for (page,) in pages)
print("drawn")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "drawn\n"), ran.stderr


def test_the_same_pages_are_not_drawn_twice():
    content = paper(0.123)
    first = pages_of(Pdf(content), IMAGES, "here", 9)
    assert pages_of(Pdf(content), IMAGES, "here", 9) is first


def test_a_pdf_without_bytes_names_its_hash():
    pdf = Pdf.from_json(Pdf(paper(0)).to_json())
    for use in (lambda: pages_of(pdf, IMAGES, "here", 9), lambda: pdf_bytes(pdf)):
        with pytest.raises(MediaError, match=pdf.digest):
            use()


@pytest.mark.slow
def test_without_pypdfium2_a_whole_file_still_goes_and_else_the_command_is_named():
    code = f"""
import sys
sys.modules["pypdfium2"] = None
from qwennb.catalog import Images
from qwennb.endpoints.media.pdf import pages_of, pdf_bytes
from qwennb.request import Pdf
content = {paper(0)!r}
assert pdf_bytes(Pdf(content)) == content
for use in (lambda: pages_of(Pdf(content), Images((), ()), "here", 9), lambda: pdf_bytes(Pdf(content, pages=[1]))):
    try: use()
    except ValueError as error: print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout.count('type: pip install "qwennb[pdf]"') == 2
