"""An answer as a notebook shows and keeps it: inert Markdown, plain text, and where it comes from.

Everything here is made of what was recorded, so that an answer from memory looks as it did when it was live. The Markdown
is GitHub's; the tags in it are our own, and without attributes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from qwennb.answer import markup
from qwennb.answer.cited import list_quotes, tell_quote
from qwennb.answer.cut import own_limit
from qwennb.answer.usage import money, spell_tokens, sum_costs
from qwennb.request import parse_json

if TYPE_CHECKING:
    from qwennb.answer import Answer
    from qwennb.request import Message, ToolCall

MIME = "application/vnd.qwennb.answer+json"
FORM = 2  # of what is shown: the second since 0.1, whose notebooks `verify` compares by their words
INTERRUPTED = "[interrupted]"
DEEPEST = 8  # tables within tables; what lies deeper is shown as JSON
CAP = 4_000  # characters of one tool's result that are shown
_SAID = {None: "Called", True: "Allowed", False: "Not allowed:"}
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """What a cell shows: the answers of its steps, the last of them whole, and all that was said between.

    `inputs` are the short hashes of what was interpolated, by the expressions as they were typed.
    """

    answers: tuple[Answer, ...]
    said: tuple[Message, ...] = ()
    as_code: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> Answer:
        """The answer of the last step."""
        return self.answers[-1]

    def bundle(self) -> dict[str, Any]:
        """Make the one output of the cell."""
        return {"text/markdown": self.markdown(), "text/plain": self.plain(), MIME: self.provenance()}

    def markdown(self) -> str:
        """For front ends that render Markdown."""
        folds = self._folds()
        if self.answer.reasoning:
            count = self.answer.usage.reasoning
            title = f"Thought · {count:,} tokens" if count else "Thought"
            folds.append(fold_thought(title, markup.inert(self.answer.reasoning)))
        footer = f"<sub>{markup.literal(self.footer())}</sub>"
        return "\n\n".join(filter(None, [end_folds(folds), self._body(), footer]))

    def plain(self) -> str:
        """For terminals, and for whoever can't see the rest."""
        calls = "".join(
            f"[{said[0].lower()}{said[1:]} {markup.plain(shown)}]\n" for said, shown, _ in self.list_calls()
        )
        failed = self.answer.error
        text = self.answer.text if failed is None else f"failed: {failed}"
        text += f"\n{INTERRUPTED}" if self._is_interrupted else ""
        text = "\n".join([text, *list_quotes(self.answer.quotes)])
        return f"{calls}{markup.plain(text)}\n\n[{markup.plain(self.footer())}]"

    def footer(self) -> str:
        """Write what does not change from run to run."""
        usage = self.answers[0].usage
        for answer in self.answers[1:]:
            usage = usage + answer.usage
        cost = sum_costs(answer.cost for answer in self.answers)
        told = [self.answer.model]
        if usage.total:
            told.append(spell_tokens(usage.input, usage.output, usage.reasoning, estimated=usage.estimated))
        if not self._is_interrupted:
            told.append(str(cost or money(cost)))
        if self.answer.finish_reason == "length":
            most = own_limit(self.answer.request)
            told.append("cut at its limit of tokens" if most is None else f"cut at max_tokens={most}")
        return " · ".join(told)

    def provenance(self) -> dict[str, Any]:
        """Tell where the answer comes from. No text, no key of anybody's, no path."""
        answer = self.answer
        made: dict[str, Any] = {
            "version": FORM,
            "key": answer.key,
            "model": answer.model,
            "endpoint": answer.endpoint,
            "served_by": answer.served_by,
            "finish_reason": answer.finish_reason,
            "settings": answer.request.settings.given(),
            "usage": answer.usage.to_json(),
            "cost": None if answer.cost is None else [float(answer.cost), answer.cost.source],
        }
        if len(self.answers) > 1:
            made["steps"] = [step.key for step in self.answers[:-1]]
        if answer.request.schema is not None:
            made["schema"] = answer.request.schema.name
        if self.inputs:
            made["inputs"] = dict(self.inputs)
        return made

    @property
    def code(self) -> str:
        """The code in the answer: its fences, or all of it where it has none."""
        found = [block[1].rstrip("\n") for block in _FENCED.findall(self.answer.text)]
        return "\n\n".join(found) or self.answer.text.strip()

    @property
    def _is_interrupted(self) -> bool:
        return self.answer.finish_reason == "interrupted"

    def _body(self) -> str:
        if self.answer.error is not None:
            return f"**failed:** {markup.literal(str(self.answer.error))}"
        if self._is_interrupted:
            return f"{markup.inert(self.answer.text)}\n\n**{markup.literal(INTERRUPTED)}**"
        if self.as_code:
            return markup.code_block(self.code, "python")
        quotes = self.answer.quotes
        if self.answer.data is None:
            return "\n\n".join([markup.inert(self.answer.text), *map(markup.literal, list_quotes(quotes))])
        told = {quote.claim: tell_quote(quote) for quote in quotes}
        shown, beside = table(self.answer.data, told)
        others = (markup.literal(f"{name}: {words}") for name, words in told.items() if name not in beside)
        return "\n\n".join([shown, *others])

    def _folds(self) -> list[str]:
        return [
            details(f"{said} {shown}", markup.code_block(shorten_text(result, CAP)))
            for said, shown, result in self.list_calls()
        ]

    def list_calls(self) -> list[tuple[str, str, str]]:
        """List the tool calls that were answered: whether they were allowed, in words, the call, and what it gave."""
        results = {message.tool_call_id: message.text for message in self.said if message.role == "tool"}
        calls = [call for message in self.said for call in message.tool_calls]
        consents = [
            consent
            for answer in self.answers
            for consent in answer.consents or (None,) * len(answer.tool_calls)
        ]
        return [
            (_SAID[consent], shorten_text(write_call(call), 200), results[call.id])
            for call, consent in zip_longest(calls, consents)
            if call is not None and call.id in results
        ]


def under_way(text: markup.Growing, reasoning: markup.Growing) -> str:
    """Write an answer on its way, as Markdown: the reasoning stands open until the answer begins."""
    thought = ""
    if not reasoning.empty:
        name = "Thinking …" if text.empty else "Thought"
        thought = end_folds([fold_thought(name, reasoning.inert(), is_open=text.empty)])
    return "\n\n".join(filter(None, [thought, text.inert()])) or "…"


def fold_thought(title: str, body: str, *, is_open: bool = False) -> str:
    """Fold a thought away, quoted. By tags: a formula within lines that begin with `>` would be read with these signs."""
    return details(title, f"<blockquote>\n\n{body}\n\n</blockquote>", is_open=is_open)


def end_folds(folds: Iterable[str]) -> str:
    """Put *folds* below each other, and a gap below the last: JupyterLab leaves none."""
    made = "\n\n".join(folds)
    return f"{made}<br>" if made else ""


def details(summary: str, body: str, *, is_open: bool = False) -> str:
    """Write a part that can be folded away. *body* is Markdown of ours; *summary* is any text."""
    return f"<details{' open' if is_open else ''}><summary>{markup.literal(summary)}</summary>\n\n{body}\n\n</details>"


def shorten_text(text: str, most: int) -> str:
    """Cut *text* where it is longer than *most*."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"


def write_call(call: ToolCall) -> str:
    """Write *call* as Python would: `harbour(name='Bonn')`; arguments that are no object, as they came."""
    try:
        given = parse_json(call.arguments or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(map(str.isidentifier, given)):
        return f"{call.name}({call.arguments})"
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def table(data: Any, quotes: Mapping[str, str]) -> tuple[str, Collection[str]]:
    """Write a value of a schema or choice as a Markdown table, and tell which of the *quotes* of its fields stand in it.

    A cell that holds such a value itself is a table too.
    """
    data = _plain(data)
    beside: Collection[str] = ()
    if isinstance(data, Mapping):
        rows = [["field", "value"], *([markup.literal(str(name)), _cell(data[name])] for name in data)]
        rules = [markup.LEFT, _side(data.values())]
        if beside := set(map(str, data)) & quotes.keys():
            told = ["quote", *(markup.literal(quotes.get(str(name), "")) for name in data)]
            rows = [[*row, quote] for row, quote in zip(rows, told, strict=True)]
            rules.append(markup.LEFT)
    elif _is_rows(data):
        names = _names_of(data)
        rows = [list(map(markup.literal, names))]
        rows += [[_cell(item.get(name)) for name in names] for item in data]
        rules = [_side(item.get(name) for item in data) for name in names]
    else:
        return _cell(data), ()
    return markup.write_table(rows, rules), beside


def _cell(value: Any, depth: int = 0) -> str:
    """Write *value* for a cell: Markdown and tags of ours, in one line."""
    value = _plain(value)
    if depth < DEEPEST and isinstance(value, Mapping) and value:
        return _inner_table(([name, item] for name, item in value.items()), depth)
    if depth < DEEPEST and _is_rows(value):
        names = _names_of(value)
        head = "".join(f"<th>{markup.literal(name)}</th>" for name in names)
        return _inner_table(([item.get(name) for name in names] for item in value), depth, f"<tr>{head}</tr>")
    if isinstance(value, list) and value and not any(isinstance(item, Mapping | list) for item in value):
        return "<br>".join(_cell(item, depth) for item in value)
    return markup.literal(_spell(value))


def _inner_table(rows: Iterable[Iterable[Any]], depth: int, head: str = "") -> str:
    """Write a table that stands in a cell: Markdown knows none, and its readers take tags."""
    made = "".join(
        f"<tr>{''.join(f'<td>{_cell(item, depth + 1)}</td>' for item in row)}</tr>" for row in rows
    )
    return f"<table>{head}{made}</table>"


def _is_rows(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) and item for item in value)
    )


def _names_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for item in rows for name in map(str, item)))


def _side(values: Iterable[Any]) -> str:
    """To which side a column is set: numbers to the right."""
    known = [value for value in values if value is not None]
    are_numbers = known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    return markup.RIGHT if are_numbers else markup.LEFT


def _spell(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def _plain(data: Any) -> Any:
    if hasattr(data, "model_dump"):
        return data.model_dump(mode="json")
    if is_dataclass(data) and not isinstance(data, type):
        return {f.name: getattr(data, f.name) for f in fields(data)}
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data
