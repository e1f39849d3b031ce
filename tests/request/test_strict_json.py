"""JSON as models write it, read strictly."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.request import parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(
    values,
    st.sampled_from(
        ["{}", "```json\n{}\n```", "```\n{}\n```", "  \n{}\n\n", "```JSON {}```", "```json\n{}\n\n```"]
    ),
)
@settings(deadline=None)
def test_one_value_is_read_with_or_without_a_fence(value, around):
    assert parse_json(around.replace("{}", json.dumps(value))) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the answer is empty where JSON was asked for"),
        (" \n ", "the answer is empty"),
        ("```json\n```", "the answer is empty"),
        ("Sure! {}", "this is not JSON"),
        ('{"a": 1} and more', "this is not JSON: Extra data"),
        ('{"a": 1}{"a": 2}', "this is not JSON: Extra data"),
        ("```json\n{}\n``` Hope this helps", "this is not JSON"),
        ("{'a': 1}", "this is not JSON"),
        ('{"a": 1,}', "this is not JSON"),
        ('{"a": 1', "this is not JSON"),
        ('{"a": 1, "a": 2}', "the name 'a' stands twice in one object"),
        ('[{"b": {"x": 1, "y": 2, "x": 1}}]', "the name 'x' stands twice"),
        ("NaN", "NaN is not a JSON number"),
        ('{"a": Infinity}', "Infinity is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("[1e999]", "1e999 is too large a number"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\uDC00x": 1}', "half of a surrogate pair"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "limit"),
        ("\ufeff{}", "this is not JSON"),
        ("```true```", "this is not JSON"),
    ],
)
def test_what_is_not_one_clean_value_is_refused_in_words_for_the_model(text, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 300


def test_a_whole_surrogate_pair_and_a_fence_inside_a_text_are_fine():
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_json('{"code": "```json\\n1\\n```"}') == {"code": "```json\n1\n```"}


def test_white_space_without_end_is_read_in_no_time(seconds):
    with seconds(0.5):
        assert parse_json("```json\n" + "1" + " \n" * 200_000 + "```") == 1
    with seconds(0.5), pytest.raises(ValueError):
        parse_json("```json\n" + " \n" * 200_000 + "x")
