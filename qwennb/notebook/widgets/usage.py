"""What was spent: by model, day, notebook or endpoint, against the budget.

The table is the record, and stands under its switches; the figures are the ledger's, which all notebooks share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import ipywidgets as widgets

from qwennb.answer import markup, money
from qwennb.cache import Spending, spell_cost
from qwennb.client import Qwen, runtime
from qwennb.errors import QwenError
from qwennb.frames import default_client
from qwennb.notebook.widgets.beside import answers_beside_the_cell
from qwennb.notebook.widgets.read_only import StatusLabel
from qwennb.notebook.widgets.static import PersistentWidget, parts

BY = ("model", "day", "notebook", "endpoint")
SINCE = {"always": None, "today": 0, "the last 7 days": 6, "the last 30 days": 29}
WIDTH = 20
NOTHING = "Nothing was asked in this time."


@dataclass(frozen=True, slots=True)
class Subtotal:
    """What was spent under one name."""

    name: str
    requests: int = 0
    input: int = 0
    output: int = 0
    cost: float = 0.0
    unknown_cost: int = 0
    maybe_billed: int = 0

    def with_row(self, row: Spending | Subtotal) -> Subtotal:
        """This, and a row more."""
        return Subtotal(
            self.name,
            self.requests + row.requests,
            self.input + row.input,
            self.output + row.output,
            self.cost + row.cost,
            self.unknown_cost + row.unknown_cost,
            self.maybe_billed + row.maybe_billed,
        )

    @property
    def cost_text(self) -> str:
        """The cost, and what is not known of it."""
        return spell_cost(self.cost, self.requests, self.unknown_cost, self.maybe_billed)


class UsagePanel:
    """What was spent, as a table with switches: `Usage(qwen)` as the last line of a cell.

    Parameters
    ----------
    client : Qwen, optional
        Whose cache folder counts; the notebook's default without it.
    by : {"model", "day", "notebook", "endpoint"}
        What the sums are of.
    now : callable
        What it takes for the time.

    Raises
    ------
    CacheError
        If the ledger can't be read.

    Examples
    --------
    >>> from qwennb import widgets
    >>> usage = widgets.Usage(qwen, by="day")
    """

    def __init__(
        self,
        client: Qwen | None = None,
        *,
        by: str = "model",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client or default_client()
        self._now = now
        self._lock = threading.RLock()
        self._by = _switch("By", BY, "What the sums are of")
        self._by.value = by if by in BY else BY[0]
        self._since = _switch("Since", tuple(SINCE), "The days that are counted")
        self._notebook = _switch("Notebook", ("all",), "The notebook that is counted")
        refresh = widgets.Button(
            description="Refresh",
            icon="refresh",
            tooltip="Read the ledger again",
            layout=widgets.Layout(width="auto"),
        )
        self._bar = widgets.FloatProgress(
            min=0.0, max=1.0, tooltip="How much of the budget is spent", layout=widgets.Layout(width="200px")
        )
        self._spent, self._budget = (
            StatusLabel(),
            StatusLabel(),
        )  # two labels: two dollars in one would be mathematics
        self._spent.layout.flex = "0 0 auto"
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        box = widgets.VBox(
            [
                widgets.HBox([self._by, self._since, self._notebook, refresh], layout=row),
                widgets.HBox([self._bar, self._spent, self._budget], layout=row),
            ]
        )
        for part in parts(box):
            answers_beside_the_cell(part)
        self._exhibit = PersistentWidget(box, about="usage", called="Usage", below=True)
        for switch in (self._by, self._since, self._notebook):
            switch.observe(lambda _: self.refresh(), "value")
        refresh.on_click(lambda _: self.refresh())
        self.refresh()

    def _ipython_display_(self) -> None:
        self._exhibit.show()

    def refresh(self) -> None:
        """Read the ledger again."""
        with self._lock:
            try:
                self._read()
            except QwenError as error:
                self._spent.say("")
                self._budget.say(str(error))

    def close(self) -> None:
        """Take the switches away; the table stays in the notebook."""
        self._exhibit.close()

    def _read(self) -> None:
        runtime().settle(self._client.session.config.cache_dir)
        rows = self._client.session.memory.spendings.rows()
        names = ("all", *sorted({row.notebook for row in rows if row.notebook}))
        if self._notebook.options != names:
            self._notebook.options = names
        days = SINCE[self._since.value]
        since = "" if days is None else (self._now().date() - timedelta(days=days)).isoformat()
        wanted = self._notebook.value
        counted = [row for row in rows if row.day >= since and wanted in ("all", row.notebook)]
        by = self._by.value
        sums: dict[str, Subtotal] = {}
        for row in counted:
            name = getattr(row, by) or "none"
            sums[name] = sums.get(name, Subtotal(name)).with_row(row)
        limit, spent = self._client.session.config.budget, self._client.spent
        budget = (
            ("", "")
            if limit is None
            else (f"{money(spent)} spent", f"of this client's budget of {money(limit)}")
        )
        self._bar.layout.display = "none" if limit is None else None
        self._bar.value = 0.0 if not limit else min(spent / limit, 1.0)
        self._spent.say(budget[0])
        self._budget.say(budget[1] or "This client has no budget.")
        self._exhibit.keep(*tables(list(sums.values()), by, budget if limit is not None else ()))


def tables(sums: Sequence[Subtotal], by: str, budget: Sequence[str] = ()) -> tuple[str, str]:
    """The sums as a Markdown table and as plain text: days in their order, else the dearest first."""
    if not sums:
        return f"*{NOTHING}*", NOTHING
    ordered = sorted(sums, key=(lambda s: (s.name,)) if by == "day" else (lambda s: (-s.cost, s.name)))
    total = Subtotal("all")
    for one in ordered:
        total = total.with_row(one)
    most = max(one.cost for one in ordered)
    rows = [[by, "requests", "tokens in", "tokens out", "cost", "share"]]
    for one in [*ordered, total]:
        bar = "█" * max(1, round(WIDTH * one.cost / most)) if one is not total and most and one.cost else ""
        rows.append([one.name, f"{one.requests:,}", f"{one.input:,}", f"{one.output:,}", one.cost_text, bar])
    cells = [[markup.literal(cell) for cell in row] for row in rows]
    cells[-1] = [f"**{cell}**" if cell else "" for cell in cells[-1]]
    lines = [f"| {' | '.join(cell or '&nbsp;' for cell in row)} |" for row in cells]
    lines.insert(1, "|---|---:|---:|---:|---:|---|")
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    plain = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    ends = ["", *(f"- {markup.literal(line)}" for line in budget)] if budget else []
    return "\n".join([*lines, *ends]), "\n".join([*map(markup.plain, plain), *budget])


def _switch(name: str, options: Sequence[str], tooltip: str) -> Any:
    return widgets.Dropdown(
        options=options, description=name, tooltip=tooltip, style={"description_width": "initial"},
        layout=widgets.Layout(width="220px"),
    )  # fmt: skip
