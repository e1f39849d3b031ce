"""A check: answers held to rules, to what is right, to people, and to the last run. Plain rows in, a result out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import Any

from qwennb.checks.gate import LEVEL, Gate, compare_runs, merge_losses
from qwennb.checks.row import AnswerRow, take_field
from qwennb.checks.rules import OF_TRUTH, RULES, AnswerRule, TotalRule
from qwennb.checks.total_rules import Measured
from qwennb.documents import cell_text
from qwennb.errors import BadInput
from qwennb.text import first_words, plural
from qwennb.truth import YES_NO, Comparison, Kappa, Share, compare_pairs, kappa

SHOWN = 3  # answers that a rule shows of those that break it
GATE = "no_worse_than_last"
MISSING = 1e300  # the loss of a number that is not there: above that of any that is


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """What is checked.

    rules       what each rule is given, by the rules' names, as `read_rules` made it
    field       the field of the answers that is meant: `order.total`
    tolerance   how far a number may be off and still be right
    at_least    the share of answers that each rule of them must hold for
    is_judge    whether the answers are a judge's, and people's labels belong beside them
    labels      the labels that could be answered, in their order
    """

    name: str
    rules: Mapping[str, Any]
    field: str = ""
    tolerance: float = 0.0
    at_least: float = 1.0
    is_judge: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """A row with its value and its truth, both made alike."""

    row: AnswerRow
    value: Any
    truth: Any


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer that breaks a rule: its row, what was answered, and what is wrong."""

    row: int
    name: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What came of a rule. `passed` is None where it could not be measured."""

    check: str
    rule: str
    passed: bool | None
    said: str
    rows: int = 0
    broken: tuple[Broken, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check: its rules, how it stands to what is right, and what each row weighs in the next gate."""

    name: str
    rules: tuple[RuleResult, ...]
    rows: int
    failed: int
    comparison: Comparison | None
    judge: str
    losses: Mapping[str, float] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return all(rule.passed is not False for rule in self.rules)


def run_check(
    spec: CheckSpec,
    rows: Sequence[AnswerRow],
    *,
    last: Mapping[str, float] | None = None,
    has_gate: bool = True,
    level: float = LEVEL,
) -> CheckResult:
    """Hold *rows* to the rules of *spec*; where it *has_gate*, against the *last* run's losses too (None: there was none)."""
    there = [row for row in rows if row.is_there]
    pairs = take_field(there, spec.field)
    held = _align(pairs)
    comparison = _compare(spec, held)
    people = kappa(
        (_label(value), _label(row.people))
        for row, value in pairs
        if row.people is not None and value is not None
    )
    lost = sum(bool(row.error) and row.truth is not None for row in there)
    values = [value for _, value in pairs]
    measured = Measured(there, values, comparison, people or _kappa_of(comparison), lost)
    results, broken_rows = [], set[int]()
    for name, given in spec.rules.items():
        rule = RULES[name]
        if isinstance(rule, AnswerRule):
            result = _hold_each(spec, name, rule, given, pairs)
            broken_rows |= {one.row for one in result.broken}
        else:
            result = _hold_all(spec, name, rule, given, measured)
        results.append(result)
    losses = _weigh(spec, held, broken_rows)
    if has_gate:
        gate = compare_runs(losses, last, level)
        results.append(RuleResult(spec.name, GATE, _holds(gate), gate.said, len(losses)))
    return CheckResult(
        name=spec.name,
        rules=tuple(results),
        rows=len(there),
        failed=sum(bool(row.error) for row in there),
        comparison=comparison,
        judge=_tell_judge(people) if spec.is_judge else "",
        losses=losses,
    )


def _holds(gate: Gate) -> bool | None:
    return None if gate.chance is None else not gate.is_worse


def _hold_each(
    spec: CheckSpec, name: str, rule: AnswerRule, given: Any, pairs: Sequence[tuple[AnswerRow, Any]]
) -> RuleResult:
    looked, broken = 0, []
    for row, value in pairs:
        if row.error and not rule.of_failed:
            why: str | None = f"failed: {row.error}"
        else:
            why = rule.complain(row, row.value if rule.of_whole else value, given)
        if why is None:
            continue
        looked += 1
        if why:
            broken.append(Broken(row.number, row.name, _show(row.value if rule.of_whole else value), why))
    if not looked:
        said = "no answer that this rule is about" if pairs else "no answer at all"
        return RuleResult(spec.name, name, passed=False, said=said)
    right = Share(looked - len(broken), looked)
    passed = not broken if spec.at_least >= 1 else (right.value or 0.0) >= spec.at_least
    said = plural(looked, "answer")
    if broken:
        said = f"{len(broken):,} of {said} {'breaks' if len(broken) == 1 else 'break'} it"
    if spec.at_least < 1:
        said += f"; holds for {right}, at least {spec.at_least:.1%}"
    return RuleResult(spec.name, name, passed, said, looked, tuple(broken))


def _hold_all(spec: CheckSpec, name: str, rule: TotalRule, given: Any, measured: Measured) -> RuleResult:
    if not measured.rows:
        return RuleResult(spec.name, name, passed=False, said="no answer at all")
    passed, said = rule.decide(measured, given)
    return RuleResult(spec.name, name, passed, said, len(measured.rows))


def _compare(spec: CheckSpec, held: Sequence[_Held]) -> Comparison | None:
    """Hold the answers against what is right; None where nobody says what is."""
    counted = Counter((one.value, one.truth) for one in held)
    if all(truth is None for _, truth in counted):
        return None
    found = compare_pairs(counted, labels=spec.labels, name=spec.name)
    if found.kind != "numbers":
        return found
    right = sum(
        count
        for (said, true), count in counted.items()
        if said is not None and true is not None and abs(said - true) <= spec.tolerance
    )
    return replace(found, accuracy=Share(right, found.rows))


def _align(pairs: Sequence[tuple[AnswerRow, Any]]) -> list[_Held]:
    """Make both sides alike, as truth.py compares them: a table may have 1 and 0 for yes and no, or numbers for labels."""
    held = [_Held(row, _comparable(value), _comparable(row.truth)) for row, value in pairs]
    words = {one.value for one in held if one.value is not None}
    if not words or any(_is_number(word) for word in words):
        return held
    is_yes_no = {_label(word) for word in words} <= set(YES_NO)

    def write(truth: Any) -> Any:
        if not _is_number(truth):
            return truth
        return YES_NO[0 if truth else 1] if is_yes_no and truth in (0, 1) else cell_text(truth)

    return [replace(one, truth=write(one.truth)) for one in held]


def _kappa_of(comparison: Comparison | None) -> Kappa | None:
    """Take what is right for what people said, where there are no others."""
    pairs = () if comparison is None else comparison.confusion.items()
    return kappa(pair for pair, count in pairs for _ in range(count))


def _comparable(value: Any) -> Any:
    """Make *value* one that truth.py compares: numbers and truth values as they are, several labels as one text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, Number):
        return float(str(value))  # a Decimal
    if isinstance(value, list | tuple):
        return ", ".join(sorted(map(cell_text, value)))
    return cell_text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(value: Any) -> str:
    """Write a label so that yes, true and Yes are one."""
    said = cell_text(_comparable(value))
    return {"true": "yes", "false": "no", "yes": "yes", "no": "no"}.get(said.casefold(), said)


def _weigh(spec: CheckSpec, held: Sequence[_Held], broken: set[int]) -> dict[str, float]:
    """Give each row's loss: by what is right, where that is known of any; else by the rules that it breaks."""
    truths = [one.truth for one in held if one.truth is not None]
    are_numbers = all(map(_is_number, truths))
    losses = []
    for one in held:
        row = one.row
        if not truths:
            loss = float(bool(row.error) or row.number in broken)
        elif one.truth is None:
            continue
        elif one.value is None:
            loss = MISSING if are_numbers else 1.0
        elif _is_number(one.value) and _is_number(one.truth):
            off = abs(one.value - one.truth)
            loss = 0.0 if off <= spec.tolerance else float(off)
        else:
            loss = float(one.value != one.truth and _label(one.value) != _label(one.truth))
        losses.append((row.name, row.asked, loss))
    return merge_losses(losses)


def _tell_judge(people: Kappa | None) -> str:
    """Say how good the judge is itself."""
    if people is None:
        return "The judge itself is unproven: no labels of people stand beside its own. Name their column: people = …"
    same = Share(people.agreed, people.rows)
    told = f"The judge against people: the same label for {same}"
    if people.value is None or people.interval is None:
        return f"{told}; Cohen's kappa not defined, for everything has one label."
    low, high = people.interval
    return f"{told}; Cohen's kappa {people.value:.2f} (95 %: {low:.2f} to {high:.2f})."


def _show(value: Any) -> str:
    return "" if value is None else first_words(cell_text(value), 120)


def check_needs(spec: CheckSpec, *, has_truth: bool) -> None:
    """Refuse a rule that needs to know what is right, where nothing says so."""
    for name in OF_TRUTH:
        if name in spec.rules and not has_truth:
            raise BadInput(
                f'The check `{spec.name}` has {name} and nothing that says what is right. Name the column: truth = "gold"'
            )
