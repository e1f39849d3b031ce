"""The rules that answers are held to, by the names under which a file of checks knows them.

A rule of each answer says of one answer what is wrong with it, or nothing. A rule of all answers together has a figure
and a limit. What a rule takes is checked when the file is read: a mistake costs no run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwennb.answer import money
from qwennb.checks.answer_rules import (
    check_answer_form,
    check_between,
    check_calls,
    check_json,
    check_pattern,
    check_quotes,
    check_values,
    tell_failure,
)
from qwennb.checks.row import AnswerRow
from qwennb.checks.total_rules import (
    Measured,
    Ruling,
    hold_accuracy,
    hold_at_most,
    hold_each_label,
    hold_kappa,
    hold_mean_error,
    hold_part,
    hold_share,
    write_count,
)
from qwennb.errors import BadInput, nearest, show_value
from qwennb.request import Schema
from qwennb.text import first_words


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule takes and says. `typed` is an example, as it stands in a file."""

    about: str
    typed: str
    read: Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class AnswerRule(Rule):
    """A rule of each answer. *complain* says what is wrong with one; None where the rule is not about it."""

    complain: Callable[[AnswerRow, Any, Any], str | None]
    of_whole: bool = False  # it looks at the answer as it was given, not at a field's value
    of_failed: bool = False  # it says itself what is wrong with a row that failed


@dataclass(frozen=True, slots=True)
class TotalRule(Rule):
    """A rule of all answers together."""

    decide: Callable[[Measured, Any], Ruling]


# ---------------------------------------------------------------------- what a rule may be given


def _refuse(name: str, value: Any, wanted: str, typed: str) -> BadInput:
    return BadInput(f"{name} = {show_value(value)} is not {wanted}. Type: {typed}")


def _switch(name: str, value: Any) -> bool:
    if value is not True:
        raise _refuse(name, value, "true, and a rule that is not wanted is left out", f"{name} = true")
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _share(name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise _refuse(name, value, "a share from 0 to 1", f"{name} = 0.9")
    return float(value)


def _accuracy(name: str, value: Any) -> tuple[str, float]:
    """A share that the accuracy itself must reach, or, as `{low = 0.8}`, the lower end of its interval."""
    if isinstance(value, Mapping):
        if list(value) != ["low"]:
            raise _refuse(name, value, "a share, or the low end of its interval", f"{name} = {{low = 0.8}}")
        return "low", _share(f"{name}.low", value["low"])
    return "value", _share(name, value)


def _number(name: str, value: Any) -> float:
    if not _is_number(value) or value < 0:
        raise _refuse(name, value, "a number from 0 on", f"{name} = 0.5")
    return float(value)


def _agreement(name: str, value: Any) -> float:
    if not _is_number(value) or not -1 <= value <= 1:
        raise _refuse(name, value, "a number from -1 to 1", f"{name} = 0.6")
    return float(value)


def _range(name: str, value: Any) -> tuple[Any, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = value
        try:
            if low <= high:
                return low, high
        except TypeError:
            pass
    raise _refuse(name, value, "the lowest and the highest value", f"{name} = [1, 5]")


def _values(name: str, value: Any) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise _refuse(name, value, "a list of values", f'{name} = ["praise", "complaint"]')
    return list(value)


def _pattern(name: str, value: Any) -> re.Pattern[str]:
    typed = f"{name} = '^[A-Z]{{3}}$'"
    if not isinstance(value, str):
        raise _refuse(name, value, "a regular expression", typed)
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refuse(name, value, f"a regular expression ({first_words(str(error), 80)})", typed) from None


def _form(name: str, value: Any) -> Schema | None:
    """A form that is named; None for the one that each answer was asked for."""
    if value is True:
        return None
    if isinstance(value, str | Mapping) or (value is not False and value is not None):
        return Schema.of(value)
    raise _refuse(name, value, "true, a line of names or a JSON Schema", f'{name} = "name, amount int"')


STATISTICS = ("each", "mean", "p50", "p90", "p95", "p99", "total")


def _limits(name: str, value: Any) -> dict[str, float]:
    """A limit of each answer, or limits by the names of statistics."""
    given = value if isinstance(value, Mapping) else {"each": value}
    if not given:
        raise _refuse(name, value, "a number", f"{name} = {{p95 = 2.0}}")
    for statistic, limit in given.items():
        if statistic not in STATISTICS:
            raise BadInput(
                f"{name} knows no `{statistic}`{nearest(str(statistic), STATISTICS) or '; there are ' + ', '.join(STATISTICS) + '.'}"
            )
        _number(f"{name}.{statistic}" if value is given else name, limit)
    return {statistic: float(limit) for statistic, limit in given.items()}


def _shares(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise _refuse(name, value, "shares by their labels", f"{name} = {{yes = 0.8}}")
    return {str(label): _share(f"{name}.{label}", share) for label, share in value.items()}


# ---------------------------------------------------------------------- every rule, by its name


RULES: Mapping[str, AnswerRule | TotalRule] = {
    "no_failed": AnswerRule("no row failed, and none is without an answer", "no_failed = true", _switch, tell_failure, of_whole=True, of_failed=True),
    "valid_json": AnswerRule("each answer is JSON; where it calls tools, the arguments are", "valid_json = true", _switch, check_json, of_whole=True),
    "valid_calls": AnswerRule("where tools are on, each call is of one that was offered, with arguments in JSON that fit it", "valid_calls = true", _switch, check_calls, of_whole=True),
    "valid_form": AnswerRule("each answer has the form that it was asked for, or this one", 'valid_form = "name, amount int"', _form, check_answer_form),
    "between": AnswerRule("each is from the lowest to the highest, both included", "between = [1, 5]", _range, check_between),
    "one_of": AnswerRule("each is one of these; of a list, each of it", 'one_of = ["praise", "complaint"]', _values, check_values),
    "matches": AnswerRule("the pattern is found in each text", "matches = '^[A-Z]{3}$'", _pattern, check_pattern),
    "quotes_found": AnswerRule("each quote stands in the source, word for word", "quotes_found = true", _switch, check_quotes),
    "accuracy_at_least": TotalRule("what share is right, or the `low` end of its interval", "accuracy_at_least = 0.85", _accuracy, hold_accuracy),
    "each_label_at_least": TotalRule("of each true label, what share is answered so", "each_label_at_least = 0.7", _share, hold_each_label),
    "precision_at_least": TotalRule("of the answers yes, what share is true", "precision_at_least = 0.8", _share, hold_part("precision")),
    "recall_at_least": TotalRule("of what is true, what share is answered yes", "recall_at_least = 0.9", _share, hold_part("recall")),
    "mean_error_at_most": TotalRule("how far numbers are off, on average", "mean_error_at_most = 0.5", _number, hold_mean_error),
    "kappa_at_least": TotalRule("how far it agrees with people beyond chance", "kappa_at_least = 0.6", _agreement, hold_kappa),
    "share_at_least": TotalRule("what share of the answers is this label", "share_at_least = {yes = 0.8}", _shares, hold_share(most=False)),
    "share_at_most": TotalRule("what share of the answers is this label", "share_at_most = {unclear = 0.05}", _shares, hold_share(most=True)),
    "cost_at_most": TotalRule("US dollars: of each answer, or a statistic of them", "cost_at_most = {total = 0.50}", _limits, hold_at_most("cost", money)),
    "tokens_at_most": TotalRule("tokens, in and out: of each answer, or a statistic of them", "tokens_at_most = {p95 = 400}", _limits, hold_at_most("tokens", write_count)),
    "seconds_at_most": TotalRule("seconds, live or where a table tells them: of each answer, or a statistic of them", "seconds_at_most = {p95 = 2.0}", _limits, hold_at_most("seconds", lambda figure: f"{figure:.3g} s")),
}  # fmt: skip
"""Every rule, by its name."""

OF_TRUTH = ("accuracy_at_least", "each_label_at_least", "precision_at_least", "recall_at_least", "mean_error_at_most")  # fmt: skip
"""The rules that need to know what is right."""


def read_rules(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check what each rule is *given*; BadInput names the nearest of one that is not known."""
    made = {}
    for name, value in given.items():
        if name not in RULES:
            raise BadInput(
                f"There is no rule `{name}`{nearest(str(name), RULES) or '; there are ' + ', '.join(RULES) + '.'}"
            )
        made[name] = RULES[name].read(name, value)
    return made
