"""A drift report as one static page: no script, nothing fetched, every word of an answer escaped.

The page forbids itself everything but its own style, so that a hole in the escaping would still run nothing. What
changed is marked by signs and underlining too, not by colour alone.
"""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Iterator

from qwennb.answer import Answer, money, shorten_text
from qwennb.notebook.drift.report import Drift, Moved, Pair
from qwennb.request import parse_json
from qwennb.terminal import CONTROLS

MOST = 500  # changed answers that are shown in full
LONGEST = 4_000  # characters of one answer
ONE_LINE = 90  # characters of a JSON value
COMPARED = 2_000  # words of two answers together that are compared word by word
_PIECE = re.compile(r"\s+|\w+(?:[.,]\w+)*|[^\w\s]")

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --faint: #8882; --out: #b3261e; --in: #146c2e; }
@media (prefers-color-scheme: dark) { :root { --out: #ffb4ab; --in: #8bd99a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
section { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; padding: .8rem 1rem; }
section h3 { font-size: 1rem; margin: 0 0 .3rem; } section p { margin: .2rem 0 .6rem; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: .8rem; }
.two > div { background: var(--faint); border-radius: .4rem; padding: .5rem .7rem; min-width: 0; }
.two b { font-size: .8rem; } pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .2rem 0 0; font: .9rem/1.5 ui-monospace, monospace; }
del { color: var(--out); text-decoration: line-through; } ins { color: var(--in); text-decoration: underline; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page_of(report: Drift) -> str:
    """Write *report* as HTML."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Drift) -> Iterator[str]:
    title = f"Drift of {report.notebook}"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_safe(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{_safe(title)}</h1>"
    yield f"<p>Recorded: {_safe(report.before)}. Asked again on {_safe(report.day)}: {_safe(report.after)}.</p>"
    yield from _table(report)
    changed = report.changed
    yield f"<h2>{len(changed):,} of {len(report.pairs):,} answers changed</h2>"
    yield from (_section(pair) for pair in changed[:MOST])
    if len(changed) > MOST:
        yield f"<p>… and {len(changed) - MOST:,} more, which are counted above.</p>"
    if report.moved:
        yield f"<h2>Other outputs that came out otherwise: {len(report.moved):,}</h2>"
        yield from (_render_moved(cell) for cell in report.moved)
    yield "</main>\n</body>\n</html>"


def _table(report: Drift) -> Iterator[str]:
    yield "<table>\n<thead><tr><th>kind</th><th class=n>answers</th><th class=n>changed</th><th class=n>agreement</th></tr></thead>\n<tbody>"
    for row in report.sums():
        yield (
            f"<tr><th scope=row>{_safe(row.kind)}</th><td class=n>{row.answers:,}</td><td class=n>{row.changed:,}</td>"
            f"<td class=n>{row.agreement:.1%}</td></tr>"
        )
    yield "</tbody>\n</table>"
    added = (
        f" {report.added:,} answers were asked that nothing recorded stands beside." if report.added else ""
    )
    yield (
        f"<p>Choices agree when they are equal, numbers within {report.tolerance:.3g} of the larger, schemas by the share of "
        "their fields, texts by the share of words in common and in order. "
        f"Asking again cost {_safe(money(report.cost))}.{added}</p>"
    )


def _section(pair: Pair) -> str:
    question = " ".join(pair.before.request.question.split())
    told = [f"{pair.agreement.kind}, agreement {pair.agreement.share:.0%}"]
    if pair.agreement.fields:
        told.append("differs in " + ", ".join(name or "the value" for name in pair.agreement.fields[:12]))
    if pair.otherwise:
        told.append("asked otherwise, for the question holds an earlier answer")
    if pair.after is None:
        told.append("not answered")
    head = f"Cell {pair.cell}, answer {pair.position}: {shorten_text(question, 160)}"
    return _beside(head, plain_answer(pair.before), plain_answer(pair.after), told="; ".join(told))


def _render_moved(cell: Moved) -> str:
    before, after = (shorten_text(text, LONGEST) for text in (cell.before, cell.after))
    return _beside(f"Cell {cell.number}: {cell.title}", before, after)


def _beside(head: str, before: str, after: str, *, told: str = "") -> str:
    """Write what was recorded and what came now, side by side."""
    old, new = _mark_differences(before, after)
    told = f"<p>{_safe(told)}</p>\n" if told else ""
    return (
        f'<section>\n<h3>{_safe(head)}</h3>\n{told}<div class="two"><div><b>recorded</b><pre>{old}</pre></div>'
        f"<div><b>now</b><pre>{new}</pre></div></div>\n</section>"
    )


def plain_answer(answer: Answer | None) -> str:
    """Say in plain text what an answer says."""
    if answer is None:
        return "(no answer)"
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    text = answer.text if answer.request.schema is None else _lay_out(answer.text)
    return shorten_text("\n".join(filter(None, [text, *calls])), LONGEST)


def _lay_out(text: str) -> str:
    """Spell a JSON value in one way: how a model has broken its lines is no difference to look at."""
    try:
        value = parse_json(text)
    except ValueError:
        return text
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) <= ONE_LINE else json.dumps(value, ensure_ascii=False, indent=1)


def _mark_differences(before: str, after: str) -> tuple[str, str]:
    """Write both texts as HTML; what only one of them has is marked."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    if len(old) + len(new) > 2 * COMPARED:  # words and the spaces between them
        return _safe(before), _safe(after)
    left: list[str] = []
    right: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = _safe("".join(old[a:b])), _safe("".join(new[c:d]))
        left.append(gone if kind == "equal" or not gone else f"<del>{gone}</del>")
        right.append(come if kind == "equal" or not come else f"<ins>{come}</ins>")
    return "".join(left), "".join(right)


def _safe(text: str) -> str:
    """Escape *text* for HTML. Control characters and marks that turn the direction of writing are made visible."""
    return html.escape(CONTROLS.sub(lambda sign: f"[U+{ord(sign[0]):04X}]", text))
