"""What the line magics say, as text, and how it is shown."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson

from qwennb.answer import markup, money, write_call
from qwennb.cache import BatchOrders, Spending
from qwennb.catalog import Catalog
from qwennb.client import Chat, Qwen, runtime
from qwennb.config import Config, Secret
from qwennb.endpoints import FORMS, Endpoint, write_export
from qwennb.errors import BadInput, nearest
from qwennb.notebook.chats import Chats
from qwennb.notebook.figures import FIGURES
from qwennb.request import Request
from qwennb.text import spell_window, table

TRACEBACK = 6_000
VALUES = 40


Rows = list[list[str]]  # of a table, its head first
# A cell that is a figure, a price or a size: set to the right.
_FIGURE = re.compile(r"(?:≈ )?\$?[\d,.]+(?:[kM]| [kMG]?B| bytes)?|free|unknown|price unknown|")


def show_state(text: str, about: str, markdown: str = "") -> None:
    """Show *text*, or *markdown* where that is rendered, as the state of this machine and no answer: whoever compares
    notebooks skips it.
    """
    from IPython.display import display

    shown = markdown or markup.code_block(text, "text")
    bundle = {"text/markdown": shown, "text/plain": markup.plain(text)}
    display(bundle, raw=True, metadata={"qwennb": {"state": about}})  # type: ignore[no-untyped-call]


def show_tables(parts: Sequence[Rows | str], about: str) -> None:
    """Show tables, and sentences between them, as the state of this machine."""
    plain, shown = lay_out(parts)
    show_state(plain, about, shown)


def lay_out(parts: Sequence[Rows | str]) -> tuple[str, str]:
    """Write tables and sentences as plain text and as Markdown. An empty head is left out of the text; Markdown needs one."""
    plain, shown = [], []
    for part in parts:
        if isinstance(part, str):
            plain.append(part)
            shown.append(markup.literal(part))
            continue
        columns = enumerate(zip(*part[1:], strict=True))
        right = [number for number, cells in columns if all(map(_FIGURE.fullmatch, cells))]
        rows = part if any(part[0]) else part[1:]
        plain.append("\n".join(table(rows, right=right, indent="")))
        shown.append(markup.table(part, markup.LEFT, right))
    return "\n\n".join(plain), "\n\n".join(shown)


def models(client: Qwen, endpoint: str | None) -> list[Rows | str]:
    """List what can be asked at *endpoint*, or where this notebook asks: with its window, and what a million tokens cost."""
    catalog = Catalog.load_bundled()
    if endpoint is None:
        asked = client.endpoint
        if asked.served:
            found = [(name, catalog.find(name)) for name in asked.served]
            rows = [["model", "window", "price"]]
            rows += [[name, spell_window(model.context if model else None), "free"] for name, model in found]
            return [rows, f"As {asked.name} says that it serves them. qwennb models lists every endpoint."]
        endpoint = asked.catalogue_name
    catalog.endpoint(endpoint)  # an error that names the nearest
    listed = catalog.rows(endpoint)
    rows = [["model", "also", "window", "in", "out", "default"]]
    for row in listed:
        price = row.prices[0] if row.prices else None
        sums = ["free"] * 2 if row.free else ["unknown"] * 2
        if price is not None and not row.free:
            sums = [
                money(each * price.usd, estimated=price.currency != "USD")
                for each in (price.input, price.output)
            ]
        names = ", ".join(row.model.aliases)
        rows.append(
            [row.model.name, names, spell_window(row.model.context), *sums, "yes" if row.default else ""]
        )
    told = f"At {endpoint}, a million tokens in and out, at prices of {catalog.checked}. qwennb models lists every endpoint."
    return [rows, told]


def usage(client: Qwen, by_notebook: bool = False) -> list[Rows | str]:
    """Sum up what was spent, by day and model, and by notebook too."""
    runtime().settle(client.session.config.cache_dir)
    sums: dict[tuple[str, ...], Spending] = {}
    days: dict[str, float] = {}
    for row in client.session.memory.spendings.rows():
        one = replace(row, notebook=row.notebook if by_notebook else "")
        sums[one.account] = sums[one.account] + one if one.account in sums else one
        days[row.day] = days.get(row.day, 0.0) + row.cost
    if not sums:
        return ["Nothing was asked yet."]
    head = ["notebook"] if by_notebook else []
    rows = [["day", *head, "model", "endpoint", "requests", "in", "out", "cost"]]
    for one in sorted(sums.values(), key=lambda one: (one.day, one.notebook, one.model, one.endpoint)):
        figures = [f"{count:,}" for count in (one.requests, one.input, one.output)]
        rows.append(
            [
                one.day,
                *([one.notebook] if by_notebook else []),
                one.model,
                one.endpoint,
                *figures,
                one.cost_text,
            ]
        )
    most = max(days.values())
    chart = [["day", "", "cost"]]
    chart += [
        [day, "█" * max(1, round(30 * cost / most)) if most and cost else "", money(cost)]
        for day, cost in sorted(days.items())
    ]
    return [rows, chart]


def cache(client: Qwen) -> list[Rows | str]:
    """Say how much is remembered, and in which mode."""
    store = client.session.memory.store
    rows = [
        ["", ""],
        ["mode", client.session.config.cache],
        ["answers", f"{len(store):,}"],
        ["size", f"{store.size() / 1e6:.1f} MB"],
    ]
    if orders := BatchOrders(client.session.config.cache_dir).under_way():
        questions = sum(order.questions for order in orders)
        rows.append(["in batches", f"{questions:,} questions under way (qwennb.batches())"])
    return [rows]


def settings(config: Config, defaults: Mapping[str, Any]) -> list[Rows | str]:
    """List the settings as they hold. A folder of this machine is shown by its last name."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    values["cache_dir"] = f"…/{config.cache_dir.name}"
    return [[["", ""], *([name, _show_setting(value)] for name, value in (values | {**defaults}).items())]]


def _show_setting(value: Any) -> str:
    return "not set" if value is None else "set" if isinstance(value, Secret) else str(value)


def conversations(chats: Chats) -> list[Rows | str]:
    """List the conversations."""
    rows = [["conversation", "turns"]]
    rows += [[name, str(len(one.turns))] for name, one in sorted(chats.named.items())]
    return [rows] if len(rows) > 1 else ["No conversation yet: %%qwen --chat NAME begins one."]


def chat(chats: Chats, words: list[str], client: Callable[[], Qwen]) -> str:
    """Show what was said in a conversation, or do what the *words* say with it."""
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


def sent(request: Request | None, endpoint: Callable[[], Endpoint], line: str) -> tuple[str, str]:
    """Write the last request as its key spells it, and as it is read; or as `--as FORM` has another tool send it to *endpoint*."""
    if request is None:
        raise BadInput("Nothing was asked in this kernel yet.")
    match line.split():
        case []:
            return orjson.dumps(request.canonical(), option=orjson.OPT_INDENT_2).decode(), _read_request(
                request
            )
        case ["--as", form]:
            return write_export([(request, endpoint())], form), ""
    raise BadInput(f"%qwen_sent takes --as and one of {', '.join(FORMS)}; or nothing.")


def _read_request(request: Request) -> str:
    """Write *request* for a reader: its messages as they were written, then the rest of what its key stands for."""
    shown = []
    for message in request.messages:
        parts = [
            message.text,
            *(f"[{part.to_json()}]" for part in message.media),
            *map(write_call, message.tool_calls),
        ]
        said = "\n".join(filter(None, parts))
        shown += [f"**{markup.literal(message.role)}**", markup.code_block(said, "text")]
    rest = {name: value for name, value in request.canonical().items() if name != "messages"}
    rows = [
        ["", ""],
        *([name, orjson.dumps(value).decode()] for name, value in rest.items()),
        ["key", request.key],
    ]
    return "\n\n".join([*shown, markup.table(rows, markup.LEFT)])


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
