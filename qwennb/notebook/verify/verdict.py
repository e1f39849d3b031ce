"""What verifying a notebook has shown, as a value, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qwennb.answer import money
from qwennb.notebook.verify.cells import RanCell
from qwennb.text import plural


@dataclass(frozen=True)
class Verdict:
    """A notebook that was run with nothing but its pack."""

    cells: Sequence[RanCell]

    @cached_property
    def replayed(self) -> int:
        """How many answers came from the pack."""
        return len(self._used_keys)

    @cached_property
    def answers(self) -> int:
        """How many answers were wanted."""
        return len(self._used_keys | {use.key for cell in self.cells for use in cell.uses if use.missing})

    @property
    def same(self) -> bool:
        """Whether every answer was there, and every cell ran and shows what was saved."""
        return self.replayed == self.answers and all(cell.same for cell in self.cells)

    @cached_property
    def _used_keys(self) -> set[str]:
        return {use.key for cell in self.cells for use in cell.uses if not use.missing and not use.accepted}

    def sentence(self) -> str:
        """Say all of it in one line."""
        outcome = "outputs as saved" if self.same else "; ".join(self._amiss()) or "not the same"
        aside = f" ({', '.join(self._aside())})" if self._aside() else ""
        nothing = money(0.0)  # what can't reach the network can't spend
        return f"{self.replayed:,} of {self.answers:,} answers replayed, {nothing}, {outcome}{aside}"

    def _amiss(self) -> list[str]:
        failed = [cell for cell in self.cells if cell.trouble]
        differ = [cell for cell in self.cells if cell.difference is not None]
        reach = [cell for cell in self.cells if cell.attempts]
        told = [(differ, "is not as saved", "are not as saved"), (failed, "failed", "failed")]
        told += [(reach, "tried to use the network", "tried to use the network")]
        return [_count_text(cells, one, many) for cells, one, many in told if cells]

    def _aside(self) -> list[str]:
        told = []
        if states := sum(bool(cell.states) for cell in self.cells):
            one, many = "cell that shows", "cells that show"
            told.append(f"{plural(states, one, many)} the state of a machine left out")
        if accepted := len({use.key for cell in self.cells for use in cell.uses if use.accepted}):
            one, many = "answer taken for a figure that is", "answers taken for figures that are"
            told.append(f"{plural(accepted, one, many)} drawn otherwise")
        if unchecked := sum(not cell.compared for cell in self.cells):
            told.append(f"{plural(unchecked, 'cell')} not compared, as marked")
        if redrawn := sum(cell.redrawn for cell in self.cells):
            told.append(f"{plural(redrawn, 'picture')} drawn otherwise, which is not compared")
        return told

    def details(self) -> list[str]:
        """Tell what is amiss, cell by cell, in lines."""
        lines: list[str] = []
        for cell in self.cells:
            if cell.same:
                continue
            lines.append(f"Cell {cell.number}: {cell.title}")
            if cell.trouble:
                lines += [f"  failed: {cell.trouble}"]
            if cell.difference is not None:
                lines += [f"  its {cell.difference.part} is not as saved:"]
                lines += [f"    {line}" for line in cell.difference.lines]
            for attempt in cell.attempts:
                where = f" in line {attempt.line}" if attempt.line else ""
                lines.append(f"  {attempt.tried}{where}, and refused")
        return lines


def _count_text(cells: Sequence[RanCell], one: str, many: str) -> str:
    return f"{plural(len(cells), 'cell')} {one if len(cells) == 1 else many}"
