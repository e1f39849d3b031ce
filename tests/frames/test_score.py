"""The range of a score is an argument, or stands plainly at the end of the criterion; it is never guessed."""

from __future__ import annotations

import json

import polars as pl
import pytest

import qwennb.frames  # noqa: F401
from qwennb.errors import BadInput
from qwennb.simulator import Reply

FRAME = pl.DataFrame({"text": ["a", "b"]})
ONE = FRAME.head(1)  # the last request of several rows is any of them


def asked(sim) -> tuple[dict, str]:
    """The schema of the score and the prompt of the last request."""
    body = sim.ledger.last().body
    schema = body["response_format"]["json_schema"]["schema"]["properties"]["score"]
    return schema, body["messages"][-1]["content"].split("\n")[0]


@pytest.mark.parametrize(
    ("criterion", "given", "low", "high", "words"),
    [
        ("how urgent", {}, 0, 1, "Score the text: how urgent, 0 to 1."),
        ("how urgent, 0 to 1", {}, 0, 1, "Score the text: how urgent, 0 to 1."),
        ("how urgent, 1 to 5", {}, 1, 5, "Score the text: how urgent, 1 to 5."),
        ("how cold, -5 to 5", {}, -5, 5, "Score the text: how cold, -5 to 5."),
        ("urgency:0 to 10", {}, 0, 10, "Score the text: urgency:0 to 10."),
        ("how urgent – 0 to 10", {}, 0, 10, "Score the text: how urgent – 0 to 10."),
        ("the year 2024, 0 to 10", {}, 0, 10, "Score the text: the year 2024, 0 to 10."),
        ("stars 0.5 to 5.5", {}, 0.5, 5.5, "Score the text: stars 0.5 to 5.5."),
        ("2020-2024 law, 0 to 10", {}, 0, 10, "Score the text: 2020-2024 law, 0 to 10."),
        ("stars", {"low": 1, "high": 5}, 1, 5, "Score the text: stars, 1 to 5."),
        ("fit to the law of 2020", {"low": 0, "high": 10}, 0, 10, "Score the text: fit to the law of 2020, 0 to 10."),
        ("how urgent, 1 to 5", {"low": 1, "high": 5}, 1, 5, "Score the text: how urgent, 1 to 5."),
        ("views", {"low": 0, "high": 2_000_000}, 0, 2_000_000, "Score the text: views, 0 to 2000000."),
    ],
)  # fmt: skip
def test_the_range_is_what_the_arguments_or_the_end_of_the_criterion_say(
    simulate, client, criterion, given, low, high, words
):
    sim = simulate("vllm")
    ONE.qwen.score("text", criterion, client=client(sim), prompt_version=1, **given)
    assert asked(sim) == ({"type": "number", "minimum": low, "maximum": high}, words)
    made = ONE.qwen.score("text", criterion, client=client(sim), cache="refresh", **given)
    assert asked(sim) == ({"type": "number", "minimum": low, "maximum": high}, ONE["text"][0])
    assert made.schema["score"] == pl.Float64()
    bare = words.removeprefix("Score the text: ").removesuffix(f"{low} to {high}.").rstrip(" ,:–")
    assert (
        sim.ledger.last().body["messages"][0]["content"]
        == f"Give the text a score from {low} (lowest) to {high} (highest): {bare}. Write the score alone."
    )


@pytest.mark.parametrize(
    "criterion",
    [
        "between 1 and 10",
        "how urgent, 0-10",
        "1 to 5 stars",
        "from 1 to 5, where 5 is best",
        "how urgent on a 10 point scale",
        "0..1",
        "in the year 2024",
        "a fit of 100%",
        "1,000 to 2,000",
        "version A1 to 5",
        "how warm, −5 to 10",
        "how warm, –5 to 10",
        "0 to 10 to 20",
        "1/2 to 5",
        "open from 10:30 to 31",
        "2020 - 2024 to 3000",
        "٣ stars",
    ],
)
def test_other_digits_in_a_criterion_are_refused_with_the_call_to_type(criterion):
    for call in (
        lambda: FRAME.qwen.score("text", criterion),
        lambda: FRAME.lazy().qwen.score("text", criterion),
        lambda: FRAME.qwen.plan.score("text", criterion),
        lambda: FRAME.select(pl.col("text").qwen.score(criterion)),
    ):
        with pytest.raises(BadInput, match=r"low=.*high=") as caught:
            call()
        assert "score(" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("criterion", "given", "says"),
    [
        ("stars", {"low": 1}, "low= and high= .* together"),
        ("stars", {"high": 5}, "low= and high= .* together"),
        ("stars", {"low": 5, "high": 1}, "below"),
        ("stars", {"low": 1, "high": 1}, "below"),
        ("how urgent, 1 to 0", {}, "range"),
        ("stars, 1 to 5", {"low": 0, "high": 10}, "says 1 to 5 .* 0 to 10"),
        ("stars", {"low": "1", "high": 5}, "low='1'"),
        ("stars", {"low": True, "high": 5}, "low=True"),
        ("stars", {"low": 0, "high": float("inf")}, "high=inf"),
        ("stars", {"low": float("nan"), "high": 1}, "low=nan"),
        ("stars", {"low": 0.5, "high": 5, "integer": True}, "whole"),
        ("stars, 0.5 to 5", {"integer": True}, "whole"),
        ("stars", {"integer": "yes"}, "integer='yes'"),
        ("", {}, "criterion"),
        (5, {}, "criterion"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(criterion, given, says):
    for call in (
        lambda: FRAME.qwen.score("text", criterion, **given),
        lambda: FRAME.select(pl.col("text").qwen.score(criterion, **given)),
    ):
        with pytest.raises(BadInput, match=says):
            call()


def test_a_whole_score_is_a_whole_number(simulate, client):
    sim = simulate("vllm", script=lambda asked: Reply('{"score": 4}'))
    qwen = client(sim)
    call = {"low": 1, "high": 5, "integer": True, "client": qwen}
    made = FRAME.qwen.score("text", "stars", **call)
    assert made.schema["score"] == pl.Int64() and made["score"].to_list() == [4, 4]
    assert asked(sim)[0] == {"type": "integer", "minimum": 1, "maximum": 5}
    assert FRAME.lazy().qwen.score("text", "stars", **call).collect().equals(made)
    assert FRAME.select(pl.col("text").qwen.score("stars", **call))["text"].to_list() == [4, 4]
    assert FRAME.qwen.plan.score("text", "stars", **call).known == 2


def test_a_fraction_is_no_whole_score(simulate, client):
    sim = simulate("vllm", script=lambda asked: Reply('{"score": 4.5}'))
    made = FRAME.qwen.score(
        "text", "stars", low=1, high=5, integer=True, client=client(sim), on_error="column"
    )
    assert made["score"].null_count() == 2 and "InvalidAnswer" in made["score_error"][0]


def test_arguments_and_the_plain_form_are_one_question(simulate, client):
    sim = simulate("vllm")
    qwen = client(sim)
    plain = FRAME.qwen.score("text", "stars, 1 to 5", client=qwen, meta=True)
    same = FRAME.qwen.score("text", "stars", low=1, high=5.0, client=qwen, meta=True)
    assert (
        plain["score_meta"].struct.field("key").to_list() == same["score_meta"].struct.field("key").to_list()
    )
    assert sim.ledger.count("asked") == 2


def test_keys_of_scores_are_those_of_0_1():
    keys = {
        "how urgent": "9469bba945bf06de2a45808b2f470421e36086010f8ac8e49627d3ea0200beb0",
        "how urgent, 0 to 1": "9469bba945bf06de2a45808b2f470421e36086010f8ac8e49627d3ea0200beb0",
        "how urgent, 1 to 5": "5ca75f6d91990236185c959bf21e537a5e86a242a996ea2cb2f700105f6c892b",
    }
    for criterion, key in keys.items():
        assert made_key(criterion) == key, (criterion, made_key(criterion))


def made_key(criterion: str) -> str:
    """The key of the question for the text `a`."""
    from qwennb.frames import verbs
    from qwennb.frames.prompts import RequestTemplate, prompts
    from qwennb.request import Schema

    column = verbs.score_column("text", criterion, {"prompt_version": 1})
    options = column.options
    request_template = RequestTemplate("m", None, settings=options.settings, schema=Schema.of(options.schema))
    return request_template.key(prompts(column.questions["score"], {"text": pl.Series("text", ["a"])})[0])


def test_a_recorded_score_out_of_the_range_asked_for_now_is_no_score(simulate, client):
    sim = simulate("vllm", script=lambda asked: Reply(json.dumps({"score": 7})))
    made = FRAME.qwen.score("text", "stars", low=1, high=5, client=client(sim), on_error="column")
    assert made["score"].null_count() == 2
