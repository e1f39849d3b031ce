"""Every option has a type, checked in one place, whichever door it comes through."""

from __future__ import annotations

from dataclasses import fields

import polars as pl
import pytest

import qwennb
from qwennb.client import Options
from qwennb.errors import BadInput

FRAME = pl.DataFrame({"text": ["a"]})

WRONG = {
    "model": ["", " ", 5, ["plus"], True],
    "system": [5, ["x"], True, b"x"],
    "choices": ["yes", 5, True, {"a", "b"}, ["a", 5], [1, 2]],
    "thinking": ["very", 0, -1, 1.5, [], "True"],
    "temperature": ["hot", True, -1, 3, [], float("nan")],
    "top_p": ["x", True, 2],
    "top_k": ["x", True, 1.5, -1],
    "min_p": ["x", True, 2],
    "max_tokens": ["x", True, 0, 1.5, -5],
    "seed": ["x", True, 1.5, -1],
    "stop": ["", [], [""], 5, True, {"a"}],
    "presence_penalty": ["x", True, 5],
    "frequency_penalty": ["x", True, 5],
    "repetition_penalty": ["x", True, -1],
    "logit_bias": ["x", 5, True, {"x": 1}, {1: "y"}, {1: 500}],
    "logprobs": ["x", 1.5, 50, -1, []],
    "cite": ["yes", 1, 0, []],
    "search": ["yes", 1, 0, []],
    "sample": ["x", True, 1.5, -1],
    "extra": ["x", 5, True, [1], {"n": 2}],
    "cache": ["reply", True, 1, "", ["on"]],
    "timeout": ["x", True, 0, -1, float("nan"), [1]],
    "budget": ["x", True, 0, -1, float("nan"), [1], "$2"],
    "max_pixels": ["x", True, 0, 1.5],
    "allow_urls": ["yes", 1, 0],
}
CALLS_ONLY = {
    "tools": ["x", 5, True, {"a": 1}, print, {print}],
    "tool_choice": [5, True, "", {"a": 1}],
    "max_steps": ["x", True, 0, 1.5],
    "overflow": ["x", True, 1, []],
}
COLUMNS_ONLY = {
    "into": ["", " ", 5, True, ["x"]],
    "on_error": ["skip", True, 5, []],
    "meta": ["yes", 1, 0, "", []],
    "nulls": ["drop", True, 1],
    "concurrency": ["x", True, 0, 1.5, -1],
    "progress": ["x", 1, 0, "", []],
    "image": ["", 5, True, ["photo"]],
    "root": ["", 5, True, ["x"]],
    "lane": ["fast", True, 1],
    "client": ["me", 5, True, []],
    "endpoint": [5, True, ["x"], ""],
    "api_key": [5, True, ["x"], ""],
}


def test_every_option_of_a_call_stands_in_the_table():
    free = {"schema", "images", "videos", "files"}  # what they may be is their own rooms' affair
    assert {f.name for f in fields(Options)} == {*WRONG, *CALLS_ONLY} | free


def calls(qwen, given):
    """Every call with the options *given*."""
    return (
        lambda: qwen.ask("a", **given),
        lambda: qwen.ask_many(["a"], **given),
        lambda: qwen.plan("a", **given),
        lambda: qwen.chat().ask("a", **given),
        lambda: qwen.chat(**given),
        lambda: list(qwen.stream("a", **given)),
    )


def columns(given):
    """A column by every way there is, with the options *given*."""
    return (
        lambda: FRAME.qwen.ask("{{ text }}", **given),
        lambda: FRAME.lazy().qwen.ask("{{ text }}", **given),
        lambda: pl.col("text").qwen.ask("{{ it }}", **given),
        lambda: FRAME.qwen.plan("{{ text }}", **given),
        lambda: FRAME.qwen.summarize("text", **given),
        lambda: FRAME.qwen.filter("{{ text }}", **given),
        lambda: qwennb.ask(FRAME, "{{ text }}", **given),
    )


@pytest.mark.parametrize("name", [*WRONG, *CALLS_ONLY])
def test_a_call_refuses_an_option_of_the_wrong_type_in_one_sentence(simulate, client, name):
    sim = simulate("vllm")
    qwen = client(sim)
    for value in {**WRONG, **CALLS_ONLY}[name]:
        for number, call in enumerate(calls(qwen, {name: value})):
            with pytest.raises(BadInput) as caught:
                call()
            told = str(caught.value)
            assert (name in told or value == {"n": 2}) and "\n" not in told, (number, value, told)
    assert sim.ledger.count("asked") == 0


@pytest.mark.parametrize("name", [*WRONG, *COLUMNS_ONLY])
def test_a_column_refuses_an_option_of_the_wrong_type_before_anything_runs(name):
    for value in {**WRONG, **COLUMNS_ONLY}[name]:
        for number, call in enumerate(columns({name: value})):
            with pytest.raises(BadInput) as caught:
                call()
            told = str(caught.value)
            known = name in told.lower().replace("api key", "api_key") or value == {"n": 2}
            assert known and "\n" not in told, (number, value, told)


@pytest.mark.parametrize("name", ["budget", "timeout", "concurrency", "pace", "cache", "cache_dir", "model", "endpoint", "api_key", "referer", "title", *WRONG])  # fmt: skip
def test_a_client_refuses_an_option_of_the_wrong_type(name):
    mine = {"concurrency": ["x", True, 0, 1.5], "pace": ["x", True, 0, 2], "cache_dir": [5, True, ["x"]], "endpoint": [5, True, ["x"]], "api_key": [5, True, [], ""], "referer": [5, True], "title": [5, True]}  # fmt: skip
    for value in {**WRONG, **mine}[name]:
        if value in ("", " ") and name in ("model", "cache"):
            continue
        with pytest.raises(BadInput) as caught:
            qwennb.Qwen(**{name: value})
        assert "\n" not in str(caught.value)


def test_left_alone_is_not_a_wrong_type(simulate, client):
    qwen = client(simulate())
    every = dict.fromkeys([*WRONG, *COLUMNS_ONLY])
    assert FRAME.qwen.ask("{{ text }}", **{**every, "client": qwen})["answer"][0]
    assert qwen.ask("a", **dict.fromkeys([*WRONG, *CALLS_ONLY])).text


def test_a_filter_that_is_told_nothing_about_errors_still_raises(simulate, client):
    sim = simulate()
    sim.fault("400")
    with pytest.raises(qwennb.errors.RequestRefused):
        FRAME.qwen.filter("{{ text }}", client=client(sim), on_error=None)


@pytest.mark.parametrize("items", [["a", "b"], ["a", {"x": "b"}], [{"x": "a"}, "b"]])
def test_a_template_for_what_is_no_dict_is_refused(simulate, client, items):
    qwen = client(simulate())
    for call in (qwen.ask_many, qwen.plan):
        with pytest.raises(BadInput, match=r"prompt= .* dicts"):
            call(items, prompt="Say {{ x }}")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda q: q.ask_many("a prompt"), r"ask\("),
        (lambda q: q.ask_many(5), "list of prompts"),
        (lambda q: q.ask_many(None), "list of prompts"),
        (lambda q: q.ask_many({"x": 1}), "list of prompts"),
        (lambda q: q.ask_many(FRAME), r"df\.qwen"),
        (lambda q: q.plan(5), "list of prompts"),
        (lambda q: q.plan({"x": 1}), "list of prompts"),
        (lambda q: q.plan("a", prompt="Say {{ x }}"), "dicts"),
        (lambda q: q.ask_many([{"x": 1}]), "template"),
        (lambda q: q.ask_many([{"x": 1}], prompt=5), "prompt"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused(simulate, client, call, says):
    with pytest.raises(BadInput, match=says) as caught:
        call(client(simulate()))
    assert "\n" not in str(caught.value)
