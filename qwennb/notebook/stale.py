"""Which answers rest on something that has changed since they were given.

The hashes of what a cell interpolates stand in its output beside the answer. A cell is stale when one of its expressions
would be sent otherwise now, when the name that it reads is gone, or when it reads an answer that is stale itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from qwennb.notebook.interpolated import Interpolated, Since, names_read_by
from qwennb.text import plural, shorten


@dataclass(frozen=True, slots=True)
class StaleQuestion:
    """One question of a cell: how the cell is called, what was interpolated, and the variable its answer went to."""

    cell: str
    title: str
    readings: tuple[Interpolated, ...]
    into: str | None = None
    key: str = ""

    def is_answer(self, value: Any) -> bool:
        """Tell whether *value* is the answer to this question."""
        return bool(self.key) and getattr(value, "key", None) == self.key


class StaleTracker:
    """What the cells of one kernel have asked with. A cell that runs again replaces what it asked before.

    *count* gives the number of the cell that runs.
    """

    def __init__(self, count: Callable[[], int] = lambda: 0) -> None:
        self._count = count
        self._is_counted = False
        self._asked: dict[str, list[StaleQuestion]] = {}
        self._cell = ""
        self._begun = False
        self._title = ""

    @property
    def number(self) -> int | None:
        """The number of the cell that runs; None where whoever runs it does not count."""
        return self._count() if self._is_counted else None

    def cell_begins(self, info: Any) -> None:
        """Note which cell is about to run. Where a front end tells no id it is known by its code."""
        code = getattr(info, "raw_cell", None) or ""
        self._cell = getattr(info, "cell_id", None) or code
        self._begun = False
        self._is_counted = getattr(info, "store_history", True)
        lines = (line.strip() for line in code.splitlines())
        self._title = next((line for line in lines if line), "")

    def note_question(self, readings: Iterable[Interpolated], *, into: str | None, key: str = "") -> None:
        """Note that the cell that runs has asked a question with these, whose answer has this *key*."""
        if not self._begun:
            self._asked.pop(self._cell, None)
            self._begun = True
        one = StaleQuestion(f"[{self.number or ' '}]", shorten(self._title, 50), tuple(readings), into, key)
        self._asked.setdefault(self._cell, []).append(one)

    def report(self, names: Mapping[str, Any]) -> list[tuple[StaleQuestion, Since, str]]:
        """List every question with what has become of what it read; `same` where that is nothing."""
        made: list[tuple[StaleQuestion, Since, str]] = []
        stale: dict[str, str] = {}
        every = [one for several in self._asked.values() for one in several]
        for number, asked in enumerate(every):
            # A name that a question wrote its own answer to is no input that has changed: `--into text Shorten {{ text }}`.
            own = {one.into for one in every[number:] if one.into and one.is_answer(names.get(one.into))}
            since, why = self._since(asked, names, stale, own)
            made.append((asked, since, why))
            if asked.into is not None:
                if since in ("changed", "gone"):
                    stale[asked.into] = asked.cell
                else:
                    stale.pop(asked.into, None)
        return made

    def _since(
        self, asked: StaleQuestion, names: Mapping[str, Any], stale: Mapping[str, str], own: Set[str]
    ) -> tuple[Since, str]:
        unknown = ""
        for reading in asked.readings:
            since, what = (
                reading.since(names) if own.isdisjoint(names_read_by(reading.source)) else ("same", "")
            )
            if since == "changed":
                return since, f"{what} has changed"
            if since == "gone":
                return since, f"{what} is gone"
            if since == "unknown":
                unknown = unknown or f"{reading.source} can't be told without running it"
            for name in names_read_by(reading.source):
                if name in stale:
                    return "changed", f"{name} comes from {stale[name]}, which is stale"
        return ("unknown", unknown) if unknown else ("same", "")


def stale(stale_tracker: StaleTracker, names: Mapping[str, Any]) -> list[list[list[str]] | str]:
    """Say what `%qwen_stale` shows."""
    told = stale_tracker.report(names)
    if not told:
        return ["No cell of this kernel has asked anything yet."]
    rows = [[asked.cell, asked.title, why] for asked, since, why in told if since != "same"]
    changed = sum(since in ("changed", "gone") for _, since, _ in told)
    unknown = sum(since == "unknown" for _, since, _ in told)
    count = plural(len(told), "question")
    if not rows:
        return [f"Nothing is stale: what {count} read is as it was."]
    parts = [f"{changed} of {count} stale"] if changed else [f"None of {count} stale for certain"]
    parts += [f"{unknown} can't be told"] if unknown else []
    again = " Run those cells again: what has not changed costs nothing." if changed else ""
    return [[["cell", "question", "why"], *rows], f"{', '.join(parts)}.{again}"]
