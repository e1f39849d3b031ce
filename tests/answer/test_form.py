"""Whether a text has the form that was asked for."""

import pytest

from qwennb.answer import read_form
from qwennb.request import Request, Schema


def choose(choices, text):
    return read_form(Request("m", (), choices=choices), text)


@pytest.mark.parametrize(
    "said",
    [
        "yes",
        "Yes",
        "YES",
        " yes\n",
        "yes.",
        "Yes.",
        '"yes"',
        "'Yes'",
        "**yes**",
        "`yes`",
        '{"answer": "yes"}',
        '{"answer": " Yes "}',
        '```json\n{"answer": "yes"}\n```',
        '"Yes."',
        "*Yes.*",
    ],
)
def test_a_choice_is_found_in_what_models_make_of_it(said):
    assert choose(("yes", "no"), said) == "yes"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "maybe",
        "yes or no",
        "yes, because",
        "yesno",
        "{}",
        '{"answer": 1}',
        '{"answer": "maybe"}',
        '{"choice": "yes"}',
        '["yes"]',
        "...",
        '{"answer": "yes", "answer": "no"}',
    ],
)
def test_anything_else_is_told_what_there_is(said):
    with pytest.raises(ValueError, match=r"^the answer must be exactly one of: yes; no$"):
        choose(("yes", "no"), said)


def test_choices_that_look_like_decoration_are_found_as_they_are():
    assert choose(("C", "C."), "C.") == "C."
    assert choose(("C", "C."), "C") == "C"
    assert choose(("C", "C."), "c.") == "C."
    assert choose(("U.S.", "U.K."), "u.s.") == "U.S."
    assert choose(("U.S.", "U.K."), "U.S") == "U.S."
    assert choose(('"a"', "a"), '"a"') in ('"a"', "a")
    assert choose(("*", "**"), "**") == "**"
    assert choose(("straße", "weg"), "STRASSE") == "straße"
    assert choose(('{"answer": "x"}', "y"), "y") == "y"
    for nothing in ("", ".", "''"):
        with pytest.raises(ValueError):
            choose(("...", "yes"), nothing)


def test_a_schema_is_read_and_without_a_form_there_is_no_value():
    assert read_form(Request("m", (), schema=Schema.of("a int")), '{"a": 1}') == {"a": 1}
    assert read_form(Request("m", ()), "anything") is None
    with pytest.raises(ValueError, match="not JSON"):
        read_form(Request("m", (), schema=Schema.of("a int")), "a=1")
