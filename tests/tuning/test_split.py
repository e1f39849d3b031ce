"""Twins stand on one side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb import Image
from qwennb.request import Message, Text
from qwennb.tuning.example import Example, answer_message
from qwennb.tuning.split import normalise, split_examples


def ask(*turns, answer="a", about="", images=()):
    roles = ("user", "assistant")
    prompt = [
        Message(roles[n % 2], (Text(text), *(images if n == 0 else ()))) for n, text in enumerate(turns)
    ]
    return Example(tuple(prompt), answer_message(answer), about=about)


def sides(examples, share=0.5, seed=0):
    _, valid = split_examples(examples, share, seed)
    return [example in valid for example in examples]


TWINS = [
    ("The soup was cold.", "the  soup WAS cold"),
    ("Is it Cafe\u0301?", "is it café"),
    ("１２ cups", "12 cups!"),
    ("?!", " ?!"),
]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_texts_are_twins_but_for_capitals_spaces_signs_and_spelling(one, other):
    assert normalise(one) == normalise(other)
    others = [ask(f"another question {n}") for n in range(20)]
    for seed in range(30):
        first, *_, last = sides([ask(one, answer="x"), *others, ask(other, answer="y")], seed=seed)
        assert first == last


def test_texts_that_differ_are_parted():
    assert normalise("?!") != normalise("!?") and normalise("yes") != normalise("no")
    assert len(set(sides([ask("yes"), ask("no")]))) == 2


@given(
    st.lists(st.sampled_from(["Soup", "soup!", "SOUP", "tea", "Tea.", "milk", "rice", "corn"]), min_size=2),
    st.integers(),
)
def test_whatever_the_examples_no_question_is_on_both_sides(texts, seed):
    examples = [ask(text, answer=str(n)) for n, text in enumerate(texts)]
    train, valid = split_examples(examples, 0.4, seed)
    asked = [{normalise(example.prompt[0].text) for example in side} for side in (train, valid)]
    assert not asked[0] & asked[1] and len(train) + len(valid) == len(examples)
    assert bool(valid) == (len(set(map(normalise, texts))) > 1) and train


def test_the_steps_of_one_conversation_stand_on_one_side():
    chats = [
        step
        for n in range(4)
        for step in (
            ask(f"first {n}"),
            ask(f"first {n}", "a", f"second {n}"),
            ask(f"first {n}", "a", f"second {n}", "b", f"third {n}"),
        )
    ]
    for seed in range(30):
        placed = sides([*chats, *(ask(f"alone {n}") for n in range(20))], seed=seed)
        assert all(len(set(placed[3 * n : 3 * n + 3])) == 1 for n in range(4))


def test_questions_about_one_text_stand_on_one_side():
    rows = [
        ask(f"{words} Text: {text}", about=text)
        for text in ("cold soup", "Cold soup!", "warm tea", "rice")
        for words in "ab"
    ]
    for seed in range(30):
        placed = sides(rows, seed=seed)
        assert len(set(placed[:4])) == 1 and len(set(placed[4:6])) == 1


def test_the_same_words_about_another_picture_are_another_question():
    import numpy

    pictures = [Image(numpy.full((4, 4, 3), shade, dtype=numpy.uint8)) for shade in (0, 255)]
    asked = [(picture, answer) for answer in "ab" for picture in pictures]
    placed = sides([ask("What is this?", answer=answer, images=[picture]) for picture, answer in asked])
    assert placed[0] == placed[2] and placed[1] == placed[3] and placed[0] != placed[1]


def test_the_sides_follow_from_texts_and_seed_whatever_the_order_and_what_is_added():
    examples = [ask(f"question {n}") for n in range(200)]
    placed = sides(examples, 0.1)
    assert placed == sides(examples, 0.1) and placed[::-1] == sides(examples[::-1], 0.1)
    assert placed == sides([*examples, *(ask(f"new {n}") for n in range(200))], 0.1)[:200]
    assert placed != sides(examples, 0.1, seed=1) and 8 <= sum(placed) <= 35
    assert not any(sides(examples, 0))


def test_each_side_has_something_where_two_questions_are_there():
    for seed in range(20):
        assert sorted(sides([ask("one"), ask("two")], 0.001, seed)) == [False, True]
        assert sorted(sides([ask("one"), ask("two")], 0.999, seed)) == [False, True]
    assert sides([ask("one"), ask("One!")]) == [False, False]
