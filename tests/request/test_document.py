"""Documents as values: what is in their key, and what they are called."""

from __future__ import annotations

import pytest

from qwennb import Document, Pdf
from qwennb.errors import MediaError
from qwennb.request import Image, Message, Request, Text, Video, media_from_json, part_of, recognise
from tests.papers import pdf

PAPER = pdf("one", "two", "three")
# As 0.1 made it of these very bytes, which are those of golden.py.
OLD = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
OLD_KEY = "8740f843985d25b690b7e69cfb57c5f41e652507a61a6485022b7607c2f1d43b"


def key(*parts):
    return Request("qwen3.5-plus", (Message("user", (Text("What is it?"), *parts)),)).key


def test_a_pdf_has_the_key_that_it_had_in_0_1_however_it_was_given(tmp_path):
    (tmp_path / "a.pdf").write_bytes(OLD)
    for given in (OLD, tmp_path / "a.pdf", Pdf(OLD), Pdf(OLD, as_="auto")):
        assert key(recognise(given)) == OLD_KEY
    assert Pdf(OLD, as_="pictures").to_json() == {**Pdf(OLD).to_json(), "as_": "pictures"}


def test_in_the_key_of_a_document_stand_its_bytes_its_name_and_what_was_set(tmp_path):
    (tmp_path / "notes.md").write_text("# Notes\n")
    document = Document(tmp_path / "notes.md")
    assert document.to_json() == {"type": "document", "sha256": document.digest, "name": "notes.md"}
    paper = Document(PAPER, name="r.pdf", pages=range(1, 3), as_="text", max_pixels=9, span=(0, 5))
    assert {**paper.to_json(), "sha256": 0, "type": 0} == {
        "type": 0, "sha256": 0, "name": "r.pdf", "pages": [1, 2], "as_": "text", "max_pixels": 9, "span": [0, 5],
    }  # fmt: skip
    assert key(Document(b"x", name="a")) != key(Document(b"x", name="b"))


def test_where_a_file_lies_is_not_in_its_key(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    by_path = [
        Document(one) for one in ("deep/notes.md", tmp_path / "deep" / "notes.md", "./deep/../deep/notes.md")
    ]
    assert {key(one) for one in by_path} == {key(Document(b"x", name="notes.md"))}
    assert Document(b"x", name="/home/ada/notes.md").name == "notes.md"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a b"),
        ("\x1b[31mred.md", "red.md"),
        ("\u202etxt.exe", "txt.exe"),
        ("a" * 300, "…" + "a" * 199),
        ("c:\\d\\e.md", "c:/d/e.md"),
    ],
)
def test_a_hostile_name_is_one_plain_line(name, shown):
    document = Document(b"x", name=name)
    assert document.name == shown and document.to_json()["name"] == shown
    assert Document.from_json(document.to_json()).name == shown


def test_a_name_that_is_no_unicode_has_a_key_all_the_same(tmp_path):
    path = tmp_path / b"caf\xe9.md".decode("utf-8", "surrogateescape")
    path.write_text("x")
    assert len(key(Document(path))) == 64 and len(key(recognise(path))) == 64


@pytest.mark.parametrize(
    "document",
    [
        Document(b"text", name="a.md"), Document(PAPER, pages=[3, 1]), Document(PAPER, as_="pictures", max_pixels=7),
        Document(b"a longer text", span=(2, 8)), Pdf(PAPER, as_="text"),
    ],
)  # fmt: skip
def test_a_document_comes_back_from_a_record_equal_with_or_without_its_bytes(document):
    again = media_from_json(document.to_json())
    assert again == document and again.to_json() == document.to_json()
    with pytest.raises(MediaError, match=document.digest):
        again.read()
    assert media_from_json(document.to_json(), document.content()).read().pages == document.read().pages


def test_a_record_takes_only_the_bytes_it_was_made_from():
    with pytest.raises(MediaError, match="is not the one that was asked about"):
        media_from_json(Document(b"x", name="a").to_json(), b"y")


def test_files_are_told_apart_by_their_bytes(tmp_path):
    for name, content, kind in (
        ("a.md", b"# Title", Document), ("b.bin", PAPER, Pdf), ("c", b"no ending", Document), ("d.csv", b"a,b\n1,2\n", Document), ("g.py", b"HEAD = b'%PDF-1.4'  # as every PDF begins\n", Document),
        ("e.txt", bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"), Image),
        ("f.txt", b"\0\0\0\x18ftypmp42" + bytes(16), Video),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert type(recognise(tmp_path / name)) is kind, name


def test_a_document_in_a_template_is_the_part_that_it_is():
    document = Document(b"x", name="a")
    assert part_of(document) is document and recognise(document) is document


def test_a_document_of_a_document_keeps_what_was_set_unless_other_is_given():
    document = Document(PAPER, name="a.pdf", pages=[1, 2], as_="text", max_pixels=9)
    assert Document(document) == document
    assert Document(document, pages=[3]) == Document(PAPER, name="a.pdf", pages=[3], as_="text", max_pixels=9)
    assert Document(Pdf(PAPER, pages=[2])) == Document(PAPER, pages=[2])


def test_a_span_is_a_piece_of_the_text_and_says_on_which_lines_it_stands():
    document = Document(b"one\ntwo\nthree\n", name="a", span=(4, 8))
    assert (document.read().pages[0].text, document.lines()) == ("two\n", (2, 2))
    with pytest.raises(MediaError, match=r"has several pages, and span= is of one; choose it with pages="):
        Document(PAPER, span=(0, 2)).read()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Document(b"\0\1\2"), "is no document that can be read"),
        (lambda: Document(b""), "is empty; give a file with something in it"),
        (lambda: Document(5), "`int` can't be used as a document; give a path or bytes"),
        (lambda: Document("https://example.org/a.pdf"), r"is not fetched; download it .* Pdf\(url\)"),
        (lambda: Document(Pdf("https://example.org/a.pdf")), r"is not fetched; download it .* Pdf\(url\)"),
        (
            lambda: Document(b"x", as_="pictures"),
            'only a PDF goes as_="pictures", and document is none; leave as_= out',
        ),
        (lambda: Document(b"x", as_="words"), '"auto", "text", "pictures", "file"'),
        (lambda: Document(b"x", pages=[0]), "is not a list of pages"),
        (lambda: Document(b"x", name=""), "is no name"),
        (lambda: Document(b"x", span=(3, 3)), "is no range of characters"),
        (lambda: Document(b"\x89PNG\r\n\x1a\n"), r"give it as Image\(…\)"),
        (lambda: Document("nowhere.docx"), "there is no file nowhere.docx"),
    ],
)
def test_what_is_no_document_is_refused_in_one_sentence(make, words):
    with pytest.raises(MediaError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)
