"""Tab within the parentheses of a verb: its options, with jedi and without, whatever stands before it."""

from __future__ import annotations

from inspect import signature

import pandas as pd
import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import qwennb
from qwennb import Qwen, registration
from qwennb.notebook.keywords import find_callee, read_call, read_code

FRAME = pl.DataFrame({"review": ["a"]})


class Holder:
    """Has a client by the name that polars' namespace has."""

    def __init__(self, qwen):
        self.qwen = qwen


@pytest.fixture(params=["with jedi", "without jedi"])
def tab(request):
    """What Tab shows behind a text."""
    shell = InteractiveShell.instance()
    registration.show_options_on_tab()
    before, shell.Completer.use_jedi = shell.Completer.use_jedi, request.param == "with jedi"
    qwen = Qwen(endpoint="simulator")
    shell.user_ns |= {
        "pl": pl, "qwennb": qwennb, "Qwen": Qwen, "classify": qwennb.classify, "df": FRAME, "lf": FRAME.lazy(),
        "pdf": pd.DataFrame({"review": ["a"]}), "review": qwennb.col("review"), "qwen": qwen, "holder": Holder(qwen),
    }  # fmt: skip

    def complete(text: str) -> list[str]:
        with provisionalcompleter():
            return [one.text for one in shell.Completer.completions(text, len(text))]

    yield complete
    shell.Completer.use_jedi = before


@pytest.mark.parametrize(
    ("call", "first"),
    [
        ("df.qwen.classify(", ["column=", "labels="]),
        ("lf.qwen.score(", ["column=", "criterion=", "low=", "high=", "integer=", "into="]),
        ("pdf.qwen.summarize(", ["column=", "into="]),
        ("df.head().qwen.classify(", ["column=", "labels="]),
        ("df.qwen.plan(", ["prompt=", "into="]),
        ("df.qwen.plan.classify(", ["column=", "labels="]),
        ("qwennb.classify(", ["table=", "column=", "labels="]),
        ("classify(", ["table=", "column=", "labels="]),
        ('qwennb.col("x").classify(', ["labels="]),
        ("review.translate(", ["to=", "into="]),
        ('pl.col("x").qwen.classify(', ["labels="]),
        ('pl.col("x").str.to_lowercase().qwen.extract(', ["schema=", "into="]),
        ("qwen.ask(", ["prompt=", "model=", "system="]),
        ("qwen.chat().ask(", ["prompt=", "model=", "system="]),
        ("holder.qwen.ask(", ["prompt=", "model=", "system="]),
        ('Qwen("9b").ask(', ["prompt=", "model=", "system="]),
        ("Qwen(", ["model=", "endpoint="]),
    ],
)
def test_tab_in_empty_parentheses_shows_the_options_first(tab, call, first):
    shown = tab(call)
    assert shown[: len(first)] == first
    assert "df" in shown and "ArithmeticError" not in shown, "the user's own names, and not all of Python's"


@pytest.mark.parametrize("verb", ["ask", "classify", "extract", "summarize", "translate", "score", "filter"])
def test_tab_shows_every_option_of_a_column_at_every_door(tab, verb):
    options = [
        one.name
        for one in signature(getattr(qwennb, verb)).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    ]
    assert {"on_error", "cache", "max_tokens"} <= {*options}
    for door in ("qwennb", "df.qwen", "lf.qwen", "df.qwen.plan", "review", 'pl.col("x").qwen'):
        missing = {f"{name}=" for name in options} - {*tab(f"{door}.{verb}(")}
        assert not missing, door


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("df.qwen.classify('review', ['a'], on_e", ["on_error="]),
        ('qwennb.col("x").classify(["a"], on_e', ["on_error="]),
        ("df.filter(qwennb.col('x').filter('{{ it }} swims', on_e", ["on_error="]),
        ("df.qwen.classify(\n    'review',\n    ['a, b)'],\n    on_e", ["on_error="]),
        ("made = df.qwen.ask('Say {{ review }}', schem", ["schema="]),
        ("qwen.ask('Why?', thinki", ["thinking="]),
    ],
)
def test_tab_ends_the_word_that_is_begun(tab, text, wanted):
    assert tab(text) == wanted


def test_tab_shows_no_argument_that_is_given_already(tab):
    shown = tab("df.qwen.classify('review', into='mood', ")
    assert "labels=" in shown and not {"column=", "into="} & {*shown}


@pytest.mark.parametrize(
    "text",
    [
        "df.qwen.classify('rev",
        "df.qwen.classify(['a', ",
        "df.qwen.classify(x.",
        "df.qwen.classify('review', on_error=",
        "df.qwen.classify('review') # (",
        "holder.nothing.classify(",
        "print(",
        "(",
        "df.qwen.classify('review', ['a'])",
    ],
)
def test_options_are_shown_only_where_one_can_stand(text):
    code = read_code(text)
    call = code and read_call(code)
    # Through the completer it would be seen what an older IPython shows of its own accord.
    assert not call or find_callee(call.callee, {"df": FRAME, "holder": Holder(None)}) is None


def test_a_prompt_is_no_code(tab):
    assert tab("%%qwen\ndf.qwen.classify(")[0] != "column="


@pytest.mark.parametrize("text", ["df.qwen.", 'pl.col("x").qwen.', 'qwennb.col("x").', "df.head().qwen."])
def test_tab_behind_the_dot_shows_the_verbs(tab, text):
    assert {"ask", "classify", "extract", "filter", "score", "summarize", "translate"} <= {*tab(text)}


def test_tab_calls_nothing_and_reads_no_property(tab):
    class Trap:
        @property
        def frame(self):
            raise AssertionError("read")

        def make(self):
            raise AssertionError("called")

    InteractiveShell.instance().user_ns["trap"] = Trap()
    assert "labels=" in tab("trap.frame.qwen.classify(") and "labels=" in tab("trap.make().qwen.classify(")
