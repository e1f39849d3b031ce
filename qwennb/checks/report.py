"""What checks came to, for people: as text, as Markdown, as a frame. What answers say is data in all three."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import markup
from qwennb.checks.check import SHOWN, CheckResult, RuleResult
from qwennb.checks.gate import write_last
from qwennb.errors import BadInput, CheckFailed
from qwennb.request import file_path
from qwennb.terminal import drop_controls, flatten
from qwennb.text import first_words, plural, table, wrap
from qwennb.truth import MOST, WIDE, Comparison

if TYPE_CHECKING:
    import polars

_WORD: Mapping[bool | None, str] = {True: "ok", False: "FAILED", None: "-"}


@dataclass(frozen=True)
class CheckReport:
    """What checks came to. `print` it, show it in a notebook, or `assert` it: it is true where no rule is broken.

    Attributes
    ----------
    checks : tuple of CheckResult
        Of each check its rules, how it stands to what is right, and how it compares with the last run.
    title, notes, verdict : str, tuple of str, str
        What was checked, what is to be said of the run as a whole, and what it came to, in one line.
    passed : bool
        Whether no rule is broken. What could not be measured breaks none, and is told.
    rules : list of RuleResult
        The rules of all checks.
    failures : list of RuleResult
        The rules that are broken.
    frame : polars.DataFrame
        One row a rule: check, rule, passed, rows, broken, said.
    broken : polars.DataFrame
        One row for each answer that breaks a rule: check, rule, row, value, why.

    Examples
    --------
    >>> df = pl.DataFrame({"label": ["praise", "complaint"], "gold": ["praise", "praise"]})
    >>> report = df.qwen.check("label", truth="gold", rules={"accuracy_at_least": 0.9})
    >>> report.passed, report.frame["rule"].to_list()
    (False, ['accuracy_at_least'])
    >>> report.raise_for_failures()
    Traceback (most recent call last):
        ...
    qwennb.errors.CheckFailed: 1 of 1 rule is broken. label accuracy_at_least: ...
    """

    checks: tuple[CheckResult, ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    @property
    def rules(self) -> list[RuleResult]:
        """The rules of all checks."""
        return [rule for check in self.checks for rule in check.rules]

    @property
    def failures(self) -> list[RuleResult]:
        """The rules that are broken."""
        return [rule for rule in self.rules if rule.passed is False]

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.passed

    def raise_for_failures(self) -> None:
        """Raise what is broken, in one sentence for each rule; nothing where none is.

        Raises
        ------
        CheckFailed
            An AssertionError too, so that a test fails by it as by any other.

        Examples
        --------
        >>> df = pl.DataFrame({"stars": [1, 4, 5]})
        >>> df.qwen.check("stars", rules={"between": [1, 5]}).raise_for_failures()
        """
        if failures := self.failures:
            are = "is" if len(failures) == 1 else "are"
            told = " ".join(_sentence(rule) for rule in failures)
            raise CheckFailed(f"{len(failures):,} of {plural(len(self.rules), 'rule')} {are} broken. {told}")

    def accept(self, path: str | Path) -> None:
        """Have later runs be held against this one: write what each row weighs into a file, `labels.last.json`.

        Parameters
        ----------
        path : str or path
            The file. It holds no text of yours: a row stands in it by a hash.

        Raises
        ------
        BadInput
            If it can't be written.

        Examples
        --------
        >>> df = pl.DataFrame({"label": ["praise", "complaint"], "gold": ["praise", "praise"]})
        >>> df.qwen.check("label", truth="gold").accept("labels.last.json")
        >>> print(df.qwen.check("label", truth="gold", last="labels.last.json").rules[-1].said)
        no worse than chance explains: of 2 rows known from last time, 0 got worse and 0 better (p = 1, limit 0.05)
        """
        write_last(file_path("The last run", path), {check.name: check.losses for check in self.checks})

    # ------------------------------------------------------------------ for people

    def __str__(self) -> str:
        return drop_controls("\n".join(self.lines()))

    def __repr__(self) -> str:
        told = " ".join(map(_sentence, self.failures))
        return flatten(f"<CheckReport: {first_words(f'{self.verdict} {told}', 400)}>")

    def lines(self) -> Iterator[str]:
        """Say it line by line, as a terminal shows it."""
        if self.title:
            yield flatten(self.title)
        for check in self.checks:
            failed = f", {check.failed:,} failed" if check.failed else ""
            yield flatten(f"{check.name} ({plural(check.rows, 'answer')}{failed})")
            yield from _rule_lines(check.rules)
            if check.judge:
                yield from wrap(check.judge)
            if check.comparison is not None:
                yield from (f"  {line}" for line in str(check.comparison).split("\n"))
                yield from _label_lines(check.comparison)
        yield from map(flatten, self.notes)
        yield self.verdict

    @property
    def verdict(self) -> str:
        """The whole in one line."""
        failed, rules = len(self.failures), self.rules
        unknown = sum(rule.passed is None for rule in rules)
        told = f", {unknown:,} not measured" if unknown else ""
        if not failed:
            return f"{plural(len(rules) - unknown, 'rule')} of {plural(len(self.checks), 'check')} hold{'s' if len(rules) - unknown == 1 else ''}{told}."
        return f"{failed:,} of {plural(len(rules), 'rule')} {'is' if failed == 1 else 'are'} broken{told}."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/markdown": self.markdown()}

    def markdown(self) -> str:
        """Write the report as a page in Markdown. Nothing in it is active, whatever the answers say.

        Returns
        -------
        str
            A table for each check, the answers that break a rule, and the confusion.

        Examples
        --------
        >>> df = pl.DataFrame({"stars": [1, 9]})
        >>> print(df.qwen.check("stars", rules={"between": [1, 5]}).markdown().split(chr(10))[0])
        **stars** (2 answers)
        """
        parts = [f"**{markup.literal(self.title)}**"] if self.title else []
        for check in self.checks:
            parts += _check_markdown(check)
        parts += [markup.literal(note) for note in self.notes]
        return "\n\n".join([*parts, f"**{markup.literal(self.verdict)}**"])

    @property
    def frame(self) -> polars.DataFrame:
        """One row a rule."""
        import polars as pl

        return pl.DataFrame(
            [(r.check, r.rule, r.passed, r.rows, len(r.broken), r.said) for r in self.rules],
            schema={"check": pl.String, "rule": pl.String, "passed": pl.Boolean, "rows": pl.Int64, "broken": pl.Int64, "said": pl.String},
            orient="row",
        )  # fmt: skip

    @property
    def broken(self) -> polars.DataFrame:
        """One row for each answer that breaks a rule."""
        import polars as pl

        return pl.DataFrame(
            [(r.check, r.rule, one.row, one.value, one.why) for r in self.rules for one in r.broken],
            schema={"check": pl.String, "rule": pl.String, "row": pl.Int64, "value": pl.String, "why": pl.String},
            orient="row",
        )  # fmt: skip


def join_reports(reports: Sequence[CheckReport], title: str, notes: Sequence[str]) -> CheckReport:
    """Make one report of several."""
    return CheckReport(tuple(check for one in reports for check in one.checks), title, tuple(notes))


def _sentence(rule: RuleResult) -> str:
    first = f", row {rule.broken[0].row}: {rule.broken[0].why}" if rule.broken else ""
    return f"{rule.check} {rule.rule}: {rule.said}{first}."


def _rule_lines(rules: Sequence[RuleResult]) -> Iterator[str]:
    """Say what came of each rule, in lines that a terminal has room for."""
    words = max((len(_WORD[rule.passed]) for rule in rules), default=0)
    names = max((len(rule.rule) for rule in rules), default=0)
    for rule in rules:
        head = f"  {_WORD[rule.passed].ljust(words)}  {rule.rule.ljust(names)}  "
        yield from wrap(rule.said, first=head, indent=" " * len(head))
        for one in _show_broken(rule):
            yield from wrap(one, first=" " * 6, indent=" " * 8)


def explain_broken(rule: RuleResult) -> list[str]:
    """Say what is broken, with the first answers that break it."""
    return [f"{rule.check} {rule.rule}: {rule.said}", *(f"  {one}" for one in _show_broken(rule))]


def _show_broken(rule: RuleResult) -> list[str]:
    lines = [f"row {one.row}: {one.value or '(nothing)'} ({one.why})" for one in rule.broken[:SHOWN]]
    more = len(rule.broken) - len(lines)
    return [*lines, *([f"and {more:,} more"] if more > 0 else [])]


def _label_lines(found: Comparison) -> list[str]:
    shares = found.by_label
    if len(shares) < 2 or found.kind == "yes or no":
        return []
    return [
        "  of each true label",
        *table([[label, str(share)] for label, share in shares.items()], indent="    "),
    ]


def _check_markdown(check: CheckResult) -> list[str]:
    failed = f", {check.failed:,} failed" if check.failed else ""
    parts = [f"**{markup.literal(check.name)}** ({plural(check.rows, 'answer')}{failed})"]
    rows = [["", "rule", "what came of it"]]
    rows += [[_WORD[rule.passed], rule.rule, rule.said] for rule in check.rules]
    parts.append(markup.table(rows))
    shown = [
        [rule.rule, f"{one.row}", one.value, one.why] for rule in check.rules for one in rule.broken[:SHOWN]
    ]
    if shown:
        parts.append(markup.table([["rule", "row", "answer", "what is wrong"], *shown]))
    if check.judge:
        parts.append(markup.literal(check.judge))
    found = check.comparison
    if found is None:
        return parts
    parts.append(markup.literal(str(found).split("\n")[0]))
    if shares := found.by_label:
        parts.append(
            markup.table(
                [["true label", "answered so"], *([one, str(share)] for one, share in shares.items())]
            )
        )
    if 0 < len(found.labels) <= WIDE:
        counts = [
            [true, *(f"{found.confusion.get((true, said), 0):,}" for said in found.labels)]
            for true in found.labels
        ]
        parts.append(markup.table([["truth \\ answer", *found.labels], *counts]))
    elif found.confusion:
        wrong = sorted(
            (-count, true, said) for (true, said), count in found.confusion.items() if true != said
        )[:MOST]
        parts.append(
            markup.table(
                [
                    ["truth", "answered", "times"],
                    *([true, said, f"{-count:,}"] for count, true, said in wrong),
                ]
            )
        )
    return parts


def check_names(names: Sequence[str]) -> None:
    """Refuse two checks of one name: the last run, and a CI's page, know them by it."""
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"Two checks are called `{name}`. Give each a name of its own.")
