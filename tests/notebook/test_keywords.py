"""Tab within the parentheses of a verb: its options, with jedi and without, whatever stands before it."""

from __future__ import annotations

from inspect import signature

import IPython
import pandas as pd
import polars as pl
import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import qwennb
from qwennb import Qwen, registration
from qwennb.notebook.keywords import complete_keywords

FRAME = pl.DataFrame({"review": ["a"]})


class Holder:
    """Has a client, or something else, by the name that polars' namespace has."""

    def __init__(self, qwen):
        self.qwen = qwen


class Trap:
    """Has code of the user's wherever somebody might look."""

    def __getattribute__(self, name):
        raise AssertionError(f"read {name}")

    @property
    def frame(self):
        raise AssertionError("read")

    def make(self):
        raise AssertionError("called")


def typed(text: str) -> CompletionContext:
    """What IPython hands over where *text* is typed and the cursor at its end."""
    line = text.split("\n")[-1]
    return CompletionContext(
        token="", full_text=text, cursor_position=len(line), cursor_line=text.count("\n"), limit=None
    )


@pytest.fixture(scope="module")
def shell():
    made = InteractiveShell.instance()
    registration.show_options_on_tab()
    qwen = Qwen(endpoint="simulator")
    made.user_ns |= {
        "pl": pl, "qwennb": qwennb, "Qwen": Qwen, "classify": qwennb.classify, "df": FRAME, "lf": FRAME.lazy(),
        "pdf": pd.DataFrame({"review": ["a"]}), "review": qwennb.col("review"), "qwen": qwen, "holder": Holder(qwen),
        "series": FRAME["review"], "shop": Holder("a text"), "ask": qwen.ask, "trap": Trap(), "": "of no name",
    }  # fmt: skip
    yield made
    made.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture(params=["with jedi", "without jedi"])
def tab(request, shell):
    """What Tab shows behind a text."""
    shell.Completer.use_jedi = request.param == "with jedi"

    def complete(text: str) -> list[str]:
        with provisionalcompleter():
            return [one.text for one in shell.Completer.completions(text, len(text))]

    return complete


@pytest.fixture
def ours(shell):
    """What we ourselves show behind a text: through the completer it would be seen what IPython shows of its own accord too."""

    return lambda text: [one.text for one in complete_keywords(typed(text))["completions"]]


@pytest.mark.parametrize(
    ("call", "first"),
    [
        ("df.qwen.classify(", ["column=", "labels="]),
        ("lf.qwen.score(", ["column=", "criterion=", "low=", "high=", "integer=", "into="]),
        ("pdf.qwen.summarize(", ["column=", "into="]),
        ("series.qwen.summarize(", ["into="]),
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
        ("ask(", ["prompt=", "model=", "system="]),
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
@pytest.mark.slow
def test_tab_ends_the_word_that_is_begun(tab, text, wanted):
    assert tab(text) == wanted


@pytest.mark.parametrize(
    ("call", "shown", "given"),
    [
        ("df.qwen.classify('review', into='mood', ", {"labels="}, {"column=", "into="}),
        ("df.qwen.classify(**options, ", {"column=", "labels=", "into="}, set()),
        ("df.qwen.classify('review', **options, ", {"labels=", "into="}, {"column="}),
        ("df.qwen.classify(*places, ", {"on_error="}, {"column=", "labels="}),
        ("df.qwen.classify(lambda a, b: (a, b), ", {"labels="}, {"column="}),
        ("df.qwen.classify(lambda a, b=(1, 2): a, ", {"labels="}, {"column="}),
    ],
)
def test_tab_shows_no_argument_that_is_given_already(ours, call, shown, given):
    assert shown <= {*ours(call)} and not given & {*ours(call)}


@pytest.mark.parametrize(
    "text",
    [
        "df.qwen.classify('rev",
        "df.qwen.classify(['a', ",
        "df.qwen.classify(x.",
        "df.qwen.classify('review', on_error=",
        "df.qwen.classify('review') # (",
        "df.qwen.classify(lambda a, ",
        "holder.nothing.classify(",
        "shop.qwen.classify(",
        "shop.qwen.",
        "print(",
        "(",
        "df.qwen.classify('review', ['a'])",
        "%%qwen\ndf.qwen.classify(",
        "%%markdown\ndf.qwen.classify(",
        "%%bash\ndf.qwen.classify(",
        "%qwen tell me of df.qwen.classify(",
        "x = 1\n%qwen_fix and df.qwen.classify(",
        "answer = %qwen df.qwen.classify(",
        "!echo df.qwen.classify(",
    ],
)
def test_options_are_shown_only_where_one_can_stand(ours, text):
    assert ours(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "%%time\ndf.qwen.classify(",
        "%%capture told\ndf.qwen.classify(",
        "%time made = df.qwen.classify(",
        "%qwen what's that?\ndf.qwen.classify(",
        "made = (3\n    % df.qwen.classify(",
        "print('x = %d' % df.qwen.classify(",
    ],
)
def test_options_are_shown_wherever_python_is_written(ours, text):
    assert ours(text)[0] == "column="


@pytest.mark.parametrize(
    "text",
    ["df.qwen.", 'pl.col("x").qwen.', 'qwennb.col("x").', "df.head().qwen.", "series.qwen.", "review."],
)
def test_tab_behind_the_dot_shows_each_verb_once(tab, text):
    shown = [name.rpartition(".")[2] for name in tab(text)]  # IPython's own have what stands before
    assert {"ask", "classify", "extract", "filter", "score", "summarize", "translate"} <= {*shown}
    # Before 9.5 IPython takes `df.qwen.` for `qwen.` and shows what that has, too.
    assert len(shown) == len({*shown}) or IPython.version_info < (9, 5)


def test_what_goes_wrong_on_tab_shows_nothing(shell, monkeypatch):
    monkeypatch.setitem(shell.user_ns, 1, "no name at all")
    [ours] = [one for one in shell.Completer.custom_matchers if one.__module__ == "qwennb.registration"]
    assert ours(typed("df.qwen.classify(")) == {"completions": []}


@pytest.mark.parametrize("text", ["trap.frame.qwen.classify(", "trap.make().qwen.classify("])
def test_tab_runs_nothing_of_the_users(ours, text):
    assert "labels=" in ours(text)
