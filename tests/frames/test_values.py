"""`values=`: constants for a column's templates, beside its columns."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, TemplateError

FRAME = pl.DataFrame({"review": ["Cold soup.", "Warm tea.", None]})


def contents(sim) -> list[list[str]]:
    return sorted([message["content"] for message in asked.body["messages"]] for asked in sim.ledger.asks())


def test_a_constant_has_the_key_of_the_text_written_out(simulate, client):
    sim = simulate()
    qwen = client(sim)
    written = FRAME.qwen.ask("In French: {{ review }}", client=qwen)
    filled = FRAME.qwen.ask("In {{ lang }}: {{ review }}", values={"lang": "French"}, client=qwen)
    assert filled.equals(written) and sim.ledger.count("asked") == 2


def test_constants_stand_at_every_door(simulate, client):
    sim = simulate()
    given = {"values": {"lang": "French"}, "client": client(sim)}
    prompt = "In {{ lang }}: {{ review }}"
    wanted = FRAME.qwen.ask(prompt, **given)["answer"].to_list()
    plan = FRAME.qwen.plan(prompt, **given)
    assert (plan.unique, plan.known, plan.skipped) == (2, 2, 1)
    assert FRAME.lazy().qwen.ask(prompt, **given).collect()["answer"].to_list() == wanted
    assert (
        FRAME.select(pl.col("review").qwen.ask("In {{ lang }}: {{ it }}", **given)).to_series().to_list()
        == wanted
    )
    frame = pd.DataFrame({"review": ["Cold soup.", "Warm tea."]})
    assert qwennb.ask(frame, prompt, **given)["answer"].to_list() == wanted[:2]
    assert sim.ledger.count("asked") == 2


def test_system_and_to_see_the_constants_too(simulate, client):
    sim = simulate()
    qwen = client(sim)
    FRAME.head(1).qwen.translate(
        "review",
        to="{{ lang }}",
        system="You write {{ style }}.",
        values={"lang": "French", "style": "plainly"},
        client=qwen,
    )
    FRAME.head(1).qwen.translate("review", to="French", system="You write plainly.", client=qwen)
    [(system, prompt)] = contents(sim)
    assert system == "You write plainly." and "French" in prompt


@pytest.mark.parametrize(
    "value",
    [
        7, 7.0, 0.25, True, "two words", Decimal("7.50"), datetime.date(2026, 3, 1),
        datetime.time(12, 30), datetime.timedelta(hours=1), ["a", "b"], [1.0, 2.5], {"city": "Ulm"},
    ],
)  # fmt: skip
def test_a_constant_is_written_as_a_cell_would_be(simulate, client, value):
    sim = simulate()
    qwen = client(sim)
    FRAME.head(1).qwen.ask("{{ it }} of {{ review }}", values={"it": value}, client=qwen)
    pl.DataFrame({"review": ["Cold soup."], "it": [value]}).qwen.ask("{{ it }} of {{ review }}", client=qwen)
    assert sim.ledger.count("asked") == 1


def test_whole_numbers_may_stand_among_fractions_in_a_constant(simulate, client):
    sim = simulate()
    for numbers in ([1, 2.5], [1.0, 2.5]):
        FRAME.head(1).qwen.ask("{{ it }} of {{ review }}", values={"it": numbers}, client=client(sim))
    assert contents(sim) == [["[1.0,2.5] of Cold soup."]]


def test_a_field_of_a_constant_stands_after_a_dot(simulate, client):
    sim = simulate()
    FRAME.head(1).qwen.ask(
        "{{ `a place`.city }}: {{ review }}", values={"a place": {"city": "Ulm"}}, client=client(sim)
    )
    assert contents(sim) == [["Ulm: Cold soup."]]


def test_what_stands_in_a_constant_is_no_template(simulate, client):
    sim = simulate()
    FRAME.head(1).qwen.ask("{{ note }} {{ review }}", values={"note": "{{ review }}"}, client=client(sim))
    assert contents(sim) == [["{{ review }} Cold soup."]]


def test_a_constant_that_is_a_column_too_is_refused(simulate, client):
    sim = simulate()
    given = {"values": {"review": "text"}, "client": client(sim)}
    frame = pl.DataFrame({"review": ["a"], "x": ["b"]})
    prompt = "{{ review }} {{ x }}"
    for call in (
        lambda: frame.qwen.ask(prompt, **given),
        lambda: frame.lazy().qwen.ask(prompt, **given),
        lambda: frame.qwen.plan(prompt, **given),
        lambda: frame.select(pl.col("review").qwen.ask("{{ it }}: {{ review }}", **given)),
        lambda: qwennb.ask(pd.DataFrame(frame.to_dict(as_series=False)), prompt, **given),
    ):
        with pytest.raises(BadInput, match="`review` is a column and stands in values= too"):
            call()
    assert sim.ledger.count("arrived") == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lang": None}, "is null"),
        ({"lang": b"bytes"}, "can't be written"),
        ({"lang": object()}, "can't be written"),
        ({"lang": {1, 2}}, "can't be written"),
        ({"lang": [1, "two"]}, "a list of one type"),
        ({"lang": [1, {"a": 1}]}, "a list of one type"),
        ({"lang": [2**53 + 1, 0.5]}, "a list of one type"),
        ({"lang": "half \ud800"}, "half"),
        ({"lang": "French", "lng": "x"}, "no template names `lng`; did you mean `lang`"),
        ({1: "French"}, "maps names"),
        ("French", "maps names"),
    ],
)
def test_what_can_be_no_constant_is_refused_in_a_sentence(simulate, client, values, words):
    sim = simulate()
    with pytest.raises(BadInput, match=words):
        FRAME.qwen.ask("In {{ lang }}: {{ review }}", values=values, client=client(sim))
    assert sim.ledger.count("arrived") == 0


def test_a_name_near_a_constants_is_told_with_it(simulate, client):
    with pytest.raises(TemplateError, match="there is no column `lagn`; did you mean `lang`"):
        FRAME.qwen.ask(
            "{{ lagn }}: {{ review }} {{ lang }}", values={"lang": "French"}, client=client(simulate())
        )


def test_constants_alone_make_every_row_ask_the_same_and_are_refused(simulate, client):
    with pytest.raises(TemplateError, match="names no column"):
        FRAME.qwen.ask("Say {{ lang }}", values={"lang": "French"}, client=client(simulate()))
