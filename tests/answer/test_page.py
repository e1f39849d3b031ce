"""What a notebook shows of an answer: whatever stands in it, wherever it stands, nothing of it is active."""

from __future__ import annotations

import json
import re

import pytest

from qwennb.answer import MIME, Answer, Page, Quote
from qwennb.errors import BadInput
from qwennb.request import Message, Request, ToolCall, user_message
from tests.answer.on_its_way import in_part
from tests.answer.test_markup import ATTACKS, READERS, commonmark, found_in

OWN = re.compile(r"</?(?:details(?: open)?|summary|sub)>")  # the page's own tags, which carry no attribute


def request(model: str = "m", text: str = "x") -> Request:
    return Request(model.encode("utf-8", "replace").decode(), (user_message(text),))


def called(name: str, arguments: str, result: str) -> tuple[Message, ...]:
    call = ToolCall("call_1", name, arguments)
    return (Message("assistant", tool_calls=(call,)), Message("tool", (result,), tool_call_id="call_1"))


def quotes_of(claim: str, words: str) -> tuple[Quote, ...]:
    """One that was found, in a document of that name; one that was not; one that could not be looked for."""
    found = Quote(claim, words, words, 1, 1, True)
    return (found, Quote(claim, words, found=False), Quote(claim, words))


PLACES = {
    "the text": lambda attack: Page((Answer(request(), text=attack),)),
    "the reasoning": lambda attack: Page((Answer(request(), text="said", reasoning=attack),)),
    "an interrupted text": lambda attack: Page(
        (Answer(request(), text=attack, finish_reason="interrupted"),)
    ),
    "code": lambda attack: Page((Answer(request(), text=f"```python\n{attack}\n```"),), as_code=True),
    "bare code": lambda attack: Page((Answer(request(), text=attack),), as_code=True),
    "the model's name": lambda attack: Page((Answer(request(attack), text="said"),)),
    "a value": lambda attack: Page((Answer(request(), text="{}", data={"field": attack}),)),
    "the name of a field": lambda attack: Page((Answer(request(), text="{}", data={attack: 1}),)),
    "a row": lambda attack: Page((Answer(request(), text="[]", data=[{attack: attack}, {"other": attack}]),)),
    "a quote": lambda attack: Page((Answer(request(), text="said", quotes=quotes_of(attack, attack)),)),
    "the quote of a field": lambda attack: Page(
        (Answer(request(), text="{}", data={"field": attack}, quotes=quotes_of("field", attack)),)
    ),
    "a value within": lambda attack: Page(
        (Answer(request(), text="{}", data={"a": {attack: [{attack: attack}], "b": [attack, 1]}}),)
    ),
    "a choice": lambda attack: Page((Answer(request(), text=attack, data=attack),)),
    "an error": lambda attack: Page((Answer(request(), error=BadInput(attack)),)),
    "a call": lambda attack: Page((Answer(request(), text="said"),), called("find", attack, "found")),
    "an argument": lambda attack: Page(
        (Answer(request(), text="said"),), called("find", json.dumps({"city": attack}), "found")
    ),
    "a result": lambda attack: Page((Answer(request(), text="said"),), called("find", "{}", attack)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("read", READERS)
def test_no_attack_is_active_in(read, place):
    for attack in ATTACKS:
        made = PLACES[place](attack).bundle()
        assert set(made) == {"text/markdown", "text/plain", MIME}
        active = found_in(OWN.sub("", read(made["text/markdown"]))).active
        assert not active, (attack, made["text/markdown"], active)
        assert "\x1b" not in made["text/plain"]


@pytest.mark.slow
def test_the_pages_own_tags_are_as_many_as_it_has_parts():
    """Else an attack could hide behind them, for they are left out of the search."""
    for attack in ATTACKS:
        for place, tags in (("the text", 2), ("the reasoning", 6), ("a call", 6), ("an error", 2)):
            assert len(OWN.findall(commonmark(PLACES[place](attack).markdown()))) == tags, (place, attack)


@pytest.mark.slow
def test_nothing_is_active_while_it_grows():
    for attack in ATTACKS:
        for made in (in_part(attack, ""), in_part("", attack), in_part(attack, attack)):
            assert not found_in(OWN.sub("", commonmark(made))).active, (attack, made)


def test_an_answer_shows_itself_as_in_its_cell():
    answer = Answer(request(), text="**said** $5")
    assert answer._repr_mimebundle_() == Page((answer,)).bundle()
    assert [name for name in dir(answer) if re.fullmatch(r"_repr_\w+_", name)] == ["_repr_mimebundle_"]


def test_where_an_answer_comes_from_is_told_without_its_text():
    answer = Answer(request("m", "a question of mine"), text="an answer of its", reasoning="a thought")
    told = json.dumps(answer._repr_mimebundle_()[MIME])
    assert answer.key in told
    assert not any(text in told for text in ("question of mine", "answer of its", "a thought"))


def shown(data) -> str:
    return Page((Answer(request(), text="[]", data=data),)).markdown().split("\n\n")[0]


def test_a_table_is_as_wide_as_all_its_rows_with_its_numbers_to_the_right():
    assert shown([{"a": 1, "b": ["x", 2], "d": True}, {"c": None}]) == (
        "| a | b | d | c |\n|---:|:---|:---|:---|\n| 1 | x<br>2 | true | null |\n| null | null | null | null |"
    )


def test_what_lies_within_a_value_is_a_table_in_its_cell():
    assert shown({"name": "Ada", "works": [{"title": "a|b", "year": 1843}], "at": {"town": "<i>"}}) == (
        "| field | value |\n|:---|:---|\n| name | Ada |\n"
        "| works | <table><tr><th>title</th><th>year</th></tr><tr><td>a&#124;b</td><td>1843</td></tr></table> |\n"
        "| at | <table><tr><td>town</td><td>&#60;i&#62;</td></tr></table> |"
    )
    deep: dict = {}
    for _ in range(50):
        deep = {"x": deep}
    assert shown(deep).count("<table>") == 8 and shown({"a": {}, "b": []}).count("<table>") == 0
