"""What the rows of a column share is written once, and never mixed up."""

from __future__ import annotations

from dataclasses import replace

from qwennb.catalog import Catalog
from qwennb.catalog.abilities import Range
from qwennb.endpoints.dialects import DashScope, Vllm
from qwennb.request import Message, Request, Settings, Text

CATALOG = Catalog.load_bundled()


def test_equal_settings_that_mean_different_things_are_not_written_alike():
    """`thinking=1` is a budget of one token, and equal to True; what rows share is known by identity."""
    abilities = CATALOG.abilities("qwen3.5-plus", "dashscope-intl")
    sent = []
    for thinking in (True, 1, True):
        request = Request(
            "qwen3.5-plus", (Message("user", (Text("x"),)),), settings=Settings.of(thinking=thinking)
        )
        sent.append(DashScope().write(request, "qwen3.5-plus", abilities, stream=False).body)
    assert "thinking_budget" not in sent[0] and sent[1]["thinking_budget"] == 1 and sent[2] == sent[0]


def test_no_more_likelihoods_are_asked_for_unasked_than_the_endpoint_takes():
    choices = Request(
        "qwen3.5-9b", (Message("user", (Text("x"),)),), Settings.of(thinking=False), choices=("yes", "no")
    )
    abilities = CATALOG.abilities("qwen3.5-9b", "vllm")
    few = replace(abilities, ranges={**abilities.ranges, "logprobs": Range(low=0, high=5)})
    sent = [Vllm().write(choices, "m", given, stream=False).body for given in (abilities, few)]
    assert [body["top_logprobs"] for body in sent] == [20, 5]
