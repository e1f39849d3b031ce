"""`meta` has what was asked for and paid: the reasoning, the log probabilities, the sources."""

from __future__ import annotations

import math

import polars as pl
import pytest

from qwennb.simulator import Reply

FRAME = pl.DataFrame({"text": ["a", "b", None]})
PLAIN = ["key", "error", "model", "endpoint", "input_tokens", "output_tokens", "cost", "attempts", "finish_reason"]  # fmt: skip


def names(made: pl.DataFrame, column: str) -> list[str]:
    return [field.name for field in made.schema[column].fields]


def forms(frame: pl.DataFrame, **options):
    """The same column by every way there is."""
    yield frame.qwen.ask("Say {{ text }}", **options)
    yield frame.lazy().qwen.ask("Say {{ text }}", **options).collect()
    made = frame.select(pl.col("text").qwen.ask("Say {{ it }}", into="answer", **options))
    yield frame.hstack(made.unnest("text"))


def test_what_was_not_asked_for_is_not_in_it(simulate, client):
    made = FRAME.qwen.ask("Say {{ text }}", client=client(simulate("vllm")), thinking=False, meta=True)
    assert names(made, "answer_meta") == PLAIN


def test_the_reasoning_that_was_asked_for_is_there_live_and_from_memory(simulate, client):
    sim = simulate("vllm")
    qwen = client(sim)
    for made in [*forms(FRAME, client=qwen, thinking=True, meta=True)] * 2:
        assert names(made, "answer_meta") == [*PLAIN, "reasoning"]
        said = made["answer_meta"].struct.field("reasoning")
        assert said.dtype == pl.String and [bool(text) for text in said] == [True, True, False]
    assert sim.ledger.count("asked") == 2
    again = FRAME.qwen.ask("Say {{ text }}", client=qwen, thinking=True, meta=True, cache="refresh")
    assert again["answer_meta"].struct.field("reasoning")[0]


def test_a_client_that_thinks_has_asked_for_the_reasoning_too(simulate, client):
    qwen = client(simulate("vllm"), thinking=True)
    made = FRAME.qwen.ask("Say {{ text }}", client=qwen, meta="run")
    assert names(made, "answer_meta") == [*PLAIN, "reasoning", "cached"]
    assert names(FRAME.qwen.summarize("text", client=qwen, meta=True), "summary_meta") == PLAIN


def test_log_probabilities_are_there_with_the_confidence_that_they_give(simulate, client):
    qwen = client(simulate("vllm"))
    for made in [*forms(FRAME, client=qwen, logprobs=2, thinking=False, meta=True)] * 2:
        assert names(made, "answer_meta") == [*PLAIN, "logprobs", "confidence"]
        first = made["answer_meta"][0]
        assert "".join(one["token"] for one in first["logprobs"]) == made["answer"][0]
        assert all(len(one["top"]) == 2 for one in first["logprobs"])
        mean = sum(one["logprob"] for one in first["logprobs"]) / len(first["logprobs"])
        assert first["confidence"] == pytest.approx(math.exp(mean))
        assert made["answer_meta"].struct.field("confidence").null_count() == 1


def test_the_confidence_of_a_label_is_that_of_its_own_tokens(simulate, client):
    qwen = client(simulate("vllm", script=lambda asked: Reply('{"answer": "yes"}')))
    made = FRAME.qwen.classify("text", ["yes", "no"], client=qwen, logprobs=True, meta=True)
    first = made["label_meta"][0]
    spot, share = 0, 0.0
    for one in first["logprobs"]:
        end = spot + len(one["token"])
        if end > len('{"answer": "') and spot < len('{"answer": "yes'):
            share += one["logprob"]
        spot = end
    assert first["confidence"] == pytest.approx(math.exp(share)) and 0 < first["confidence"] <= 1


def test_sources_of_a_search_are_there(simulate, client):
    sim = simulate("openrouter")
    made = FRAME.qwen.ask("Say {{ text }}", client=client(sim), search=True, meta=True, thinking=False)
    assert names(made, "answer_meta") == [*PLAIN, "sources"]
    assert made.schema["answer_meta"].fields[-1].dtype == pl.List(
        pl.Struct({"title": pl.String, "url": pl.String})
    )
    assert made["answer_meta"].struct.field("sources")[0] is not None


def test_one_plan_of_two_columns_that_ask_the_same_loses_nothing(simulate, client):
    """The second column wants more of the same answers than the first."""
    qwen = client(simulate("vllm"))
    for cache in ("on", "refresh"):
        lf = FRAME.lazy().qwen.ask("Say {{ text }}", client=qwen, thinking=True, into="a", cache=cache)
        both = lf.qwen.ask(
            "Say {{ text }}", client=qwen, thinking=True, into="b", meta=True, cache=cache
        ).collect()
        assert both["b_meta"].struct.field("reasoning")[0]


@pytest.mark.slow
def test_a_batch_brings_what_was_asked_for(simulate, client):
    sim = simulate("dashscope")
    made = FRAME.qwen.ask("Say {{ text }}", client=client(sim), lane="batch", thinking=True, meta=True)
    assert made["answer_meta"].struct.field("reasoning")[0]
