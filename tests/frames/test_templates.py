"""What is a template in a column: the prompt, `system=` and `to=`. What stands in a cell of the frame never is."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import TemplateError

FRAME = pl.DataFrame(
    {
        "w col": ["one", "two", "one", None],
        "lang": ["French", "German", "German", "French"],
        "v": ["{{ lang }}", '{{ "{{" }}', "{{ }}", "{{ w col }}"],
    }
)
PANDAS = pd.DataFrame(FRAME.to_dict(as_series=False))


def contents(sim) -> list[list[str]]:
    return sorted([message["content"] for message in asked.body["messages"]] for asked in sim.ledger.asks())


@pytest.mark.parametrize("hole", ["{{ w col }}", "{{ v|upper }}", "{{ v[0] }}", "{{ }}", "{{ lang"])
@pytest.mark.parametrize("beside", ["", "In {{ lang }}: "])
def test_a_doubled_brace_that_names_no_column_is_an_error_and_nothing_is_sent(simulate, client, hole, beside):
    sim = simulate()
    qwen = client(sim)
    for call in (
        lambda: FRAME.qwen.ask(beside + hole, client=qwen),
        lambda: FRAME.lazy().qwen.ask(beside + hole, client=qwen),
        lambda: FRAME.qwen.plan(beside + hole, client=qwen),
        lambda: FRAME.qwen.filter(beside + hole, client=qwen),
        lambda: FRAME.qwen.summarize(beside + hole, client=qwen),
        lambda: FRAME.qwen.ask("{{ v }}", system=beside + hole, client=qwen),
        lambda: FRAME.qwen.translate("v", to=beside + hole, client=qwen),
        lambda: FRAME.select(pl.struct("v", "lang").qwen.ask(beside + hole, client=qwen)),
        lambda: qwennb.ask(FRAME, beside + hole, client=qwen),
        lambda: qwennb.ask(PANDAS, beside + hole, client=qwen),
    ):
        with pytest.raises(
            TemplateError, match=r"(is no name|is an expression|names nothing|begins with two braces)"
        ):
            call()
    assert sim.ledger.count("arrived") == 0


def test_the_error_shows_the_spelling_of_an_odd_name_and_it_works(simulate, client):
    sim = simulate()
    with pytest.raises(TemplateError, match=r"an odd name is written \{\{ `w col` \}\}"):
        FRAME.qwen.ask("Say {{ w col }}", client=client(sim))
    FRAME.qwen.ask("Say {{ `w col` }}", client=client(sim))
    assert contents(sim) == [["Say one"], ["Say two"]]


def test_what_stands_in_a_cell_is_sent_as_it_stands(simulate, client):
    sim = simulate()
    FRAME.qwen.ask('{{ "{{" }} {{ v }}', client=client(sim))
    assert contents(sim) == sorted([["{{ " + text] for text in FRAME["v"]])


def test_system_is_a_template_over_the_columns(simulate, client):
    sim = simulate()
    qwen = client(sim)

    def ask(frame):
        return frame.qwen.ask("Say {{ `w col` }}", system="You speak {{ lang }}.", client=qwen)

    eager, lazy = ask(FRAME), ask(FRAME.lazy()).collect()
    wanted = [
        ["You speak French.", "Say one"],
        ["You speak German.", "Say one"],
        ["You speak German.", "Say two"],
    ]
    assert contents(sim) == wanted, "one question for each pair of system text and prompt; none for a null"
    assert eager.equals(lazy) and eager["answer"].null_count() == 1
    expression = FRAME.select(
        pl.struct("w col", "lang").qwen.ask("Say {{ `w col` }}", system="You speak {{ lang }}.", client=qwen)
    )
    pandas = qwennb.ask(PANDAS, "Say {{ `w col` }}", system="You speak {{ lang }}.", client=qwen)
    assert expression.to_series().to_list() == eager["answer"].to_list()
    assert [one if isinstance(one, str) else None for one in pandas["answer"]] == eager["answer"].to_list()
    assert sim.ledger.count("asked") == 3, "all of them ask the same"
    plan = FRAME.qwen.plan("Say {{ `w col` }}", system="You speak {{ lang }}.", client=qwen)
    assert (plan.unique, plan.known, plan.skipped) == (3, 3, 1)


def test_a_rows_system_text_and_the_same_text_as_a_constant_are_one_question(simulate, client):
    sim = simulate()
    qwen = client(sim)
    frame = FRAME.head(1)
    frame.qwen.ask("Say {{ `w col` }}", system="You speak {{ lang }}.", client=qwen)
    assert qwen.ask("Say one", system="You speak French.").cached
    frame.qwen.ask("Say {{ `w col` }}", system="You speak French.", client=qwen)
    assert sim.ledger.count("asked") == 1


def test_a_prompt_may_be_the_same_for_all_where_the_system_text_differs(simulate, client):
    sim = simulate()
    FRAME.qwen.ask("Say it.", system="You speak {{ lang }}.", client=client(sim))
    assert contents(sim) == [["You speak French.", "Say it."], ["You speak German.", "Say it."]]


def test_a_system_text_that_names_no_column_says_which_there_are(simulate, client):
    with pytest.raises(
        TemplateError, match=r"names `lng`, and there is no column `lng`; did you mean `lang`\?"
    ):
        FRAME.qwen.ask("{{ v }}", system="{{ lng }}", client=client(simulate()))


def test_to_is_a_template_over_the_columns(simulate, client):
    sim = simulate()
    FRAME.head(3).qwen.translate("w col", to="{{ lang }}", client=client(sim))
    assert [one[0].split(".")[0] for one in contents(sim)] == [
        "Translate the text to French", "Translate the text to German", "Translate the text to German",
    ]  # fmt: skip
