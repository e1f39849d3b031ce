"""What the line magics say, as text, and how it is shown."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from qwennb.answer import markup, money
from qwennb.cache import BatchOrders, Spending
from qwennb.catalog import Catalog
from qwennb.client import Chat, Qwen, runtime
from qwennb.config import Config, Secret
from qwennb.endpoints import FORMS, Endpoint, write_export
from qwennb.errors import BadInput, nearest
from qwennb.notebook.chats import Chats
from qwennb.notebook.figures import FIGURES
from qwennb.request import Request
from qwennb.text import table

TRACEBACK = 6_000
VALUES = 40


def show_state(text: str, about: str) -> None:
    """Show *text*, marked as the state of this machine and not an answer: whoever compares notebooks skips it."""
    from IPython.display import display

    bundle = {"text/markdown": markup.code_block(text, "text"), "text/plain": markup.plain(text)}
    display(bundle, raw=True, metadata={"qwennb": {"state": about}})  # type: ignore[no-untyped-call]


def models(endpoint: str | None) -> str:
    """List the models of the catalogue, at *endpoint* or everywhere."""
    catalog = Catalog.load_bundled()
    if endpoint is not None:
        catalog.endpoint(endpoint)  # an error that names the nearest
    rows = [["model", "endpoint", "id there", "default"]]
    rows += [
        [row.model.name, row.endpoint, row.id, "yes" if row.default else ""] for row in catalog.rows(endpoint)
    ]
    return _lay_out(rows)


def usage(client: Qwen) -> str:
    """Sum up what was spent, by day and model."""
    runtime().settle(client.session.config.cache_dir)
    rows = sorted(client.session.memory.spendings.rows(), key=lambda row: (row.day, row.model, row.endpoint))
    if not rows:
        return "Nothing was asked yet."
    days: dict[str, float] = {}
    for row in rows:
        days[row.day] = days.get(row.day, 0.0) + row.cost
    sums = [["day", "model", "endpoint", "requests", "input", "output", "cost"]]
    for row in rows:
        figures = map(str, (row.requests, row.input, row.output))
        sums.append([row.day, row.model, row.endpoint, *figures, _cost_text(row)])
    most = max(days.values())
    chart = [
        [day, "█" * max(1, round(30 * cost / most)) if most and cost else "", money(cost)]
        for day, cost in days.items()
    ]
    return f"{_lay_out(sums)}\n\n{_lay_out(chart)}"


def _cost_text(row: Spending) -> str:
    unpriced = row.unknown_cost
    cost = money(row.cost) if unpriced < row.requests or row.cost else money(None)
    more = f", {unpriced} unpriced" if 0 < unpriced < row.requests else ""
    return cost + more + (f", {row.maybe_billed} maybe billed" if row.maybe_billed else "")


def cache(client: Qwen) -> str:
    """Say how much is remembered, and in which mode."""
    store = client.session.memory.store
    rows = [
        ["mode", client.session.config.cache],
        ["answers", str(len(store))],
        ["size", f"{store.size() / 1e6:.1f} MB"],
    ]
    if orders := BatchOrders(client.session.config.cache_dir).under_way():
        questions = sum(order.questions for order in orders)
        rows.append(["in batches", f"{questions:,} questions under way (qwennb.batches())"])
    return _lay_out(rows)


def settings(config: Config, defaults: Mapping[str, Any]) -> str:
    """List the settings as they hold. A folder of this machine is shown by its last name."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    values["cache_dir"] = f"…/{config.cache_dir.name}"
    rows = [[name, _show_setting(value)] for name, value in (values | {**defaults}).items()]
    return _lay_out(rows)


def _show_setting(value: Any) -> str:
    return "not set" if value is None else "set" if isinstance(value, Secret) else str(value)


def chat(chats: Chats, words: list[str], client: Callable[[], Qwen]) -> str:
    """Show the conversations, or what was said in one of them, or do what the *words* say with it."""
    if not words:
        rows = [["conversation", "turns"]]
        rows += [[name, str(len(one.turns))] for name, one in sorted(chats.named.items())]
        return _lay_out(rows) if len(rows) > 1 else "No conversation yet: %%qwen --chat NAME begins one."
    name, *rest = words
    if name not in chats.named:
        raise BadInput(
            f"There is no conversation `{name}`{nearest(name, chats.named) or '; %qwen_chat lists them.'}"
        )
    conversation = chats.named[name]
    said = Chat(client(), messages=conversation.messages)
    match rest:
        case []:
            return said.to_markdown().strip()
        case ["clear"]:
            conversation.turns.clear()
            return f"`{name}` is empty."
        case ["save", path]:
            said.save(path)
            return f"`{name}` is saved."
        case ["export", path]:
            Path(path).write_text(said.to_markdown(), encoding="utf-8")
            return f"`{name}` is exported."
    raise BadInput(f"%qwen_chat {name} takes save PATH, export PATH.md or clear.")


def show_sent(request: Request | None, endpoint: Callable[[], Endpoint], line: str) -> str:
    """Write the last request as its key spells it, or as `--as FORM` has another tool send it to *endpoint*."""
    if request is None:
        raise BadInput("Nothing was asked in this kernel yet.")
    match line.split():
        case []:
            pass
        case ["--as", form]:
            return write_export([(request, endpoint())], form)
        case _:
            raise BadInput(f"%qwen_sent takes --as and one of {', '.join(FORMS)}; or nothing.")
    return orjson.dumps(request.canonical(), option=orjson.OPT_INDENT_2).decode()


def fix_prompt(shell: Any, more: str) -> str:
    """Write the question about the last error: the cell it came from and the types of the values there."""
    error = getattr(sys, "last_value", None)
    if error is None:
        raise BadInput("No cell of this kernel has failed yet. %qwen_fix asks about the last error.")
    source, trace = _failing(shell, error)
    words = dict.fromkeys(re.findall(r"[^\W\d]\w*", source))
    named = [name for name in words if name in shell.user_ns and not name.startswith("_")]
    types = "\n".join(f"{name}: {_type(shell.user_ns[name])}" for name in named[:VALUES])
    parts = [
        "This cell of a Python notebook failed. Say in a sentence why, then give the corrected cell.",
        f"```python\n{source.strip()}\n```",
        f"```\n{trace}\n```",
    ]
    if types:
        parts.append(f"Types of the values:\n{types}")
    return "\n\n".join(filter(None, [*parts, more.strip()]))


def last_figure(shell: Any) -> Any:
    """Find the figure that was made last, or a picture that a cell gave."""
    if FIGURES.last is not None:
        return FIGURES.last
    for number in sorted((n for n in shell.user_ns.get("Out", {})), reverse=True):
        value = shell.user_ns["Out"][number]
        kind = f"{type(value).__module__}.{type(value).__name__}"
        if kind.startswith(("matplotlib.figure.", "PIL.")):
            return value
    made = [v for n, v in shell.user_ns.items() if type(v).__name__ == "Figure" and not n.startswith("_")]
    if made:
        return made[-1]
    raise BadInput("There is no figure yet. Draw one, or ask with --image and a variable or a path.")


def _failing(shell: Any, error: BaseException) -> tuple[str, str]:
    """Find the source of the cell that raised *error*, and the traceback without this machine's paths."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if "ipykernel_" in frame.filename or "<ipython" in frame.filename]
    source = "".join(linecache.getlines(mine[0].filename)) if mine else ""
    if not source:
        typed = [cell for cell in shell.user_ns.get("In", []) if cell.strip() and "qwen_fix" not in cell]
        source = typed[-1] if typed else ""
    told = [
        f"{'the cell' if frame in mine else frame.filename.replace(chr(92), '/').rsplit('/', 1)[-1]}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in frames
        if "IPython" not in frame.filename
    ]
    message = "".join(traceback.format_exception_only(error)).strip()
    return source, "\n".join([*told, message])[-TRACEBACK:]


def _type(value: Any) -> str:
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{kind}, shape {shape}"
    columns = getattr(value, "columns", None)
    if columns is not None:
        return f"{kind}, columns {list(columns)[:VALUES]}"
    return (
        f"{kind}, {len(value)} items" if isinstance(value, list | tuple | dict | set | str | bytes) else kind
    )


def _lay_out(rows: list[list[str]]) -> str:
    return "\n".join(table(rows, indent=""))
