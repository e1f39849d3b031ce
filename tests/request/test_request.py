"""A request as a value: its options checked, its form one of a kind."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from qwennb.errors import BadInput
from qwennb.request import Message, Request, Schema, Settings, Text, user_message


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": "hot"}, r"^temperature='hot' is not a number\.$"),
        ({"temperature": True}, r"^temperature=True is not a number\.$"),
        ({"temperature": 3}, r"^temperature=3 is out of range: it must be from 0 to 2\.$"),
        ({"temperature": float("nan")}, "temperature=nan is out of range"),
        ({"temperature": "1"}, "temperature='1' is not a number"),
        ({"top_p": -0.1}, "top_p=-0.1 is out of range: it must be from 0 to 1"),
        ({"max_tokens": 0}, r"max_tokens=0 is out of range: it must be at least 1\.$"),
        ({"max_tokens": 1.5}, r"^max_tokens=1.5 is not a whole number\.$"),
        ({"max_tokens": float("inf")}, "max_tokens=inf is not a whole number"),
        ({"seed": 2**63}, "seed=9223372036854775808 is out of range"),
        ({"repetition_penalty": float("inf")}, "out of range"),
        ({"thinking": "hard"}, r"thinking='hard' is not known: use None, True, False, 'low', 'medium', 'high' or a budget in tokens\.$"),
        ({"thinking": 0}, "thinking=0 is not known"),
        ({"thinking": -5}, "thinking=-5 is not known"),
        ({"stop": []}, "must be text or a list of texts, none of them empty"),
        ({"stop": ""}, "must be text or a list"),
        ({"stop": ["a", ""]}, "must be text or a list"),
        ({"stop": 5}, "stop=5 must be text or a list"),
        ({"stop": b"ab"}, "must be text or a list"),
        ({"stop": {"a"}}, "must be text or a list"),
        ({"logit_bias": {"a": 1}}, r"logit_bias= must map token ids to numbers from -100 to 100\."),
        ({"logit_bias": {5.7: 1}}, "must map token ids"),
        ({"logit_bias": 5}, "must map token ids"),
        ({"logit_bias": {5: 101}}, "logit_bias=101 is out of range: it must be from -100 to 100"),
        ({"logprobs": 21}, "logprobs=21 is out of range"),
        ({"tool_choice": ""}, 'tool_choice= must be "auto", "none", "required" or a tool'),
        ({"tool_choice": {"function": "f"}}, "tool_choice= must be"),
        ({"search": 1}, "search=1 must be True or False"),
        ({"sample": -1}, "sample=-1 is out of range"),
        ({"extra": [1]}, "extra= must be a dict of fields to pass through"),
        ({"extra": "not json"}, "extra= must be a dict"),
        ({"extra": {"n": 4}}, "n is not passed through: no hosted endpoint draws several answers at once. Use sample=0, 1, 2"),
        ({"temprature": 1}, r"^There is no option `temprature`; did you mean `temperature`\?"),
    ],
)  # fmt: skip
def test_an_option_that_can_not_be_is_told_with_what_can(options, told):
    with pytest.raises(BadInput, match=told):
        Settings.of(**options)


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (("yes",), "needs at least two different answers"),
        ((), "needs at least two"),
        (("yes", "no", "Yes"), "the same but for capitals"),
        (("yes", " no"), "' no' can't be a choice: each is text without spaces around it"),
        (("yes", ""), "'' can't be a choice"),
        (("yes", 5), "5 can't be a choice"),
    ],
)
def test_choices_that_could_not_be_told_apart_are_refused(choices, told):
    with pytest.raises(BadInput, match=told):
        Request("m", (), choices=choices)


def test_an_answer_has_one_form():
    with pytest.raises(
        BadInput, match=r"Both schema= and choices= are given; an answer has one form\. Give one of them\."
    ):
        Request("m", (), schema=Schema.of("a"), choices=("a", "b"))


def test_a_request_is_a_value():
    request = Request("m", (user_message("hi"),), Settings.of(seed=1))
    assert request == Request("m", (user_message("hi"),), Settings.of(seed=1))
    assert hash(request) == hash(Request("m", (user_message("hi"),), Settings.of(seed=1)))
    with pytest.raises(FrozenInstanceError):
        request.model = "n"  # type: ignore[misc]
    for again in (pickle.loads(pickle.dumps(request)), copy.deepcopy(request)):
        assert again == request
        assert again.key == request.key


def test_a_request_shows_its_key_and_question_in_one_line():
    request = Request("m", (Message("system", (Text("s"),)), user_message("What\n is  it? " + "x" * 100)))
    assert repr(request) == f"<Request {request.key[:12]} to m: 'What is it? {'x' * 47}…'>"
    assert request.question.startswith("What\n is")


def test_the_key_of_a_plain_question_is_made_in_no_time(seconds):
    messages, settings = (user_message("How are you?"),), Settings.of(temperature=0.5, seed=1)
    with seconds(0.3):
        for _ in range(3000):
            _ = Request("m", messages, settings).key
