"""How likely each choice was, read from an answer's tokens."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.answer import Logprob, choice_logprobs


def token(text: str, **likely: float) -> Logprob:
    """A token of the answer, with how probable each of some was."""
    shares = {text: likely.pop("own", 0.9)} | {
        name.replace("_", " "): share for name, share in likely.items()
    }
    pairs = tuple((name, math.log(share)) for name, share in shares.items())
    return Logprob(text, pairs[0][1], pairs)


def shares(tokens, choices, chosen):
    made = choice_logprobs(tokens, choices, chosen)
    return None if made is None else [round(math.exp(one), 3) for one in made]


def test_the_first_token_tells_the_choices_apart():
    tokens = [token("praise", own=0.7, complaint=0.2, other=0.1), token("", own=1.0)]
    assert shares(tokens, ["praise", "complaint"], "praise") == [0.7, 0.2]


def test_a_choice_spelt_in_several_ways_gets_them_all():
    tokens = [token("Pra", own=0.3, praise=0.3, _praise=0.1, comp=0.2), token("ise", own=0.9)]
    assert shares(tokens, ["praise", "complaint"], "praise") == [0.7, 0.2]


def test_a_choice_that_is_not_among_the_likeliest_gets_the_least_of_them():
    tokens = [token("praise", own=0.7, other=0.1)]
    assert shares(tokens, ["praise", "complaint"], "praise") == [0.7, 0.1]


def test_choices_that_begin_alike_are_told_apart_where_they_part():
    tokens = [token("very", own=0.8, bad=0.15), token(" good", own=0.25, _bad=0.75)]
    assert shares(tokens, ["very good", "very bad", "bad"], "very good") == [0.2, 0.6, 0.15]


def test_a_choice_that_others_begin_with_gets_what_its_end_got():
    tokens = [token("good", own=0.8, bad=0.15), token("", own=0.75, _enough=0.25)]
    assert shares(tokens, ["good", "good enough", "bad"], "good") == [0.6, 0.2, 0.15]
    for end in ("<|im_end|>", ".", '"}'):
        tokens[1] = token(end, own=0.75, _enough=0.25)
        assert shares(tokens, ["good", "good enough", "bad"], "good") == [0.6, 0.2, 0.15], end
    assert shares(tokens[:1], ["good", "good enough", "bad"], "good") == [0.8, 0.15, 0.15], "no end is told"


def test_the_quotes_and_names_of_json_are_no_part_of_a_choice():
    tokens = [token('{"answer'), token('": "'), token("yes", own=0.6, no=0.4), token('"}')]
    assert shares(tokens, ["no", "yes"], "yes") == [0.4, 0.6]
    assert shares([token('{"answer":'), token(' "yes"}', own=0.6, no=0.4)], ["no", "yes"], "yes") == [
        0.4,
        0.6,
    ]


@pytest.mark.parametrize("never", [-9999.0, -3.4e38, -math.inf])
def test_however_a_server_spells_never_no_answer_is_lost(never):
    tokens = [Logprob("yes", 0.0, (("yes", 0.0), ("no", never)))]
    assert choice_logprobs(tokens, ["yes", "no", "maybe"], "yes") == (0.0, -100.0, -100.0)
    assert choice_logprobs([Logprob("yes", 1e9, (("yes", 1e9),))], ["yes", "no"], "yes") == (0.0, 0.0)


def test_where_it_can_not_be_told_nothing_is_said():
    assert choice_logprobs([], ["a", "b"], "a") is None
    assert choice_logprobs([Logprob("a", -0.1)], ["a", "b"], "a") is None, "no others are known"
    assert choice_logprobs([token("c")], ["a", "b"], "a") is None, "it was not said in so many words"
    assert choice_logprobs([token("a")], ["a", "A"], "a") is None, "a token is read without its case"


@given(
    st.lists(st.text("abc ", min_size=1, max_size=6).map(str.strip), min_size=2, max_size=4, unique=True),
    st.data(),
)
def test_any_answer_is_read_without_an_error_and_never_as_more_than_sure(choices, data):
    choices = [choice for choice in choices if choice] or ["a"]
    said = data.draw(st.sampled_from(choices))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(said) - 1, 1)), max_size=3)) | {0, len(said)})
    pieces = [said[a:b] for a, b in itertools.pairwise(cuts) if said[a:b]]
    likely = {choice[:1]: 0.1 for choice in choices}
    made = choice_logprobs([token(piece, own=0.5, **likely) for piece in pieces], choices, said)
    if made is not None:
        assert len(made) == len(choices) and all(one <= 0.3 for one in made)
