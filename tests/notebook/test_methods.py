"""The statement about the models that were used says what is recorded, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from qwennb import Answer
from qwennb.answer import Cost, Usage
from qwennb.notebook.methods import count_used, methods
from qwennb.request import Message, Request, Settings, Text

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAID = Cost(0.001, "server")


def answer(question="q", model="qwen3.5-plus", endpoint="openrouter", day=DAY, cost=PAID, **more) -> Answer:
    request = Request(
        model,
        (Message("user", (Text(question),)),),
        Settings.of(**more.pop("settings", {})),
        choices=more.pop("choices", None),
    )
    known = {"usage": Usage(input=10, output=5), "served_by": "qwen/qwen3.5-plus-02-15", **more}
    return Answer(request, text="yes", endpoint=endpoint, created=day, cost=cost, **known)


def plain(*answers: Answer) -> str:
    return methods(answers, "ab" * 32)["text/plain"]


def test_answers_are_summed_by_model_and_endpoint():
    rows = count_used(
        [
            answer("1"),
            answer("2", attempts=3),
            answer("3", model="qwen3.5-flash", cost=None),
            answer("4", endpoint="vllm:m"),
        ]
    )
    assert [(row.model, row.endpoint, row.answers, row.attempts, row.cost) for row in rows] == [
        ("qwen3.5-plus", "openrouter", 2, 4, 0.002),
        ("qwen3.5-flash", "openrouter", 1, 1, None),
        ("qwen3.5-plus", "vllm:m", 1, 1, 0.001),
    ]


def test_the_paragraph_has_models_dates_tokens_cost_and_the_root():
    told = plain(answer("1"), answer("2", day=datetime(2026, 11, 21, tzinfo=UTC), attempts=2))
    for fact in ("qwen3.5-plus at openrouter", "from 2026-11-20 to 2026-11-21", "2 answers (3 attempts)", "20 tokens were read",
                 "10 written", "$0.002", "ab" * 32, "qwen/qwen3.5-plus-02-15"):  # fmt: skip
        assert fact in told, fact


def test_a_single_answer_is_told_in_the_singular():
    assert "1 answer came on 2026-11-20" in plain(answer())


def test_a_price_that_nobody_told_is_unknown_and_not_nothing():
    told = plain(answer("1"), answer("2", cost=None))
    assert "price unknown" in told and "$0.001" not in told


def test_an_estimated_price_is_marked():
    assert "≈ $0.001" in plain(answer(cost=Cost(0.001, "table")))


def test_settings_are_named_with_how_many_answers_had_them():
    answers = [answer(str(n), settings={"temperature": 0.2, "seed": n}) for n in range(3)]
    answers += [answer("x", settings={"temperature": 0.2}, defaults={"thinking": False})]
    told = plain(*answers, answer("y", settings={"temperature": 0.2}, choices=("yes", "no")))
    assert "temperature=0.2;" in told, "all had it"
    assert "seed=0 or 1 or 2 in 3" in told and "thinking=false in 1" in told and "choices in 1" in told


def test_very_many_values_of_a_setting_are_counted():
    assert "2 other values" in plain(*(answer(str(n), settings={"seed": n}) for n in range(6)))


def test_nothing_asked_is_said_so():
    assert plain() == "No model was asked in this notebook so far."


def test_a_server_that_reports_a_name_full_of_markup_changes_nothing():
    told = methods([answer(served_by="<img src=x>| a |\n# b")], "ab")["text/markdown"]
    assert "<img" not in told and len(told.splitlines()) == 5
