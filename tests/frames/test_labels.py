"""Labels: whatever lists them in an order that stays, they are the same question; what has no order is refused."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from typing import Literal

import polars as pl
import pytest

from qwennb.errors import BadInput
from qwennb.frames import verbs
from qwennb.frames.prompts import RequestTemplate, prompts

FRAME = pl.DataFrame({"text": ["a", "b"]})
PLAIN = ["praise", "complaint"]


class Mood(enum.StrEnum):
    PRAISE = "praise"
    COMPLAINT = "complaint"


class Kind(enum.Enum):
    PRAISE = "praise"
    COMPLAINT = "complaint"


class TextKind(str, enum.Enum):  # noqa: UP042
    PRAISE = "praise"
    COMPLAINT = "complaint"


class Number(enum.Enum):
    ONE = 1
    TWO = 2


def categories():
    return pytest.importorskip("pandas").CategoricalDtype(PLAIN)


FORMS = {
    "tuple": lambda: tuple(PLAIN),
    "generator": lambda: (label for label in PLAIN),
    "dict without meanings": lambda: dict.fromkeys(PLAIN),
    "keys of a dict": lambda: dict.fromkeys(PLAIN).keys(),
    "StrEnum": lambda: Mood,
    "Enum": lambda: Kind,
    "Enum of texts": lambda: TextKind,
    "members": lambda: [Mood.PRAISE, Kind.COMPLAINT],
    "Literal": lambda: Literal["praise", "complaint"],
    "pl.Enum": lambda: pl.Enum(PLAIN),
    "pl.Enum of an Enum": lambda: pl.Enum(Mood),
    "Series": lambda: pl.Series(PLAIN),
    "categories of pandas": categories,
}


def key(labels: object, version: int | None = 1) -> str:
    """The key of the question for the text `a`, in the words of a *version*."""
    column = verbs.classify_column("text", labels, {"prompt_version": version})
    options = column.options
    request_template = RequestTemplate(
        "m", column.wording.system, settings=options.settings, choices=options.choices
    )
    return request_template.key(prompts(column.questions["label"], {"text": pl.Series("text", ["a"])})[0])


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_every_form_are_one_question_and_one_type(simulate, client, form):
    sim = simulate()
    qwen = client(sim)
    made = FRAME.qwen.classify("text", FORMS[form](), client=qwen)
    assert made.schema["label"] == pl.Enum(PLAIN)
    assert made.equals(FRAME.qwen.classify("text", PLAIN, client=qwen))
    assert made.equals(FRAME.lazy().qwen.classify("text", FORMS[form](), client=qwen).collect())
    said = FRAME.select(pl.col("text").qwen.classify(FORMS[form](), client=qwen))
    assert said["text"].equals(made["label"], check_names=False)
    asked = FRAME.qwen.ask("{{ text }}", choices=FORMS[form](), client=qwen)
    assert asked.schema["answer"] == pl.Enum(PLAIN)
    assert qwen.ask("a", choices=FORMS[form]()).data == asked["answer"][0]
    assert type(qwen.ask("a", choices=FORMS[form]()).data) is str
    assert sim.ledger.count("asked") == 4


def test_the_key_of_a_list_of_labels_is_that_of_0_1_and_the_newest_stays():
    assert key(PLAIN) == "00863cc1c8d24a4396d96fa7ed34fa96732f0fcd8595cdb78a0343c5a604bf2e"
    assert (
        key(PLAIN, None)
        == key(PLAIN, 2)
        == "5006476746ada668d30c02179aadbca3ed81b01d6b9edb2d6d07838ab730257f"
    )


def doors(qwen, labels):
    """Every call that takes labels or choices."""
    return (
        lambda: FRAME.qwen.classify("text", labels),
        lambda: FRAME.lazy().qwen.classify("text", labels),
        lambda: FRAME.select(pl.col("text").qwen.classify(labels)),
        lambda: FRAME.qwen.plan.classify("text", labels),
        lambda: FRAME.qwen.ask("{{ text }}", choices=labels),
        lambda: qwen.ask("a", choices=labels),
        lambda: qwen.stream("a", choices=labels),
        lambda: qwen.ask_many(["a"], choices=labels),
        lambda: qwen.plan("a", choices=labels),
        lambda: qwen.chat(choices=labels),
        lambda: qwen.chat().ask("a", choices=labels),
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"b", "a"}, r"\['a', 'b'\]"),
        (frozenset({"b", "a"}), r"\['a', 'b'\]"),
        ({Mood.PRAISE, Mood.COMPLAINT}, r"\['complaint', 'praise'\]"),
    ],
)
def test_a_set_of_labels_is_refused_at_every_door_with_a_list_to_type(simulate, client, labels, told):
    for call in doors(client(simulate()), labels):
        with pytest.raises(BadInput, match=f"is a set.*{told}"):
            call()


@pytest.mark.slow
def test_labels_ask_the_same_in_every_process():
    program = (
        "from tests.frames.test_labels import *\n"
        "for labels in (PLAIN, {'praise': 'good words', 'complaint': 'bad {{ words }}'}, Mood): print(key(labels))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(said) == 1 and len(set(next(iter(said)).split())) == 2


def test_what_a_label_means_is_told_to_the_model(simulate, client):
    sim = simulate()
    labels = {"praise": "good words,\nof any kind", "complaint": 'bad words, as {{ "this" }}', "other": None}
    made = FRAME.qwen.classify("text", labels, client=client(sim))
    said = sim.ledger.last().body["messages"][0]["content"]
    assert (
        '- "praise": good words, of any kind\n- "complaint": bad words, as {{ "this" }}\n- "other"\n' in said
    )
    assert made.schema["label"] == pl.Enum(list(labels))
    for version in (1, 2):
        keys = [key(labels, version) for labels in ({"a": "x", "b": "y"}, ["a", "b"], {"a": "x", "b": "z"})]
        assert len(set(keys)) == 3


def test_meanings_have_no_place_in_choices_and_are_not_lost():
    for call in (
        lambda: FRAME.qwen.ask("{{ text }}", choices={"yes": "it is", "no": "it is not"}),
        lambda: FRAME.select(pl.col("text").qwen.ask("{{ it }}", choices={"yes": "it is", "no": "not"})),
    ):
        with pytest.raises(BadInput, match=r"in its prompt what each answer means.*\['yes', 'no'\]"):
            call()


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("yes", "list of labels"),
        (b"yes", "list of labels"),
        (5, "list of labels"),
        (None, "list of labels"),
        (str, "the class str, and not a list of labels"),
        (pl.Enum, "list of labels"),
        (pl.String(), "list of labels"),
        ([], "at least two"),
        (["a"], "at least two"),
        (["a", "a"], "'a' twice"),
        (["a", "A"], "same but for capitals"),
        (["a", ""], "''"),
        (["a", " b"], "' b'"),
        ([1, 2], "names 1, and a label is text"),
        (["a", None], "names None"),
        (Number, "Number.ONE"),
        (Literal[1, 2], "names 1"),
        ({"a": 1, "b": 2}, "'a' that it means 1"),
        (["a", "\ud800"], "d800"),
    ],
)
def test_what_are_no_labels_is_refused_in_one_sentence(labels, says):
    for call in (
        lambda: FRAME.qwen.classify("text", labels),
        lambda: FRAME.lazy().qwen.classify("text", labels),
        lambda: FRAME.select(pl.col("text").qwen.classify(labels)),
    ):
        with pytest.raises(BadInput, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
