"""The rules that answers are held to, by the names under which a file of checks knows them.

A rule of each answer says of one answer what is wrong with it, or nothing. A rule of all answers together has a figure
and a limit. What a rule takes is checked when the file is read: a mistake costs no run.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwennb.answer import money, read_form
from qwennb.checks.row import AnswerRow
from qwennb.errors import BadInput, nearest, show_value
from qwennb.request import Schema, parse_json
from qwennb.text import first_words, join_some, plural
from qwennb.truth import Comparison, Kappa, Share

Ruling = tuple[bool | None, str]
"""Whether a rule holds (None: it could not be measured), and what is to be said of it."""


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
class Measured:
    """What is known of all answers of a check together."""

    rows: Sequence[AnswerRow]
    values: Sequence[Any]  # of those that were answered: the field's
    comparison: Comparison | None
    kappa: Kappa | None


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


# ---------------------------------------------------------------------- rules of each answer


def _no_failed(row: AnswerRow, value: Any, given: Any) -> str | None:
    return row.error


def _valid_json(row: AnswerRow, value: Any, given: Any) -> str | None:
    texts = [("", value)] if not (row.answer and row.answer.tool_calls) else _arguments(row)
    for what, text in texts:
        if isinstance(text, str):
            try:
                parse_json(text)
            except ValueError as error:
                return f"{what}no JSON: {first_words(str(error), 120)}"
    return ""


def _arguments(row: AnswerRow) -> list[tuple[str, str]]:
    assert row.answer is not None
    return [(f"{call.name}: ", call.arguments) for call in row.answer.tool_calls]


def _valid_calls(row: AnswerRow, value: Any, given: Any) -> str | None:
    """What the guide of Qwen 3.5 asks for: valid JSON where tools are on; and of a tool that was offered, in its form."""
    answer = row.answer
    if answer is None:
        return None
    offered = {tool.name: tool for tool in answer.request.tools}
    for call in answer.tool_calls:
        if call.name not in offered:
            return f"{call.name} is no tool that was offered{nearest(call.name, offered)}"
        try:
            arguments = parse_json(call.arguments)
            if not isinstance(arguments, dict):
                raise ValueError("its arguments are no JSON object")
            Schema.of(parse_json(offered[call.name].parameters)).check(arguments)
        except ValueError as error:
            return f"{call.name}: {first_words(str(error), 120)}"
    return "" if answer.tool_calls else None


def _valid_form(row: AnswerRow, value: Any, given: Schema | None) -> str | None:
    if row.answer is not None and row.answer.tool_calls:
        return None
    try:
        if given is not None:
            given.read(value) if isinstance(value, str) else given.check(value)
        elif row.answer is not None:
            request = row.answer.request
            if request.schema is None and request.choices is None:
                return None
            read_form(request, row.answer.text)
    except ValueError as error:
        return first_words(str(error), 160)
    return ""


def _between(row: AnswerRow, value: Any, given: tuple[Any, Any]) -> str | None:
    low, high = given
    try:
        if isinstance(value, bool):
            raise TypeError
        return "" if low <= value <= high else f"not from {low} to {high}"
    except TypeError:
        return f"is {_kind(value)}, not from {low} to {high}"


def _one_of(row: AnswerRow, value: Any, given: list[Any]) -> str | None:
    said = value if isinstance(value, list | tuple) else [value]
    strange = [one for one in said if not any(one == known and _alike(one, known) for known in given)]
    return f"none of {join_some([str(one) for one in given], 8)}" if strange else ""


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool)  # for Python True is 1


def _matches(row: AnswerRow, value: Any, given: re.Pattern[str]) -> str | None:
    if not isinstance(value, str):
        return f"is {_kind(value)}, not text"
    return "" if given.search(value) else f"does not match {given.pattern}"


def _quotes_found(row: AnswerRow, value: Any, given: Any) -> str | None:
    if row.quotes is not None:
        lost = [one for one in row.quotes if not one.found]
        return "" if not lost else first_words(f"{lost[0].place}: {lost[0].quote or lost[0].claim}", 120)
    if row.source is None:
        return "has no source to look in"
    source = _plain_text(row.source)
    missing = [quote for quote in _quotes(value) if _plain_text(quote) not in source]
    return f"not in the source: {first_words(missing[0], 80)}" if missing else ""


_QUOTED = re.compile(r"[“„«]([^“”„«»]+)[”“»]|\"([^\"]+)\"")  # within a text, what stands in quotation marks


def _quotes(value: Any) -> list[str]:
    """Find the quotes in *value*: of a list each text, of a struct its `quote` or `quotes`, of a text what is in quotation marks."""
    if isinstance(value, Mapping):
        named = value.get("quotes", value.get("quote"))
        return [] if named is None else [named] if isinstance(named, str) else _quotes(named)
    if isinstance(value, list | tuple):
        return [quote for one in value for quote in ([one] if isinstance(one, str) else _quotes(one))]
    if isinstance(value, str):
        return [one or other for one, other in _QUOTED.findall(value)]
    return []


def _plain_text(text: str) -> str:
    """Write *text* so that how its blanks, quotation marks and letters are encoded makes no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_MARKS).split()).casefold()


_MARKS = str.maketrans(dict.fromkeys("“”„«»", '"') | dict.fromkeys("‘’‚", "'") | {"\u00ad": None})


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    kinds = {str: "text", bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}  # fmt: skip
    return kinds.get(type(value), type(value).__name__)


# ---------------------------------------------------------------------- rules of all together


def quantile(figures: Sequence[float], share: float) -> float:
    """Give the nearest-rank quantile: of few figures it is one of them, and never between two."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _statistic(name: str, figures: Sequence[float]) -> float:
    if name == "total":
        return math.fsum(figures)
    if name == "mean":
        return math.fsum(figures) / len(figures)
    return max(figures) if name == "each" else quantile(figures, int(name[1:]) / 100)


_NOT_MEASURED = {
    "seconds": "not measured: neither a pack nor a column keeps how long an answer took (--live measures it; a table may have a column of seconds)",
    "tokens": "not measured: nothing says how many tokens it took",
    "cost": "",  # unknown is no reason to let it pass
}


def _at_most(what: str, write: Callable[[float], str]) -> Callable[[Measured, Any], Ruling]:
    def decide(measured: Measured, limits: Mapping[str, float]) -> Ruling:
        known = [getattr(row, what) for row in measured.rows if getattr(row, what) is not None]
        if not known and (why := _NOT_MEASURED[what]):
            return None, why
        if unknown := len(measured.rows) - len(known):
            return (
                False,
                f"the {what} of {plural(unknown, 'answer')} {'is' if what == 'cost' else 'are'} unknown",
            )
        told, holds = [], True
        for name, limit in limits.items():
            figure = _statistic(name, known)
            holds = holds and figure <= limit
            told.append(f"{'most' if name == 'each' else name} {write(figure)}, at most {write(limit)}")
        return holds, "; ".join(told)

    return decide


_NO_TRUTH = "no answer stands beside what is right"


def _accuracy_at_least(measured: Measured, given: tuple[str, float]) -> Ruling:
    kind, limit = given
    found = measured.comparison
    if found is None or found.accuracy.interval is None or found.accuracy.value is None:
        return False, _NO_TRUTH
    figure = found.accuracy.interval[0] if kind == "low" else found.accuracy.value
    of = "the low end of " if kind == "low" else ""
    return figure >= limit, f"{of}accuracy {found.accuracy}, at least {limit:.1%}"


def _part_at_least(part: str) -> Callable[[Measured, Any], Ruling]:
    def decide(measured: Measured, limit: float) -> Ruling:
        found: Share | None = None if measured.comparison is None else getattr(measured.comparison, part)
        if found is None:
            return False, f"{part} is of answers yes and no, held against what is right"
        if found.value is None:
            return False, f"{part} unknown: there is no row to tell it"
        return found.value >= limit, f"{part} {found}, at least {limit:.1%}"

    return decide


def _each_label_at_least(measured: Measured, limit: float) -> Ruling:
    shares = {} if measured.comparison is None else dict(measured.comparison.by_label)
    if not shares:
        return False, _NO_TRUTH
    label, worst = min(shares.items(), key=lambda pair: (pair[1].value, pair[0]))
    return (worst.value or 0.0) >= limit, f"worst of them `{label}`: {worst}, at least {limit:.1%}"


def _mean_error_at_most(measured: Measured, limit: float) -> Ruling:
    found = measured.comparison
    if found is None or found.mean_error is None:
        return False, "a mean error is of numbers, held against numbers that are right"
    return found.mean_error <= limit, f"mean error {found.mean_error:.3g}, at most {limit:g}"


def _kappa_at_least(measured: Measured, limit: float) -> Ruling:
    found = measured.kappa
    if found is None:
        return False, "nobody's labels stand beside the answers: name their column, people = …, or truth = …"
    if found.value is None:
        return False, f"{found}"
    return found.value >= limit, f"{found}, at least {limit:g}"


def _said(measured: Measured, label: str) -> Share:
    says = [_write_label(value) for value in measured.values if value is not None]
    return Share(says.count(label), len(says))


def _write_label(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _share_is(most: bool) -> Callable[[Measured, Any], Ruling]:
    def decide(measured: Measured, limits: Mapping[str, float]) -> Ruling:
        told, holds = [], True
        for label, limit in limits.items():
            share = _said(measured, label)
            value = share.value
            holds = holds and value is not None and (value <= limit if most else value >= limit)
            told.append(f"`{label}` {share}, {'at most' if most else 'at least'} {limit:.1%}")
        return holds, "; ".join(told)

    return decide


def _plain_count(figure: float) -> str:
    return f"{figure:,.0f}" if figure == int(figure) else f"{figure:,.1f}"


RULES: Mapping[str, AnswerRule | TotalRule] = {
    "no_failed": AnswerRule("no row failed, and none is without an answer", "no_failed = true", _switch, _no_failed, of_whole=True, of_failed=True),
    "valid_json": AnswerRule("each answer is JSON; where it calls tools, the arguments are", "valid_json = true", _switch, _valid_json, of_whole=True),
    "valid_calls": AnswerRule("where tools are on, each call is of one that was offered, with arguments in JSON that fit it", "valid_calls = true", _switch, _valid_calls, of_whole=True),
    "valid_form": AnswerRule("each answer has the form that it was asked for, or this one", 'valid_form = "name, amount int"', _form, _valid_form),
    "between": AnswerRule("each is from the lowest to the highest, both included", "between = [1, 5]", _range, _between),
    "one_of": AnswerRule("each is one of these; of a list, each of it", 'one_of = ["praise", "complaint"]', _values, _one_of),
    "matches": AnswerRule("the pattern is found in each text", "matches = '^[A-Z]{3}$'", _pattern, _matches),
    "quotes_found": AnswerRule("each quote stands in the source, word for word", "quotes_found = true", _switch, _quotes_found),
    "accuracy_at_least": TotalRule("what share is right, or the `low` end of its interval", "accuracy_at_least = 0.85", _accuracy, _accuracy_at_least),
    "each_label_at_least": TotalRule("of each true label, what share is answered so", "each_label_at_least = 0.7", _share, _each_label_at_least),
    "precision_at_least": TotalRule("of the answers yes, what share is true", "precision_at_least = 0.8", _share, _part_at_least("precision")),
    "recall_at_least": TotalRule("of what is true, what share is answered yes", "recall_at_least = 0.9", _share, _part_at_least("recall")),
    "mean_error_at_most": TotalRule("how far numbers are off, on average", "mean_error_at_most = 0.5", _number, _mean_error_at_most),
    "kappa_at_least": TotalRule("how far it agrees with people beyond chance", "kappa_at_least = 0.6", _agreement, _kappa_at_least),
    "share_at_least": TotalRule("what share of the answers is this label", "share_at_least = {yes = 0.8}", _shares, _share_is(most=False)),
    "share_at_most": TotalRule("what share of the answers is this label", "share_at_most = {unclear = 0.05}", _shares, _share_is(most=True)),
    "cost_at_most": TotalRule("US dollars: of each answer, or a statistic of them", "cost_at_most = {total = 0.50}", _limits, _at_most("cost", money)),
    "tokens_at_most": TotalRule("tokens, in and out: of each answer, or a statistic of them", "tokens_at_most = {p95 = 400}", _limits, _at_most("tokens", _plain_count)),
    "seconds_at_most": TotalRule("seconds, live or where a table tells them: of each answer, or a statistic of them", "seconds_at_most = {p95 = 2.0}", _limits, _at_most("seconds", lambda figure: f"{figure:.3g} s")),
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
