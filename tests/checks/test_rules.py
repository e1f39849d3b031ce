"""Each rule, on answers that keep it and on answers that break it."""

from __future__ import annotations

import pytest

from qwennb.answer import Answer, Usage
from qwennb.checks import RULES, AnswerRow, CheckSpec, read_rules, run_check
from qwennb.checks.rules import AnswerRule
from qwennb.checks.total_rules import quantile
from qwennb.errors import BadInput
from qwennb.request import Request, Schema, Tool, ToolCall, user_message

FORECAST = {
    "name": "forecast",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def row(value=None, number=0, **more):
    return AnswerRow(f"row{number}", number, value, **more)


def hold(rule, given, *rows, **spec):
    """What came of one rule."""
    found = run_check(CheckSpec("c", read_rules({rule: given}), **spec), rows, has_gate=False)
    return found.rules[0]


# A rule, what it is given, a row that keeps it, a row that breaks it, and what is said of that one.
CASES = [
    ("no_failed", True, row("a"), row(error="TimedOut: too late"), "TimedOut"),
    ("valid_json", True, row('{"a": 1}'), row("{a: 1}"), "no JSON"),
    ("valid_json", True, row({"a": 1}), row('{"a": 1, "a": 2}'), "no JSON"),
    ("valid_form", "name, amount int", row('{"name": "tea", "amount": 2}'), row('{"name": "tea", "amount": "2"}'), "amount"),
    ("valid_form", {"type": "object", "required": ["a"]}, row({"a": 1}), row({"b": 1}), "a"),
    ("between", [1, 5], row(5), row(5.01), "not from 1 to 5"),
    ("between", [1, 5], row(1), row("3"), "is text"),
    ("between", [0, 1], row(0.5), row(True), "true or false"),
    ("one_of", ["a", "b"], row("a"), row("c"), "none of a, b"),
    ("one_of", ["a", "b"], row(["a", "b"]), row(["a", "c"]), "none of"),
    ("one_of", [1, 2], row(1), row(True), "none of"),
    ("matches", "^[A-Z]{3}$", row("EUR"), row("euro"), "does not match"),
    ("matches", "x", row("axb"), row(4), "not text"),
    ("quotes_found", True, row('He said "cold  soup".', source="The “cold\nsoup” came late"), row('"hot soup"', source="cold soup"), "hot soup"),
    ("quotes_found", True, row([{"quote": "soup"}], source="soup"), row([{"quote": "tea"}], source="soup"), "tea"),
    ("quotes_found", True, row(["soup"], source="soup"), row(["soup"]), "no source"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "given", "keeps", "breaks", "why"), CASES)
def test_a_rule_of_each_answer_tells_the_answer_that_breaks_it(rule, given, keeps, breaks, why):
    assert hold(rule, given, keeps).passed is True
    found = hold(
        rule,
        given,
        keeps,
        AnswerRow("other", 7, **{k: getattr(breaks, k) for k in ("value", "error", "source")}),
    )
    assert found.passed is False and [one.row for one in found.broken] == [7]
    assert why in found.broken[0].why and found.said == "1 of 2 answers breaks it"


def test_every_rule_has_a_case_and_its_example_can_be_typed():
    import tomllib

    tested = {case[0] for case in CASES} | {"valid_calls"}
    assert {name for name, rule in RULES.items() if isinstance(rule, AnswerRule)} == tested
    for name, rule in RULES.items():
        assert read_rules(tomllib.loads(rule.typed)).keys() == {name}


def called(*calls, text=""):
    request = Request("m", (user_message("weather?"),), tools=(Tool.of(FORECAST),))
    made = tuple(ToolCall(f"{n}", name, arguments) for n, (name, arguments) in enumerate(calls))
    return Answer(request, text, tool_calls=made, usage=Usage(1, 2))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (("forecast", '{"city": "Ulm"}'), ""),
        (("forecast", '{"city": "Ulm"'), "forecast:"),
        (("forecast", '["Ulm"]'), "no JSON object"),
        (("forecast", '{"city": 4}'), "city"),
        (("forecast", "{}"), "city"),
        (("forcast", '{"city": "Ulm"}'), "did you mean `forecast`"),
    ],
)
def test_where_tools_are_on_a_call_is_json_that_fits_a_tool_that_was_offered(call, why):
    found = hold("valid_calls", True, row("", answer=called(call)))
    assert (found.passed is True) if not why else (why in found.broken[0].why)


def test_recorded_answers_are_held_to_the_form_that_they_were_asked_for():
    def asked(text, **form):
        return row(text, answer=Answer(Request("m", (user_message("?"),), **form), text))

    schema = Schema.of("name, amount int")
    assert hold("valid_form", True, asked('{"name": "tea", "amount": 2}', schema=schema)).passed is True
    assert hold("valid_form", True, asked('{"name": "tea"}', schema=schema)).passed is False
    assert hold("valid_form", True, asked("yes", choices=("yes", "no"))).passed is True
    assert "one of: yes; no" in hold("valid_form", True, asked("maybe", choices=("yes", "no"))).broken[0].why
    assert hold("valid_form", True, asked("prose")).said == "no answer that this rule is about"


def test_a_rule_that_is_about_no_answer_fails_and_says_so():
    found = hold("valid_calls", True, row("It rains.", answer=called(text="It rains.")))
    assert (found.passed, found.said) == (False, "no answer that this rule is about")
    assert hold("between", [1, 2]).said == "no answer at all"


def test_a_failed_row_breaks_every_rule_and_a_skipped_one_none():
    found = hold("between", [1, 5], row(3), row(error="TimedOut: late", number=1), row(None, number=2))
    assert [(one.row, one.why) for one in found.broken] == [(1, "failed: TimedOut: late")] and found.rows == 2


def test_a_share_of_answers_may_break_a_rule_where_that_is_said():
    rows = [row(n, number=n) for n in range(1, 11)]
    assert hold("between", [1, 9], *rows, at_least=0.9).passed is True
    found = hold("between", [1, 8], *rows, at_least=0.9)
    assert found.passed is False and "holds for 80.0% (8 of 10" in found.said


def test_a_field_is_taken_out_of_structs_and_of_json():
    rows = [row({"order": {"total": 3}}), row('{"order": {"total": 9}}', number=1)]
    found = hold("between", [1, 5], *rows, field="order.total")
    assert [one.value for one in found.broken] == ["9"]
    right = [row({"order": {"total": n}}, number=n, truth=3) for n in (3, 4)]
    assert "(1 of 2" in hold("accuracy_at_least", 0.5, *right, field="order.total").said
    with pytest.raises(BadInput, match=r"no field `order.totl`|did you mean `order.total`") as refused:
        hold("between", [1, 5], *rows, field="order.totl")
    assert "order.total" in str(refused.value)


def test_costs_tokens_and_seconds_are_held_to_each_or_to_a_statistic():
    rows = [row("a", number=n, cost=0.01 * n, tokens=100 * n, seconds=n / 10) for n in range(1, 21)]
    assert hold("tokens_at_most", 2000, *rows).passed is True
    found = hold("tokens_at_most", {"p95": 1900, "mean": 1000}, *rows)
    assert found.passed is False and found.said == "p95 1,900, at most 1,900; mean 1,050, at most 1,000"
    assert hold("seconds_at_most", {"p95": 1.9}, *rows).passed is True
    assert "total $2.10, at most $2.00" in hold("cost_at_most", {"total": 2}, *rows).said


def test_what_is_not_known_is_told_and_never_taken_for_nothing():
    found = hold("seconds_at_most", 1, row("a"))
    assert found.passed is None and "neither a pack nor a column keeps how long" in found.said
    assert hold("cost_at_most", 1, row("a")).passed is False
    half = hold("cost_at_most", 1, row("a", cost=0.1), row("b", number=1))
    assert (half.passed, half.said) == (False, "the cost of 1 answer is unknown")


def test_a_quantile_is_one_of_the_figures():
    assert [quantile(range(1, 11), share) for share in (0.5, 0.9, 0.95, 0.99)] == [5, 9, 10, 10]
    assert quantile([7], 0.5) == 7


# ---------------------------------------------------------------------- truth


def labelled(*pairs, **more):
    return [row(said, number=n, truth=true, **more) for n, (said, true) in enumerate(pairs)]


def test_accuracy_is_held_to_its_value_or_to_the_low_end_of_its_interval():
    rows = labelled(*[("a", "a")] * 9, ("b", "a"))
    assert hold("accuracy_at_least", 0.9, *rows).passed is True
    low = hold("accuracy_at_least", {"low": 0.9}, *rows)
    assert low.passed is False and low.said.startswith("the low end of accuracy 90.0%")


def test_a_row_that_failed_is_not_right():
    rows = [*labelled(*[("a", "a")] * 9), row(error="TimedOut: late", number=9, truth="a")]
    assert hold("accuracy_at_least", 0.9, *rows).passed is True
    found = hold("accuracy_at_least", 0.95, *rows)
    assert found.passed is False and "(9 of 10" in found.said and "1 failed row counts as wrong" in found.said


def test_the_worst_label_precision_recall_and_kappa_are_held_to_theirs():
    rows = labelled(*[("yes", "yes")] * 8, ("no", "yes"), ("yes", "no"), *[("no", "no")] * 2)
    assert "`no`: 66.7% (2 of 3" in hold("each_label_at_least", 0.7, *rows).said
    assert hold("precision_at_least", 0.88, *rows).passed is True
    assert hold("recall_at_least", 0.9, *rows).passed is False
    assert hold("kappa_at_least", 0.5, *rows).passed is True
    assert hold("kappa_at_least", 0.6, *rows).passed is False


def test_numbers_are_right_within_the_tolerance():
    rows = labelled((3, 3), (4, 3), (1, 5))
    assert hold("accuracy_at_least", 0.6, *rows, tolerance=1).passed is True
    assert hold("accuracy_at_least", 0.6, *rows).passed is False
    assert hold("mean_error_at_most", 1.7, *rows).passed is True


def test_ones_and_zeros_are_yes_and_no_and_numbers_may_be_labels():
    assert hold("accuracy_at_least", 1, *labelled(("yes", 1), ("no", 0), ("Yes", True))).passed is True
    assert hold("accuracy_at_least", 1, *labelled(("1", 1), ("2", 2))).passed is True
    assert hold("accuracy_at_least", 1, *labelled((["b", "a"], ["a", "b"]))).passed is True


def test_a_share_of_a_label_is_held_to_its_bounds():
    rows = [row(said, number=n) for n, said in enumerate(["yes", "yes", "no", True])]
    assert hold("share_at_least", {"yes": 0.5}, *rows).passed is True
    found = hold("share_at_most", {"no": 0.2}, *rows)
    assert found.passed is False and "`no` 25.0% (1 of 4" in found.said


def test_a_judge_is_shown_beside_people_and_is_unproven_without():
    rows = [row(said, number=n, people=true) for n, (said, true) in enumerate([("yes", "yes"), ("no", False), ("yes", "no"), ("no", "no")])]  # fmt: skip
    spec = CheckSpec("c", read_rules({"kappa_at_least": 0.5}), is_judge=True)
    found = run_check(spec, [*rows, row("yes", number=9)])
    assert found.judge.startswith("The judge against people: the same label for 75.0% (3 of 4;")
    assert "Cohen's kappa 0.50 (95 %: " in found.judge and found.rules[0].passed is True
    alone = run_check(spec, [row("yes")])
    assert "The judge itself is unproven" in alone.judge and alone.rules[0].passed is False


# ---------------------------------------------------------------------- what is refused

WRONG = {
    "no_failed": [False, 1, "yes"], "between": [[5, 1], [1], "1-5", [1, "5"], 3], "one_of": ["praise", [], 4],
    "matches": ["(", 3, ""[:0] or None], "valid_form": [False, 4, "a; b"], "accuracy_at_least": [90, "high", {"high": 1}, True, float("nan")],
    "tokens_at_most": [-1, {}, {"p50": "x"}, "many"], "share_at_least": [0.5, {}, {"yes": 2}], "kappa_at_least": [2], "mean_error_at_most": [-1],
}  # fmt: skip


@pytest.mark.parametrize("rule", WRONG)
def test_what_a_rule_can_not_be_given_is_refused_in_one_sentence(rule):
    for value in WRONG[rule]:
        with pytest.raises(BadInput) as refused:
            read_rules({rule: value})
        assert "\n" not in str(refused.value) and (rule in str(refused.value) or rule == "valid_form")


def test_an_unknown_rule_or_statistic_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean `no_failed`"):
        read_rules({"no_fail": True})
    with pytest.raises(BadInput, match="did you mean `total`"):
        read_rules({"cost_at_most": {"totl": 1}})
