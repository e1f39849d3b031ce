"""What was spent: by model, day, notebook or endpoint, summed, against the budget, and live.

The figures are the ledger's, which all notebooks share. A thread looks whether it has changed, and not what is in it; so
the table grows while a column runs, and a notebook that nobody uses says nothing to its server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import ref

import traitlets

from qwennb.answer import markup, money
from qwennb.cache import Spending, spell_cost
from qwennb.client import Qwen, runtime
from qwennb.errors import QwenError
from qwennb.frames import default_client
from qwennb.notebook.in_marimo import is_watched
from qwennb.notebook.widgets.panel import Panel, intent

BY = ("model", "day", "notebook", "endpoint")
SINCE = {"always": None, "today": 0, "the last 7 days": 6, "the last 30 days": 29}
ALL = "all"
WIDTH = 20
LOOKS = 1.0  # seconds between two looks at the file of the ledger
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
    def cells(self) -> list[str]:
        """What stands in its row: the cost with what is not known of it."""
        cost = spell_cost(self.cost, self.requests, self.unknown_cost, self.maybe_billed)
        return [self.name, f"{self.requests:,}", f"{self.input:,}", f"{self.output:,}", cost]


class UsagePanel(Panel):
    """What was spent, as a table with switches: `Usage(qwen)` as the last line of a cell.

    Parameters
    ----------
    client : Qwen, optional
        Whose cache folder counts; the notebook's default without it.
    by : {"model", "day", "notebook", "endpoint"}
        What the sums are of.
    now : callable
        What it takes for the time.
    name : str, optional
        Who it is: made again under its name in this kernel it is as it was left. The cell's own without it.

    Raises
    ------
    CacheError
        If the ledger can't be read.

    Examples
    --------
    >>> from qwennb import widgets
    >>> usage = widgets.Usage(qwen, by="day")
    """

    kind, title = "usage", "Usage"
    switches = traitlets.Dict().tag(sync=True)  # what can be chosen, and what is
    table = traitlets.Dict().tag(sync=True)
    budget = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        client: Qwen | None = None,
        *,
        by: str = "model",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        name: str | None = None,
    ) -> None:
        self._client = client or default_client()
        self._now = now
        self._chosen = {"by": by if by in BY else BY[0], "since": next(iter(SINCE)), "notebook": ALL}
        super().__init__(name=name)
        if self.former is not None:
            self._chosen = self.former._chosen
        if is_watched():
            threading.Thread(target=_watch, args=[ref(self)], name="qwennb-usage", daemon=True).start()

    @intent
    def choose(self, switch: str, value: str) -> None:
        """Count by something else, or something else."""
        if value in self.switches.get(switch, ()):
            self._chosen[switch] = value

    def stamp(self) -> tuple[int, ...]:
        """What is another one once something has been spent."""
        return self._client.session.memory.spendings.stamp()

    def draw(self) -> None:
        """Draw the sums of what is chosen, and keep them."""
        try:
            runtime().settle(self._client.session.config.cache_dir)
            rows = self._client.session.memory.spendings.rows()
        except QwenError as error:
            self.say(str(error))
            return
        by, wanted, days = self._chosen["by"], self._chosen["notebook"], SINCE[self._chosen["since"]]
        since = "" if days is None else (self._now().date() - timedelta(days=days)).isoformat()
        sums: dict[str, Subtotal] = {}
        for row in rows:
            if row.day >= since and wanted in (ALL, row.notebook):
                name = getattr(row, by) or "none"
                sums[name] = sums.get(name, Subtotal(name)).with_row(row)
        notebooks = [ALL, *sorted({row.notebook for row in rows if row.notebook})]
        self.switches = {
            "by": list(BY),
            "since": list(SINCE),
            "notebook": notebooks,
            "chosen": dict(self._chosen),
        }
        limit, spent = self._client.session.config.budget, self._client.spent
        told = (
            [] if limit is None else [f"{money(spent)} spent", f"of this client's budget of {money(limit)}"]
        )
        share = min(spent / limit, 1.0) if limit else 0.0
        self.budget = {
            "limited": limit is not None,
            "share": share,
            "told": " ".join(told) or "This client has no budget.",
        }
        ordered = sort(list(sums.values()), by)
        self.table = {"head": by, "rows": [one.cells for one in ordered], "shares": shares(ordered)}
        self.keep(*write_tables(ordered, by, told))


def _watch(panel: ref[UsagePanel]) -> None:
    """Have the panel drawn when the ledger has changed, for as long as there is one."""
    seen: Any = None
    while (one := panel()) is not None and one.comm is not None:
        now = one.stamp()
        if seen is not None and now != seen:
            one.refresh()
        seen = now
        del one
        time.sleep(LOOKS)


def sort(sums: Sequence[Subtotal], by: str) -> list[Subtotal]:
    """Put days in their order, else the dearest first, and what they are together last."""
    ordered = sorted(sums, key=(lambda s: (s.name,)) if by == "day" else (lambda s: (-s.cost, s.name)))
    total = Subtotal(ALL)
    for one in ordered:
        total = total.with_row(one)
    return [*ordered, total] if ordered else []


def shares(ordered: Sequence[Subtotal]) -> list[float]:
    """What each costs, of what the dearest does; of all together nothing."""
    most = max((one.cost for one in ordered[:-1]), default=0.0)
    return [one.cost / most if most else 0.0 for one in ordered[:-1]] + [0.0]


def write_tables(ordered: Sequence[Subtotal], by: str, budget: Sequence[str] = ()) -> tuple[str, str]:
    """Write the sums as a Markdown table and as plain text."""
    if not ordered:
        return f"*{NOTHING}*", NOTHING
    rows = [[by, "requests", "tokens in", "tokens out", "cost", "share"]]
    for one, share in zip(ordered, shares(ordered), strict=True):
        rows.append([*one.cells, "█" * max(1, round(WIDTH * share)) if share else ""])
    cells = [[markup.literal(cell) for cell in row] for row in rows]
    cells[-1] = [f"**{cell}**" if cell else "" for cell in cells[-1]]
    lines = markup.write_table(cells, ["---", *["---:"] * 4, "---"])
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    plain = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    ends = ["", *(f"- {markup.literal(line)}" for line in budget)] if budget else []
    return "\n".join([lines, *ends]), "\n".join([*map(markup.plain, plain), *budget])
