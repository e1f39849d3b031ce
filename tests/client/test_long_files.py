"""Files longer than the window, asked in pieces: where they are cut, what is kept through the combining, what is told before."""

from __future__ import annotations

import re

import pytest

from qwennb import Document, Pdf, Qwen
from qwennb.client import QwenWarning
from qwennb.client.long_documents import cut_document
from qwennb.errors import BadInput, MediaError, NotRecorded
from qwennb.simulator import Reply
from tests.papers import pdf

SMALL = "qwen2.5-coder-0.5b-instruct"  # of a window of 8,192 tokens
PAGES = [
    f"Chapter {i}. The figure of this page is {1000 + i}.\n" + "It says little. " * 40 for i in range(1, 101)
]
REPORT = pdf(*PAGES)


def find(asked):
    """A model that finds the figure of page 57 where it stands, and combines what was found."""
    if "What each part gave follows" in asked.text:
        return next(iter(re.findall(r"The figure is \d+ \(page \d+\)", asked.text)), "Nothing was found.")
    found = re.search(r"page 57\]\s*Chapter 57\. The figure of this page is (\d+)", asked.text)
    return f"The figure is {found[1]} (page 57)." if found else "This part says nothing about it."


@pytest.fixture
def small(simulate, client):
    """A simulator of a small window, and a client of it."""
    sim = simulate("llama.cpp", models=[SMALL], script=find)
    return sim, client(sim)


def sent(sim):
    return [entry.body["messages"][-1]["content"] for entry in sim.ledger.asks()]


def pages_in(text):
    return [int(page) for page in re.findall(r"page (\d+)\]", text)]


def test_a_pdf_is_asked_by_pages_and_the_page_is_kept_through_the_combining(small):
    sim, qwen = small
    answer = qwen.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    assert answer.text == "The figure is 1057 (page 57)"
    *parts, last = sent(sim)
    assert [
        page for part in sorted(parts, key=lambda part: pages_in(part)[0]) for page in pages_in(part)
    ] == list(range(1, 101))
    assert "Part 1 of 4 (the PDF, pages 1 to " in last and last.endswith("What is the figure of chapter 57?")
    assert all("Answer from this part alone" in part for part in parts)


def test_what_was_asked_in_pieces_is_recalled_and_replayed(small, tmp_path):
    sim, qwen = small
    first = qwen.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    asked = sim.ledger.count("asked")
    assert qwen.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map") == first
    again = Qwen(model=SMALL, cache="replay", cache_dir=tmp_path / "cache", endpoint="llama.cpp")
    assert again.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map").text == first.text
    assert sim.ledger.count("asked") == asked
    with pytest.raises(NotRecorded):
        again.ask("What else?", files=[REPORT], overflow="map")


def test_pieces_are_the_same_pdf_with_pages_and_as_large_as_fits():
    pieces = cut_document(Pdf(REPORT), 6_000)
    assert all(isinstance(piece, Pdf) and piece.digest == Pdf(REPORT).digest for piece in pieces)
    assert [page for piece in pieces for page in piece.pages] == list(range(1, 101))
    assert len({len(piece.pages) for piece in pieces[:-1]}) == 1 and len(pieces[0].pages) > 25
    assert [piece.pages for piece in cut_document(Pdf(REPORT, pages=[9, 7, 8]), 300)] == [(9,), (7,), (8,)]


def test_a_text_is_cut_at_its_headings_and_says_its_lines():
    text = "".join(f"# Part {i}\n\n" + f"Sentence {i}. " * 200 + "\n" for i in range(1, 9))
    pieces = cut_document(Document(text.encode(), name="a.md"), 2_500)
    assert "".join(piece.read().pages[0].text for piece in pieces) == text
    assert all(piece.read().pages[0].text.startswith("# Part") for piece in pieces) and len(pieces) > 2
    assert [piece.lines()[0] for piece in pieces] == [
        1 + text[: piece.span[0]].count("\n") for piece in pieces
    ]
    again = [one for piece in pieces for one in cut_document(piece, 700)]
    assert "".join(one.read().pages[0].text for one in again) == text


@pytest.mark.parametrize("text", ["x" * 30_000, "word " * 9_000, "日本語" * 4_000, "a\n" * 20_000])
def test_whatever_a_text_is_made_of_it_is_cut_and_nothing_is_lost(text):
    pieces = cut_document(Document(text.encode(), name="a"), 2_000)
    assert "".join(piece.read().pages[0].text for piece in pieces) == text and len(pieces) > 1


def test_a_page_that_is_itself_too_long_is_cut_as_a_text():
    pieces = cut_document(Pdf(pdf("short", "\n".join(f"Line {i} of a long page." for i in range(52)))), 200)
    assert pieces[0].pages == (1,) and all(piece.pages == (2,) and piece.span for piece in pieces[1:])


def test_small_files_go_together_and_a_long_one_is_never_mixed(small):
    sim, qwen = small
    files = [
        Document(b"By Ada.", name="a.md"),
        Document(b"By Bea.", name="b.md"),
        REPORT,
        Document(b"By Cid.", name="c.md"),
    ]
    qwen.ask("Who wrote?", files=files, overflow="map")
    *parts, last = sent(sim)
    mixed = [(("[a.md]" in part, "[b.md]" in part, bool(pages_in(part)), "[c.md]" in part)) for part in parts]
    assert sorted(set(mixed)) == [
        (False, False, False, True),
        (False, False, True, False),
        (True, True, False, False),
    ]
    assert "Part 1 of 6 (a.md, b.md): " in last and "Part 6 of 6 (c.md): " in last


def test_several_pdfs_without_a_name_are_told_apart(small):
    sim, qwen = small
    qwen.ask("Who?", files=[REPORT, pdf("another")], overflow="map")
    assert "(PDF 1, pages 1 to " in sent(sim)[-1] and "(PDF 2): " in sent(sim)[-1]


def test_documents_in_the_template_are_cut_where_they_stand(small):
    sim, qwen = small
    qwen.ask(
        "Read {{ a }} and then {{ b }}.",
        a=Document(REPORT, name="a.pdf"),
        b=Document(b"Bea", name="b"),
        overflow="map",
    )
    *parts, last = sent(sim)
    first = next(part for part in parts if "[a.pdf, page 1]" in part)
    assert "Read\n\n[a.pdf, page 1]" in first and first.endswith("and then [a file of another part].")
    assert "Read [a file; what was found in it stands above]" in last


def test_what_fits_is_asked_as_it_is(small):
    sim, qwen = small
    qwen.ask("Who wrote?", files=[Document(b"By Ada.", name="a.md")], overflow="map")
    assert sent(sim) == ["[a.md]\nBy Ada.\n\nWho wrote?"]


def test_a_form_is_asked_of_the_whole_alone(small):
    sim, qwen = small
    sim.script(lambda asked: '{"figure": 1057}' if "What each part gave" in asked.text else find(asked))
    answer = qwen.ask(
        "What is the figure of chapter 57?", files=[REPORT], overflow="map", schema="figure int"
    )
    assert answer.data == {"figure": 1057}
    assert ["response_format" in entry.body for entry in sim.ledger.asks()] == [False] * 4 + [True]


def test_answers_too_long_to_be_combined_are_read_in_pieces_once_more_or_refused(small):
    sim, qwen = small
    sim.script(lambda asked: "It says little of it. " * 500)
    with pytest.raises(
        BadInput, match="The answers to the 4 pieces of the PDF are too long to be combined. Ask for shorter"
    ):
        qwen.ask("What?", files=[REPORT], overflow="map")


def test_what_surrounds_the_files_must_leave_them_room(small):
    _, qwen = small
    with pytest.raises(BadInput, match="What surrounds the files is itself too long for the window of"):
        qwen.ask("What? " * 4_000, files=[REPORT], overflow="map")


def test_a_plan_says_pages_tokens_and_pieces_before_anything_is_sent(small):
    sim, qwen = small
    plan = qwen.plan("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    assert (plan.documents, plan.pages, plan.pieces, plan.requests, plan.to_ask) == (1, 100, 4, 5, 5)
    assert str(plan).startswith(
        f"1 document, 100 pages: {plan.input} tokens with the question, asked in 4 pieces and combined\n5 requests, "
    )
    assert sim.ledger.count("asked") == 0
    qwen.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    again = qwen.plan("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    assert (again.pieces, again.known, again.to_ask) == (4, 5, 0)


def test_a_plan_of_what_fits_tells_documents_and_pages(small):
    plan = small[1].plan("What?", files=[Document(b"x", name="a"), pdf("one", "two")])
    assert str(plan).startswith(f"2 documents, 3 pages: {plan.input} tokens with the question\n1 request, ")


def test_a_stream_asks_the_pieces_first_and_shows_what_they_are_combined_to(small):
    _, qwen = small
    stream = qwen.stream("What is the figure of chapter 57?", files=[REPORT], overflow="map")
    assert "".join(piece.text for piece in stream) == "The figure is 1057 (page 57)"
    assert qwen.ask("What is the figure of chapter 57?", files=[REPORT], overflow="map").cached


def test_a_missing_file_is_told_before_anything_is_asked(small):
    _, qwen = small
    with pytest.raises(MediaError, match="there is no file missing.pdf"):
        qwen.ask("What?", files=["missing.pdf"], overflow="map")


def test_many_long_questions_are_asked_in_pieces_and_each_is_combined(small):
    sim, qwen = small
    other = pdf(*(page.replace("page is 1", "page is 2") for page in PAGES))
    asked = [{"doc": Document(REPORT)}, {"doc": "short"}, {"doc": Document(other)}]
    options = {"prompt": "What is the figure of chapter 57? {{ doc }}", "overflow": "map"}
    plan = qwen.plan(asked, **options)
    assert (plan.pieces, plan.requests, sim.ledger.count("asked")) == (8, 11, 0)
    first, short, last = qwen.ask_many(asked, **options)
    assert (first.text, last.text) == ("The figure is 1057 (page 57)", "The figure is 2057 (page 57)")
    assert short.error is None and sim.ledger.count("asked") == 11
    assert [answer.text for answer in qwen.ask_many(asked, **options)] == [first.text, short.text, last.text]
    assert sim.ledger.count("asked") == 11


def test_a_chat_says_that_it_goes_in_no_pieces(small):
    sim, qwen = small
    with pytest.raises(BadInput, match="no turn of a conversation"):
        qwen.chat().ask("What?", files=[REPORT], overflow="map")
    assert sim.ledger.count("asked") == 0


def test_a_plan_tells_nobody_of_the_pieces_that_it_looks_up(simulate, client):
    cut = Reply("It says nothing about", finish_reason="length", usage={"completion_tokens": 9})
    sim = simulate("llama.cpp", models=[SMALL], script=lambda asked: cut)
    heard = []
    qwen = client(sim, on_event=heard.append)
    given = {"files": [REPORT], "overflow": "map", "max_tokens": 9}
    with pytest.warns(QwenWarning):
        qwen.ask("What is the figure of chapter 57?", **given)
    before = len(heard)
    assert qwen.plan("What is the figure of chapter 57?", **given).known == 5 and len(heard) == before
    with pytest.warns(QwenWarning) as told:
        qwen.ask("What is the figure of chapter 57?", **given)
    assert sorted(str(one.message)[:9] for one in told) == ["4 of 4 an", "The answe"]
