"""`qwennb drift`: does a notebook's result survive another model, another endpoint, or another day?"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import markup, money
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.client import Options
from qwennb.errors import BadInput, nearest
from qwennb.text import WIDTH, plural, shorten, table, wrap

if TYPE_CHECKING:
    from qwennb.notebook.drift import Drift, Moved, Pair

MOST = 20  # changed answers that a terminal is shown
LINES = 6  # of one answer
ENOUGH, TOO_FEW = 0, 1


def drift_options(parser: Parser) -> None:
    """Add the options of `qwennb drift`."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="a saved notebook")
    parser.option("-m --model", "whom to ask instead (default: the same model, today)")
    parser.option("-e --endpoint", "where to ask instead")
    parser.option(
        "--set NAME=VALUE", "an option of every call instead, such as temperature=0.2; may be repeated", []
    )
    parser.option("--pack FILE", "the recorded answers (default: the notebook's pack, else your own)")
    parser.option("--budget USD", "the most that asking again may cost", type=float)
    parser.option("--tolerance SHARE", "how far numbers may lie apart (0.01)", 0.01)
    parser.option("--min-agreement SHARE", "fail below this mean agreement, 0 to 1", type=float)
    parser.option("--html FILE", "write the whole report as a page")
    parser.add_timeout()


def drift(given: Any, world: World) -> int:
    """Ask again and tell what changed. 0, or 1 where the answers agree less than --min-agreement."""
    from qwennb.cache import find_pack_of
    from qwennb.notebook.drift import ask_again, page_of

    if given.min_agreement is not None and not 0 <= given.min_agreement <= 1:
        raise BadInput(f"--min-agreement {given.min_agreement:g} must be from 0 to 1.")
    above = _above(given)
    notebook = world.notebook(given.notebook)
    pack = find_pack_of(notebook) if given.pack is None else world.folder / given.pack
    report = ask_again(
        notebook,
        above,
        world.config(),
        pack=pack,
        environ=world.environ,
        day=world.now().date(),
        tolerance=given.tolerance,
        timeout=given.timeout,
        tell=world.note,
    )
    world.say(*_report_lines(report))
    if given.html is not None:
        Path(world.folder / given.html).write_text(page_of(report), encoding="utf-8")
        world.say("", f"The whole report: {given.html}")
    if given.min_agreement is not None and report.agreement < given.min_agreement:
        world.say(f"The agreement is below {given.min_agreement:.1%}.")
        return TOO_FEW
    return ENOUGH


def _above(given: Any) -> dict[str, Any]:
    """Collect what holds in the second run, whatever the notebook says."""
    made: dict[str, Any] = {
        name: value for name in ("model", "endpoint", "budget") if (value := getattr(given, name)) is not None
    }
    options: dict[str, Any] = {}
    known = Options().settings.__dataclass_fields__.keys() - {"extra", "tool_choice", "logit_bias"}
    for text in given.set:
        name, equals, written = text.partition("=")
        if not equals or name not in known:
            raise BadInput(
                f"--set {text} names no option of a call{nearest(name, known) or '; such as temperature=0.2.'}"
            )
        try:
            options[name] = json.loads(written)
        except ValueError:
            options[name] = {"True": True, "False": False}.get(written, written)
    if options:
        Options(**options)  # what can't be asked is said now
        made["options"] = options
    return made


def _report_lines(report: Drift) -> list[str]:
    head = f"Drift of {report.notebook}: {report.before} → {report.after}, asked again on {report.day}"
    rows = [("kind", "answers", "changed", "agreement")]
    rows += [
        (row.kind, f"{row.answers:,}", f"{row.changed:,}", f"{row.agreement:.1%}") for row in report.sums()
    ]
    lines = [*wrap(head, first=""), "", *table(rows, right=(1, 2, 3))]
    for pair in report.changed[:MOST]:
        lines += ["", *_pair(pair)]
    if (more := len(report.changed) - MOST) > 0:
        lines += ["", f"… and {plural(more, 'more changed answer')}: --html shows them."]
    for cell in report.moved:
        lines += ["", *_diff_lines(cell)]
    changed = f"{plural(len(report.changed), 'answer')} of {len(report.pairs):,} changed"
    cost = f"agreement {report.agreement:.1%}; asking again cost {money(report.cost)}"
    added = f", {report.added:,} asked that nothing recorded stands beside" if report.added else ""
    return [*lines, "", f"{changed}; {cost}{added}."]


def _pair(pair: Pair) -> list[str]:
    from qwennb.notebook.drift import plain_answer

    question = " ".join(pair.before.request.question.split())
    told = [pair.agreement.kind, f"{pair.agreement.share:.0%}"]
    if pair.agreement.fields:
        told.append(f"differs in {', '.join(name or 'the value' for name in pair.agreement.fields[:6])}")
    if pair.otherwise:
        told.append("asked otherwise: it holds an earlier answer")
    return [
        *wrap(f"Cell {pair.cell}, answer {pair.position} ({', '.join(told)})"),
        f"    {shorten(markup.plain(question), WIDTH - 4)}",
        *_cut("-", plain_answer(pair.before)),
        *_cut("+", plain_answer(pair.after)),
    ]


def _diff_lines(cell: Moved) -> list[str]:
    before, after = (markup.plain(text).splitlines() for text in (cell.before, cell.after))
    differ = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    lines = [f"    {line[0]} {shorten(line[1:], WIDTH - 6)}" for line in differ if not line.startswith("@@")]
    more = [f"    … {plural(len(lines) - 2 * LINES, 'more line')}"] if len(lines) > 2 * LINES else []
    return [
        f"  Cell {cell.number} shows something else: {shorten(markup.plain(cell.title), 60)}",
        *lines[: 2 * LINES],
        *more,
    ]


def _cut(mark: str, text: str) -> list[str]:
    """Cut to what a terminal has room for. Control characters of a model's are shown, not obeyed."""
    lines = markup.plain(text).splitlines() or [""]
    more = [f"    {mark} … {plural(len(lines) - LINES, 'more line')}"] if len(lines) > LINES else []
    return [*(f"    {mark} {shorten(line, WIDTH - 6)}" for line in lines[:LINES]), *more]
