"""Chunks folded into a draft: the same however the stream is cut, and in time that grows with what came."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.answer import CallPiece, Chunk, Draft, Fold, Logprob, Usage, WebSource
from qwennb.request import ToolCall


def folded(*chunks):
    fold = Fold()
    shown = [fold.add(chunk) for chunk in chunks]
    return fold.draft(), shown


def cut(text, places):
    """*text* cut at *places*."""
    edges = [0, *sorted({place for place in places if 0 < place < len(text)}), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def draft_of(text):
    draft, _ = folded(Chunk(text))
    return draft.text, draft.reasoning


STREAMS = {
    "<think>I see.</think>\n\nYes.": ("Yes.", "I see."),
    "<think>\nI see.\n</think>\n\nYes.": ("Yes.", "I see."),
    "\n <think>\n\n</think>\n\nYes.": ("Yes.", ""),
    "<think></think>Yes.": ("Yes.", ""),
    "<think>a < b </ think> </thin</think>Yes </think> no": ("Yes </think> no", "a < b </ think> </thin"),
    "<think>endless </thi": ("", "endless </thi"),
    "<think>": ("", ""),
    "<thin": ("<thin", ""),
    "<thinking>no</thinking>": ("<thinking>no</thinking>", ""),
    "  \n Yes.": ("  \n Yes.", ""),
    "Yes <think>no</think>\n": ("Yes <think>no</think>\n", ""),
    "": ("", ""),
    " \n ": (" \n ", ""),
    "I see.\n</think>\n\nYes.": ("Yes.", "I see."),
    "\n</think>\n\nYes.": ("Yes.", ""),
    "</think>\n\nYes.": ("Yes.", ""),
    "I see.\n\nAnd more.\n</think>": ("", "I see.\n\nAnd more."),
    "Ends with a tag</think>": ("Ends with a tag</think>", ""),
    "The tag\n</think> ends it.": ("The tag\n</think> ends it.", ""),
    "Write:\n```\n<think>\nx\n</think>\n```\n": ("Write:\n```\n<think>\nx\n</think>\n```\n", ""),
    "Write:\n```\nx\n</think>\n```\n": ("Write:\n```\nx\n</think>\n```\n", ""),
    "It wrote <think>:\nx\n</think>\nand so on.": ("It wrote <think>:\nx\n</think>\nand so on.", ""),
    "Plan:\n```\ncode\n```\n</think>\nDone": ("Done", "Plan:\n```\ncode\n```"),
    "<think>Use ```\n<think>\n``` here</think>\nAs in\n```\n</think>\n```": ("As in\n```\n</think>\n```", "Use ```\n<think>\n``` here"),
    "<think>a</think>\n\n\n\n  Yes\n": ("  Yes\n", "a"),
    " " * 64 + "<think>a</think>b": ("b", "a"),
    " " * 65 + "<think>a</think>b": (" " * 65 + "<think>a</think>b", ""),
}  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
def test_a_leading_thought_is_moved_to_the_reasoning_however_the_stream_is_cut(stream):
    expected = STREAMS[stream]
    assert draft_of(stream) == expected
    by_character, _ = folded(*(Chunk(character) for character in stream))
    assert (by_character.text, by_character.reasoning) == expected
    for place in range(1, len(stream)):
        draft, _ = folded(Chunk(stream[:place]), Chunk(stream[place:]))
        assert (draft.text, draft.reasoning) == expected, place
    draft, _ = folded(*(chunk for c in stream for chunk in (Chunk(c), Chunk(), Chunk(finish_reason="stop"))))
    assert (draft.text, draft.reasoning) == expected


soup = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<", "/", "think>", "\n", " ", "```", "a", "word ", "</thin", "é"]
    ),
    max_size=20,
).map("".join)


@given(soup, st.lists(st.integers(0, 90), max_size=20))
@settings(max_examples=120, deadline=None)
def test_any_cutting_of_any_text_gives_the_same_draft(text, places):
    whole, _ = folded(Chunk(text))
    pieces, shown = folded(*map(Chunk, cut(text, places)))
    assert pieces == whole
    # What was shown along the way is what the draft holds, but for what only the end could tell.
    said, thought = "".join(c.text for c in shown), "".join(c.reasoning for c in shown)
    if whole.reasoning and thought.strip("\n"):
        assert whole.text == said
        assert whole.reasoning.startswith(thought.strip("\n"))
    else:
        assert whole.text in said + text
        assert text.startswith(said) or not thought.strip("\n")


whole_chunks = st.builds(
    Chunk,
    text=soup,
    reasoning=st.text(max_size=4),
    tool_calls=st.lists(st.builds(CallPiece, st.integers(0, 2), st.sampled_from(["", "x"]), st.sampled_from(["", "f"]), st.text(max_size=4)), max_size=2).map(tuple),
    logprobs=st.lists(st.builds(Logprob, st.text(max_size=2), st.floats(-9, 0)), max_size=1).map(tuple),
    finish_reason=st.sampled_from([None, "stop"]),
    usage=st.none() | st.builds(Usage, st.integers(0, 9)),
)  # fmt: skip


@given(st.lists(whole_chunks, max_size=5))
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_a_chunk_split_into_its_characters_gives_the_same_draft(chunks):
    def apart(chunk):
        yield from (Chunk(reasoning=character) for character in chunk.reasoning)
        yield from (Chunk(character) for character in chunk.text)
        for piece in chunk.tool_calls:
            yield Chunk(tool_calls=(CallPiece(piece.index, piece.id, piece.name, piece.arguments[:1]),))
            yield from (Chunk(tool_calls=(CallPiece(piece.index, arguments=c),)) for c in piece.arguments[1:])
        yield Chunk(logprobs=chunk.logprobs, finish_reason=chunk.finish_reason, usage=chunk.usage)

    # Within one chunk the thought comes before the text.
    together, _ = folded(*chunks)
    split, _ = folded(*(piece for chunk in chunks for piece in apart(chunk)))
    assert split == together


def test_a_thought_of_its_own_field_stays_and_tags_in_the_text_are_read_beside_it():
    draft, _ = folded(Chunk(reasoning="\nthink\n"), Chunk("The answer\n</think>\nis no."))
    assert (draft.text, draft.reasoning) == ("The answer\n</think>\nis no.", "\nthink\n")
    draft, _ = folded(Chunk(reasoning="a"), Chunk("<think>b</think>c"))
    assert (draft.text, draft.reasoning) == ("c", "ab")
    draft, _ = folded(Chunk("<think>long thought"), Chunk(reasoning="own"), Chunk(" goes on</think>c"))
    assert (draft.text, draft.reasoning) == ("c", "long thoughtown goes on")


def test_what_is_shown_never_holds_a_tag_and_comes_as_it_is_known():
    _, shown = folded(*(Chunk(c) for c in "<think>I see</think>\n\nYes"))
    assert [(c.text, c.reasoning) for c in shown if c.text or c.reasoning] == [
        ("", c) for c in "I see"
    ] + [(c, "") for c in "Yes"]  # fmt: skip


def test_a_draft_can_be_looked_at_while_the_stream_goes_on():
    fold = Fold()
    seen = []
    for character in "<think>ab</think>cd":
        fold.add(Chunk(character))
        seen.append((fold.draft().text, fold.draft().reasoning))
    assert seen[-1] == ("cd", "ab")
    assert seen[7] == ("", "a")


# ------------------------------------------------------------------ tool calls


def calls(*pieces):
    draft, _ = folded(*(Chunk(tool_calls=(piece,)) for piece in pieces))
    return [(call.id, call.name, call.arguments) for call in draft.tool_calls]


def test_tool_calls_are_pieced_together_by_index():
    assert calls(
        CallPiece(1, "b", "g"),
        CallPiece(0, "a", "f", '{"x"'),
        CallPiece(1, arguments="{}"),
        CallPiece(0, arguments=": 1"),
        CallPiece(0, arguments="}"),
    ) == [("a", "f", '{"x": 1}'), ("b", "g", "{}")]


def test_a_server_that_repeats_id_and_name_in_every_piece_makes_one_call():
    assert calls(
        CallPiece(0, "a", "f", '{"x"'), CallPiece(0, "a", "f", ": 1"), CallPiece(0, "a", "f", "}")
    ) == [("a", "f", '{"x": 1}')]
    assert calls(CallPiece(0, "", "f", '{"x"'), CallPiece(0, "", "f", ": 1}"), CallPiece(0, "", "f", "")) == [
        ("call_0", "f", '{"x": 1}')
    ]
    assert calls(CallPiece(0, "a", "f", "{"), CallPiece(0, "other", "", "}")) == [("a", "f", "{}")]


def test_calls_that_are_not_counted_are_told_apart_by_id_or_name():
    assert calls(CallPiece(0, "a", "f", "{}"), CallPiece(0, "b", "f", '{"x": 1}')) == [
        ("a", "f", "{}"),
        ("b", "f", '{"x": 1}'),
    ]
    assert calls(CallPiece(0, "", "f", "{}"), CallPiece(0, "", "f", '{"x": 1}')) == [
        ("call_0", "f", "{}"),
        ("call_1", "f", '{"x": 1}'),
    ]
    assert calls(CallPiece(0, "", "f", ""), CallPiece(0, "", "g", "{}")) == [
        ("call_0", "f", ""),
        ("call_1", "g", "{}"),
    ]


def test_calls_without_an_id_get_one_each():
    draft, _ = folded(Chunk(tool_calls=(CallPiece(0, "", "f", "{}"), CallPiece(1, "", "g", "{}"))))
    assert draft.tool_calls == (ToolCall("call_0", "f", "{}"), ToolCall("call_1", "g", "{}"))


# ------------------------------------------------------------------ everything else


def test_reasoning_blocks_are_joined_by_index_and_whole_ones_stay():
    draft, _ = folded(
        Chunk(reasoning_blocks=({"type": "reasoning.text", "index": 0, "text": "I ", "signature": None},)),
        Chunk(reasoning_blocks=({"type": "reasoning.text", "index": 1, "text": "other"},)),
        Chunk(reasoning_blocks=({"type": "reasoning.text", "index": 0, "text": "see", "format": "qwen"},)),
        Chunk(reasoning_blocks=({"type": "reasoning.summary", "index": 0, "summary": "in "},)),
        Chunk(reasoning_blocks=({"type": "reasoning.summary", "index": 0, "summary": "short"},)),
        Chunk(reasoning_blocks=({"type": "reasoning.encrypted", "index": 0, "data": "x"},)),
        Chunk(reasoning_blocks=({"type": "reasoning.encrypted", "index": 0, "data": "y"},)),
        Chunk(
            reasoning_blocks=(
                {"type": "reasoning.text", "text": "no index"},
                {"type": "reasoning.text", "text": "each its own"},
            )
        ),
        Chunk(reasoning_blocks=({"type": "reasoning.text", "index": 0, "text": ".", "signature": "s"},)),
    )
    assert json.loads(draft.reasoning_blocks) == [
        {"type": "reasoning.text", "index": 0, "text": "I see.", "signature": "s", "format": "qwen"},
        {"type": "reasoning.text", "index": 1, "text": "other"},
        {"type": "reasoning.summary", "index": 0, "summary": "in short"},
        {"type": "reasoning.encrypted", "index": 0, "data": "x"},
        {"type": "reasoning.encrypted", "index": 0, "data": "y"},
        {"type": "reasoning.text", "text": "no index"},
        {"type": "reasoning.text", "text": "each its own"},
    ]


def test_a_block_given_whole_comes_out_unmodified():
    block = {"type": "reasoning.text", "index": 0, "text": "a", "odd": {"deep": [1, None]}, "id": None}
    draft, _ = folded(Chunk(reasoning_blocks=(block,)))
    assert json.loads(draft.reasoning_blocks) == [block]


def test_what_is_told_again_counts_as_it_was_told_last():
    draft, _ = folded(
        Chunk("a", usage=Usage(1, 1), served_by="m", id="1", cost=0.5),
        Chunk("b", finish_reason="stop", usage=Usage(1, 2)),
        Chunk(
            sources=(
                WebSource("A", "https://a"),
                WebSource("B", "https://b"),
                WebSource("again", "https://a"),
            ),
            cost=0.0,
        ),
        Chunk(ended=True),
    )
    assert draft == Draft(
        text="ab",
        sources=(WebSource("A", "https://a"), WebSource("B", "https://b")),
        finish_reason="stop",
        usage=Usage(1, 2),
        cost=0.0,
        served_by="m",
        id="1",
    )


def test_nothing_at_all_is_an_empty_draft_and_no_logprobs_are_none():
    assert folded()[0] == Draft()
    assert folded(Chunk("a", logprobs=(Logprob("a", -0.1),)))[0].logprobs == (Logprob("a", -0.1),)


def test_a_stream_has_ended_when_a_chunk_says_so():
    fold = Fold()
    fold.add(Chunk("a"))
    assert not fold.ended
    fold.add(Chunk(ended=True))
    fold.add(Chunk())
    assert fold.ended


MANY = 100_000
STREAMS_OF_MANY = {
    "thought": [Chunk("<think>"), *[Chunk("x")] * MANY, Chunk("</think>ok")],
    "arguments": [*[Chunk(tool_calls=(CallPiece(0, "a", "f", "1"),))] * MANY, Chunk("ok")],
}
RARER_STREAMS_OF_MANY = {
    "openings": [Chunk("<think>"), *[Chunk("<")] * MANY, Chunk("</think>ok")],
    "empty lines": [Chunk("<think>"), *[Chunk("\n")] * MANY, Chunk("</think>ok")],
    "empty lines after": [Chunk("<think>a</think>"), *[Chunk("\n")] * MANY, Chunk("ok")],
    "blanks": [*[Chunk(" ")] * MANY, Chunk("ok")],
    "blocks": [
        *[Chunk(reasoning_blocks=({"type": "reasoning.text", "index": 0, "text": "x"},))] * MANY,
        Chunk("ok"),
    ],
    "text": [*[Chunk("x", id="1", served_by="m")] * MANY, Chunk("ok")],
}


@pytest.mark.parametrize(
    "chunks",
    [
        *(pytest.param(chunks, id=name) for name, chunks in STREAMS_OF_MANY.items()),
        *(
            pytest.param(chunks, id=name, marks=pytest.mark.slow)
            for name, chunks in RARER_STREAMS_OF_MANY.items()
        ),
    ],
)
def test_a_hundred_thousand_chunks_are_folded_in_two_seconds(chunks, seconds):
    with seconds(2.0):
        draft, _ = folded(*chunks)
    assert draft.text.endswith("ok")


def test_the_reason_that_was_told_last_is_why_it_ended():
    fold = Fold()
    for chunk in (Chunk("a", finish_reason="length"), Chunk("b", finish_reason="stop"), Chunk("c")):
        fold.add(chunk)
    assert fold.draft().finish_reason == "stop"
