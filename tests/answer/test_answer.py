"""An answer as a value: what it says of itself, and what is remembered of it."""

import copy
import datetime
import json
import pickle
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.answer import Answer, Cost, Logprob, Usage, WebSource
from qwennb.errors import TimedOut
from qwennb.request import Request, Settings, ToolCall, user_message

REQUEST = Request("qwen3.5-plus", (user_message("What is it?"),), Settings.of(seed=1))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(-1e6, 1e6)
answers = st.builds(
    Answer,
    request=st.just(REQUEST),
    text=words,
    reasoning=words,
    tool_calls=st.lists(st.builds(ToolCall, words, words, words), max_size=2).map(tuple),
    logprobs=st.none()
    | st.lists(st.builds(Logprob, words, numbers, st.lists(st.tuples(words, numbers), max_size=2).map(tuple)), max_size=2).map(tuple),
    sources=st.lists(st.builds(WebSource, words, words), max_size=2).map(tuple),
    usage=st.builds(Usage, *[st.integers(0, 10**9)] * 7, estimated=st.booleans()),
    cost=st.none() | st.builds(Cost, st.floats(0, 10), st.sampled_from(["server", "table", "local"])),
    endpoint=words,
    served_by=words,
    finish_reason=st.sampled_from(["stop", "length", "tool_calls", "error"]),
    attempts=st.integers(1, 9),
    created=st.datetimes(timezones=st.just(datetime.UTC)),
    defaults=st.dictionaries(words, st.integers(0, 9) | words, max_size=2),
    reasoning_blocks=st.just("") | st.just('[{"type":"reasoning.text","text":"a","index":0}]'),
    tool_results=st.none() | st.lists(words, max_size=2).map(tuple),
)  # fmt: skip


@given(answers)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_an_answer_is_remembered_whole(answer):
    again = Answer.from_json(json.loads(json.dumps(answer.to_json())), REQUEST)
    assert again == answer
    assert again.cost == answer.cost
    assert (again.cost and again.cost.source) == (answer.cost and answer.cost.source)
    assert again.cached
    assert again.to_json() == answer.to_json()


def test_every_field_is_either_remembered_or_named_here_as_one_that_is_not():
    full = Answer(
        REQUEST,
        "t",
        data=1,
        reasoning="r",
        tool_calls=(ToolCall("1", "f", "{}"),),
        logprobs=(Logprob("t", -0.1),),
        sources=(WebSource("T", "https://t"),),
        usage=Usage(1),
        cost=Cost(0.5, "server"),
        endpoint="e",
        served_by="m",
        defaults={"a": 1},
        reasoning_blocks="[1]",
        tool_results=("r",),
        consents=(True,),
        choice_logprobs=(-0.1, -2.0),
    )
    not_remembered = {
        "request",
        "data",
        "cached",
        "error",
        "quotes",
        "said",
    }  # beside it, read again, said of the call, never kept
    assert set(full.to_json()) == {f.name for f in fields(Answer)} - not_remembered


@pytest.mark.parametrize(
    ("changed", "complete"),
    [
        ({"text": "yes"}, True),
        ({"text": "", "tool_calls": (ToolCall("1", "f", "{}"),), "finish_reason": "tool_calls"}, True),
        ({"text": ""}, False),
        ({"text": "", "reasoning": "only a thought"}, False),
        ({"text": "cut", "finish_reason": "length"}, False),
        ({"text": "bad", "finish_reason": "content_filter"}, False),
        ({"text": "half", "finish_reason": "aborted"}, False),
        ({"text": "half", "finish_reason": "error"}, False),
        ({"text": "half", "finish_reason": "interrupted"}, False),
        ({"text": "yes", "error": TimedOut("late")}, False),
    ],
)
def test_only_a_whole_answer_is_complete(changed, complete):
    assert Answer(REQUEST, **changed).complete is complete


def test_an_answer_is_its_text():
    answer = Answer(REQUEST, "yes")
    assert str(answer) == f"{answer}" == "yes"
    assert (answer.key, answer.model) == (REQUEST.key, "qwen3.5-plus")


def test_what_an_answer_shows_of_itself_is_one_plain_line():
    answer = Answer(REQUEST, "Line one\n" + "x" * 100, endpoint="dashscope-intl")
    assert (
        repr(answer)
        == f"<Answer {REQUEST.key[:12]} from qwen3.5-plus at dashscope-intl: 'Line one {'x' * 50}…'>"
    )
    failed = replace(answer, text="", error=TimedOut("It took too long. Give a longer timeout=."))
    assert repr(failed).endswith("at dashscope-intl: failed: It took too long. Give a longer timeout=.>")


def test_an_answer_is_a_value():
    answer = Answer(REQUEST, "yes", cost=Cost(0.1, "table"), defaults={"a": 1})
    for again in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
        assert again == answer
        assert again.cost.source == "table"
    assert len({answer, replace(answer, cached=True), replace(answer, text="no")}) == 2
