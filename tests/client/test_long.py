"""A document longer than the window: where it is cut, and what can't be cut."""

from __future__ import annotations

import pytest

from qwennb.client.long_documents import pieces
from qwennb.errors import BadInput

LONG = "The year was good. " * 60_000  # over a million bytes: more than the window of an open model


@pytest.mark.parametrize(
    ("text", "most", "made"),
    [
        ("one two\n\nthree\nfour\n\nfive", 14, ["one two\n\n", "three\nfour\n\n", "five"]),
        ("one two\nthree four\n", 12, ["one two\n", "three four\n"]),
        ("One. Two! Three? Four", 11, ["One. Two! ", "Three? Four"]),
        ("alpha beta gamma", 11, ["alpha beta ", "gamma"]),
        ("äöüß" * 2, 5, ["äö", "üß", "äö", "üß"]),
        ("日本語", 4, ["日", "本", "語"]),
        ("", 4, []),
    ],
)
def test_it_is_cut_at_the_largest_break_that_fits_and_never_within_a_character(text, most, made):
    assert pieces(text, most) == made
    assert all(len(piece.encode()) <= most for piece in made) and "".join(made) == text


def test_no_piece_is_smaller_than_a_character():
    with pytest.raises(BadInput, match="no room for even a piece"):
        pieces("text", 3)


@pytest.mark.parametrize(
    ("prompt", "values", "words"),
    [
        (LONG, {}, "no value is text"),
        ("{{ n }}" + LONG, {"n": 5}, "no value is text"),
        (LONG + "{{ doc }}", {"doc": "short"}, "What surrounds `doc` is itself too long"),
    ],
)
def test_what_can_not_be_cut_is_told_with_what_to_do(simulate, client, prompt, values, words):
    sim = simulate("vllm")
    with pytest.raises(BadInput, match=words):
        client(sim).ask(prompt, overflow="map", **values)
    assert sim.ledger.count("asked") == 0


@pytest.mark.slow
def test_answers_as_long_as_the_document_are_not_combined_for_ever(simulate, client):
    sim = simulate("vllm", script=lambda asked: "echo " * 70_000)
    with pytest.raises(BadInput, match="pieces of `doc` are too long to be combined"):
        client(sim).ask("Say {{ doc }}", doc=LONG, overflow="map", thinking=False)
