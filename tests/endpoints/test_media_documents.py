"""Documents on the wire: text below a line that says where it stands, pictures of pages without text."""

from __future__ import annotations

import pytest

from qwennb import Document, Image, Pdf
from qwennb.endpoints.dialects import Dialect
from qwennb.endpoints.media import count_letters, list_not_shown, measure, prepare
from qwennb.errors import MediaError
from qwennb.request import Message, Text
from tests.endpoints.test_media_parts import CATALOG, OWN, limits
from tests.papers import pdf

PAPER = pdf("Ada wrote this.", None, "Grace wrote that.")
BLIND = "397b", "mlx-vlm"


def written(*parts, endpoint="dashscope", model="qwen3.5-plus"):
    """The content of one message."""
    from qwennb.endpoints.media import MediaLimits

    allowed = MediaLimits.of(CATALOG.abilities(model, endpoint))
    return Dialect().message(Message("user", parts), allowed, in_turn=False)["content"]


@pytest.mark.parametrize("endpoint", ["dashscope", "openrouter", *OWN])
def test_each_page_stands_below_its_number_and_one_without_text_is_drawn(endpoint):
    parts = prepare(Pdf(PAPER), limits(endpoint))
    assert [part.get("text") for part in parts] == [
        "[page 1]\nAda wrote this.",
        "[page 2]",
        None,
        "[page 3]\nGrace wrote that.",
    ]
    assert parts[2]["type"] == "image_url"


def test_a_document_is_shown_by_its_name_on_every_page():
    texts = [part["text"] for part in prepare(Document(PAPER, name="r.pdf", pages=[3, 1]), limits("vllm"))]
    assert texts == ["[r.pdf, page 3]\nGrace wrote that.", "[r.pdf, page 1]\nAda wrote this."]


def test_documents_go_before_the_question_as_one_text():
    said = written(Text("Who wrote?"), Document(b"By Ada.\n", name="a.md"), Document(b"By Bea.", name="b.md"))
    assert said == "[a.md]\nBy Ada.\n\n[b.md]\nBy Bea.\n\nWho wrote?"


def test_where_the_prompt_says_what_stands_where_nothing_is_moved():
    said = written(
        Text("Compare "), Document(b"Ada", name="a"), Text(" with "), Document(b"Bea", name="b"), Text(".")
    )
    assert said == "Compare\n\n[a]\nAda\n\nwith\n\n[b]\nBea\n\n."


def test_pdfs_without_a_name_are_counted_where_there_are_several():
    said = written(Text("?"), Pdf(pdf("one")), Document(b"x", name="x"), Pdf(pdf("two")))
    assert said == "[PDF 1, page 1]\none\n\n[x]\nx\n\n[PDF 2, page 1]\ntwo\n\n?"


def test_pictures_stay_behind_the_question_and_documents_before_it():
    drawn = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
    said = written(Text("?"), Image("https://example.org/a.png"), Document(b"x", name="x"))
    assert [part["type"] for part in said] == ["text", "image_url"] and said[0]["text"] == "[x]\nx\n\n?"
    assert drawn


def test_a_pdf_as_pictures_goes_as_in_0_1():
    said = written(Text("Read it"), Pdf(PAPER, as_="pictures", pages=[1, 2]))
    assert [part["type"] for part in said] == ["text", "image_url", "image_url"]


def test_a_piece_says_on_which_lines_it_stands():
    text = "".join(f"line {i}\n" for i in range(1, 9)).encode()
    assert (
        written(Text("?"), Document(text, name="a.txt", span=(7, 21)))
        == "[a.txt, lines 2 to 3]\nline 2\nline 3\n\n?"
    )


def test_as_text_leaves_out_what_has_none_and_says_so_to_the_model_and_to_the_user():
    parts = prepare(Pdf(PAPER, as_="text"), limits("vllm"))
    assert parts[1]["text"] == "[page 2]\n(This page is a picture without text, and is not shown.)"
    assert list_not_shown([Pdf(PAPER, as_="text"), Pdf(PAPER), Document(b"x", as_="text")]) == [
        ("what was given as bytes", (2,))
    ]


def test_a_model_that_sees_nothing_is_told_of_by_what_to_type():
    with pytest.raises(
        MediaError, match=r'page 2 of .* has no text but a picture, and .* sees no pictures; .*as_="text"'
    ):
        written(Pdf(PAPER), model=BLIND[0], endpoint=BLIND[1])
    assert "Ada wrote this." in written(Pdf(PAPER, pages=[1]), model=BLIND[0], endpoint=BLIND[1])


def test_only_pages_that_are_drawn_are_counted_against_the_most_pictures():
    many = Pdf(pdf(*["A page with text."] * 120, None))
    assert sum(part["type"] == "image_url" for part in prepare(many, limits("dashscope"))) == 1
    with pytest.raises(
        MediaError, match=r"101 pages of .* have no text .* at most 100 as pictures; choose some with pages="
    ):
        prepare(Pdf(pdf(*[None] * 101)), limits("dashscope"))


def test_how_much_a_document_is_can_be_told_before_it_goes():
    assert count_letters([Document(PAPER, name="r.pdf"), Pdf(PAPER, as_="pictures")]) == len(
        "Ada wrote this.Grace wrote that."
    )
    extent = measure(Document(PAPER, name="r.pdf"))
    assert (extent.pages, extent.pictures) == (3, 1)
    assert (
        extent.text
        == "[r.pdf, page 1]\nAda wrote this.\n\n[r.pdf, page 2]\n\n\n[r.pdf, page 3]\nGrace wrote that."
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"%PDF-1.4 and nothing else", ""), (b"caf\xe9", "is not UTF-8")],
)
def test_a_file_that_can_not_be_read_is_named_in_one_sentence(content, words):
    with pytest.raises(MediaError, match=rf"^r\.pdf.*{words}") as raised:
        prepare(Document(content, name="r.pdf"), limits("vllm"))
    assert "\n" not in str(raised.value)
