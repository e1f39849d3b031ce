"""`several=` labels for a text, and `examples=` that are shown with every row."""

from __future__ import annotations

import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput
from qwennb.frames.wording import MOST_EXAMPLES

FRAME = pl.DataFrame({"text": ["Warm soup, rude staff.", "It rains."]})
LABELS = ["food", "service", "price"]


def say(asked):
    return (
        '{"labels": ["service", "food", "food"]}'
        if "soup" in asked.messages[-1]["content"]
        else '{"labels": []}'
    )


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "dashscope", "openrouter"])
def test_several_labels_come_once_each_in_the_order_that_was_given(simulate, client, kind):
    made = FRAME.qwen.classify("text", LABELS, several=True, client=client(simulate(kind, script=say)))
    assert made.schema["label"] == pl.List(pl.Enum(LABELS))
    assert made["label"].to_list() == [["food", "service"], []]


def test_several_labels_come_through_every_door(simulate, client):
    qwen = client(simulate("vllm", script=say))
    made = FRAME.qwen.classify("text", LABELS, several=True, client=qwen)
    assert FRAME.lazy().qwen.classify("text", LABELS, several=True, client=qwen).collect().equals(made)
    asked = FRAME.select(pl.col("text").qwen.classify(LABELS, several=True, client=qwen))["text"]
    assert asked.equals(made["label"], check_names=False)
    assert qwennb.classify(FRAME, "text", LABELS, several=True, client=qwen).equals(made)
    assert FRAME.qwen.plan.classify("text", LABELS, several=True, client=qwen).to_ask == 0


def test_examples_stand_before_every_row_in_one_place(simulate, client):
    sim = simulate("vllm", script=lambda asked: "food")
    FRAME.qwen.classify(
        "text", LABELS, examples=[("Cold {{ soup }}.", "food"), ("Slow.", "service")], client=client(sim)
    )
    (system,) = {one.body["messages"][0]["content"] for one in sim.ledger.asks()}
    assert system.endswith("Text: Cold {{ soup }}.\n\nCategory: food\n\nText: Slow.\n\nCategory: service")


def test_examples_are_in_the_key_and_in_the_plan(simulate, client):
    qwen = client(simulate("dashscope", script=lambda asked: '{"answer": "food"}'))
    plain = FRAME.qwen.plan.classify("text", LABELS, client=qwen)
    shown = FRAME.qwen.plan.classify("text", LABELS, examples={"Cold soup. " * 20: "food"}, client=qwen)
    assert shown.tokens > plain.tokens + 50
    keys = [
        FRAME.qwen.classify("text", LABELS, examples=examples, client=qwen, meta=True)[
            "label_meta"
        ].struct.field("key")[0]
        for examples in (None, {"Cold soup.": "food"}, [("Cold soup.", "food")], [("Cold soup.", "price")])
    ]
    assert keys[1] == keys[2] and len(set(keys)) == 3


def test_of_many_examples_some_are_chosen_of_every_label_and_always_the_same(simulate, client):
    many = [(f"text {n}", LABELS[0 if n < 40 else 1 + n % 2]) for n in range(50)]

    def shown(examples):
        sim = simulate("vllm", script=lambda asked: "food")
        FRAME.head(1).qwen.classify("text", LABELS, examples=examples, client=client(sim, cache="off"))
        return sim.ledger.last().body["messages"][0]["content"].split("Examples:")[1]

    first = shown(many)
    assert first == shown(many[::-1]) and first.count("Text: ") == MOST_EXAMPLES
    assert [first.count(f"Category: {label}") for label in LABELS] == [4, 4, 4]


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        ([("Cold soup.", "foood")], r"label 'foood'.*`food`"),
        ([("Cold soup.",)], "an example is a text with its label"),
        ("Cold soup.", "an example is a text with its label"),
        ([("", "food")], "an example is a text with its label"),
        ([("Cold soup.", ["food"])], "examples= has the label"),
    ],
)
def test_an_example_that_can_not_be_one_is_refused_with_what_to_type(examples, says):
    with pytest.raises(BadInput, match=says):
        FRAME.qwen.classify("text", LABELS, examples=examples)


def test_what_0_1_did_not_know_has_no_words_of_0_1():
    with pytest.raises(BadInput, match="prompt_version=1 is none"):
        FRAME.qwen.classify("text", LABELS, several=True, prompt_version=1)
