"""What stands below an answer and beside it: the figures, which of them are estimates, and where it comes from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qwennb.answer import MIME, Answer, Cost, Page, Usage, write_call
from qwennb.request import Message, Request, Schema, Settings, Text, ToolCall, user_message
from tests.answer.on_its_way import in_part

ASKED = Request("qwen3.5-plus", (user_message("Why?"),))


def answer(text: str = "said", **more) -> Answer:
    return Answer(ASKED, text=text, **{"usage": Usage(input=20, output=5), "endpoint": "openrouter"} | more)


@pytest.mark.parametrize(
    ("more", "footer"),
    [
        ({"cost": Cost(0.0021, "server")}, "qwen3.5-plus · 20 in, 5 out · $0.0021"),
        ({"cost": Cost(0.0021, "table")}, "qwen3.5-plus · 20 in, 5 out · ≈ $0.0021"),
        ({"cost": Cost(0.0, "local")}, "qwen3.5-plus · 20 in, 5 out · $0.00"),
        ({"cost": None}, "qwen3.5-plus · 20 in, 5 out · price unknown"),
        (
            {"cost": Cost(0.5, "server"), "usage": Usage(input=20, output=5, estimated=True)},
            "qwen3.5-plus · ≈ 20 in, 5 out · $0.50",
        ),
        (
            {"cost": Cost(2.0, "server"), "finish_reason": "length"},
            "qwen3.5-plus · 20 in, 5 out · $2.00 · cut at its limit of tokens",
        ),
        (
            {"cost": Cost(0.000048, "server"), "usage": Usage(input=1_076, output=165, reasoning=77)},
            "qwen3.5-plus · 1,076 in, 165 out (77 thought) · $0.000048",
        ),
        ({"usage": Usage(), "finish_reason": "interrupted"}, "qwen3.5-plus"),
    ],
)
def test_the_footer_says_the_figures_and_marks_what_is_an_estimate(more, footer):
    page = Page((answer(**more),))
    assert page.footer() == footer
    assert page.plain().endswith(f"\n\n[{footer}]")
    assert page.markdown().splitlines()[-1].startswith("<sub>qwen3.5-plus")


def test_the_footer_adds_up_all_steps_and_one_unknown_price_makes_the_sum_unknown():
    step, last = answer(cost=Cost(0.5, "server")), answer(cost=Cost(0.25, "table"))
    assert Page((step, last)).footer() == "qwen3.5-plus · 40 in, 10 out · ≈ $0.75"
    assert Page((step, answer(cost=None))).footer() == "qwen3.5-plus · 40 in, 10 out · price unknown"


def test_nothing_that_changes_from_run_to_run_is_in_what_is_saved():
    live = answer(created=datetime(2026, 1, 2, tzinfo=UTC), attempts=1)
    again = answer(created=datetime(2027, 3, 4, tzinfo=UTC), attempts=3, cached=True)
    assert Page((live,)).bundle() == Page((again,)).bundle()


def test_the_provenance_is_all_of_this_and_no_more():
    form = Schema.of("name, age int")
    asked = Request(
        "qwen3.5-plus", (user_message("Who?"),), Settings.of(temperature=0.5, thinking=False), schema=form
    )
    step = answer("", finish_reason="tool_calls", tool_calls=(ToolCall("call_1", "find", "{}"),))
    last = Answer(
        asked, text='{"name": "Ada", "age": 36}', usage=Usage(input=20, output=5), cost=Cost(0.25, "table"),
        endpoint="openrouter", served_by="qwen/qwen3.5-plus",
    )  # fmt: skip
    assert Page((step, last), inputs={"df": "0f83daa1"}).bundle()[MIME] == {
        "version": 2,
        "key": asked.key,
        "model": "qwen3.5-plus",
        "endpoint": "openrouter",
        "served_by": "qwen/qwen3.5-plus",
        "finish_reason": "stop",
        "settings": {"temperature": 0.5, "thinking": False},
        "usage": {"input": 20, "output": 5},
        "cost": [0.25, "table"],
        "steps": [step.key],
        "schema": form.name,
        "inputs": {"df": "0f83daa1"},
    }


def test_calls_stand_folded_above_the_answer_and_are_capped():
    call = ToolCall("call_1", "find", '{"city": "' + "B" * 1_000 + '"}')
    said = (
        Message("assistant", tool_calls=(call,)),
        Message("tool", (Text("r" * 9_000),), tool_call_id="call_1"),
    )
    shown = Page((answer(),), said).markdown()
    assert shown.startswith("<details><summary>Called find(") and "open" not in shown.splitlines()[0]
    assert len(shown.splitlines()[0]) < 400 and shown.count("B") < 250
    assert shown.count("r" * 4_000) == 1 and "(9000 characters)" in shown and len(shown) < 6_000


def test_what_was_interrupted_is_marked_wherever_it_is_read():
    page = Page((answer("half an", finish_reason="interrupted"),))
    assert page.plain().startswith("half an\n[interrupted]")
    assert "half an" in page.markdown() and "**&#91;interrupted&#93;**" in page.markdown()


def test_a_value_is_shown_as_a_table_and_code_as_code():
    assert "| name | Ada |" in Page((answer('{"name": "Ada"}', data={"name": "Ada"}),)).markdown()
    page = Page((answer("So:\n\n```python\nprint(1)\n```\nDone."),), as_code=True)
    assert page.code == "print(1)" and page.markdown().startswith("<samp>\n\n```python\nprint(1)\n```\n")
    assert Page((answer("print(2)"),), as_code=True).code == "print(2)"


def test_a_thought_is_folded_and_quoted_with_its_tokens_and_a_gap_below_it():
    shown = Page((answer(reasoning="# hm\n\n$$x$$", usage=Usage(input=9, output=5, reasoning=3)),)).markdown()
    head = "<details><summary>Thought · 3 tokens</summary>\n\n<blockquote>\n\n#### hm\n\n"
    assert shown.startswith(head) and "\n\n</blockquote>\n\n</details><br>\n\nsaid\n\n<sub>" in shown


def test_a_call_is_shown_as_python_would_write_it():
    calls = {
        '{"name": "Bonn", "deep": true, "most": null}': "harbour(name='Bonn', deep=True, most=None)",
        "": "harbour()",
        '{"a b": 1}': 'harbour({"a b": 1})',
        "no json": "harbour(no json)",
        "[1]": "harbour([1])",
    }
    assert {text: write_call(ToolCall("1", "harbour", text)) for text in calls} == calls


def test_the_thought_stands_open_until_the_answer_begins():
    assert in_part("", "hm").startswith("<details open><summary>Thinking …</summary>")
    assert in_part("It", "hm").startswith("<details><summary>Thought</summary>")
    assert in_part("", "") == "…"
