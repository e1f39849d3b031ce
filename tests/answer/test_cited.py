"""Quotes against their source: what stands there is found in its place, what does not is never shown as proof."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.answer import Answer, Page, Quote, with_quotes
from qwennb.request import CitedSchema, Document, Request, user_message

# No word stands twice, so that there is one right place; each has what gets lost between a page and a model.
WORDS = [
    f"{stem}{chr(97 + n // 26)}{chr(97 + n % 26)}"
    for n in range(60)
    for stem in ("office", "flour’s", "First")
]
BREAKS = (" ", "  ", "\n", "\n\n", "\t", "\xa0")


def request(*files: Document, text: str = "What?") -> Request:
    form = CitedSchema.around(None)
    return Request("m", (user_message(text, files=list(files) or None),), schema=form)


def cited(asked: Request, *pairs: tuple[str, str]) -> Answer:
    said = json.dumps({"claims": [{"quotes": [quote], "claim": claim} for quote, claim in pairs]})
    return with_quotes(Answer(asked, said))


@st.composite
def quoted(draw):
    """A text of lines, a span of its words, and the quote of it as a model may copy it; and the line where it begins."""
    lines = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    words = iter(WORDS)
    rows = [[next(words) for _ in range(count)] for count in lines]
    flat = [(word, number) for number, row in enumerate(rows, 1) for word in row]
    start = draw(st.integers(0, len(flat) - 1))
    span = flat[start : draw(st.integers(start + 1, len(flat)))]
    copied = ""
    for word, _ in span:
        kind = draw(st.integers(0, 4))
        if kind == 1:
            word = word.replace("ffi", "ﬃ").replace("fl", "ﬂ")
        elif kind == 2:
            word = word.upper() if draw(st.booleans()) else word.replace("’", "'")
        elif kind == 3:
            word = f"{word[:3]}-\n{word[3:]}"
        copied += (draw(st.sampled_from(BREAKS)) if copied else "") + word
    return "\n".join(map(" ".join, rows)), span, copied


@settings(max_examples=60)
@given(quoted())
def test_a_quote_copied_as_models_copy_is_found_in_its_line(case):
    text, span, copied = case
    document = Document(text.encode(), name="a.txt")
    (quote,) = cited(request(document), (copied, "So.")).quotes
    assert (quote.found, quote.file, quote.line) == (True, "a.txt", span[0][1])


@settings(max_examples=60)
@given(quoted(), st.data())
def test_a_quote_with_one_word_changed_is_not_found(case, data):
    text, span, copied = case
    words = copied.split()
    place = data.draw(st.integers(0, len(words) - 1))
    change = data.draw(st.sampled_from(["other", "swap", "part"]))
    if change == "swap" and len(span) > 1 and len(words) == len(span):
        words[0], words[-1] = words[-1], words[0]
    elif change == "part" and len(words) == len(span):
        words[place] = words[place][:-1]
    else:
        words[place] = "other"
    document = Document(text.encode(), name="a.txt")
    answer = cited(request(document), (" ".join(words), "So."))
    assert answer.quotes[0].found is False
    assert answer.text == "So. [1: not found in the source]"


def test_a_quote_that_is_not_there_is_told_so_wherever_it_is_shown():
    answer = cited(
        request(text="It costs five pounds."),
        ("five pounds", "Five."),
        ("six pounds", "Six."),
        ("", "Seven."),
    )
    page = Page((answer,))
    for shown in (page.plain(), page.markdown().replace("&#91;", "[").replace("&#93;", "]")):
        assert "[1] “five pounds” (the question, line 1)" in shown
        assert "[2] not found in the source: “six pounds”" in shown
        assert "[3] no quote" in shown
    fields = Answer(answer.request, "{}", data={"a": 1, "b": 2}, quotes=(Quote("a", "six", found=False),))
    assert "| a | 1 | not found in the source: “six” |" in Page((fields,)).markdown()


def test_a_claim_can_forge_neither_a_mark_nor_a_quote():
    forged = "Five. [1]\n\n[1] “we owe five” (10-K.pdf, page 3, line 1) [2: not checked] [no quote]"
    answer = cited(request(), ("", forged))
    assert answer.text == (
        "Five. (1) (1) “we owe five” (10-K.pdf, page 3, line 1) (2: not checked) (no quote) [no quote]"
    )


def test_the_quote_of_a_field_called_otherwise_is_shown_below_the_table():
    answer = Answer(request(), "{}", data={"a": 1}, quotes=(Quote("alias", "one", "a.txt", None, 1, True),))
    assert "alias: “one” (a.txt, line 1)" in Page((answer,)).markdown()


@pytest.mark.parametrize(
    "said",
    [
        "no",
        "[]",
        "{}",
        "null",
        '{"claims": [1]}',
        '{"claims": {"quotes": 1}}',
        '{"claims": [{"claim": "x", "quotes": "x"}]}',
        '{"claims": [{"claim": "x", "quotes": [1]}]}',
        '{"values": 1, "quotes": {}}',
        '{"values": {"a": 1}, "quotes": []}',
    ],
)
def test_what_is_in_no_such_form_stays_as_it_was_said(said):
    read = Request.from_json(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "x"}],
            "schema": {"type": "object"},
            "cite": True,
        }
    )
    answer = with_quotes(Answer(read, said))
    assert answer.text == said and answer.quotes == ()
