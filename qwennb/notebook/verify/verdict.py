"""What came of running a notebook, cell by cell and as a whole: plain values, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from qwennb.answer import money
from qwennb.text import plural, shorten

STATE = "state"


@dataclass(frozen=True, slots=True)
class Use:
    """One answer that a cell used. A *missing* one was looked for and is not recorded; its endpoint is empty.

    An *accepted* one was taken for a figure that is drawn otherwise, which is told beside its use.
    """

    key: str
    endpoint: str = ""
    missing: bool = False
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A use of the network that was refused: in words, and the line of the cell that it came from, where that is known."""

    tried: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an output is not as it was saved: which part of it, and the first lines that differ."""

    part: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RanCell:
    """One code cell that was run. `number` counts the code cells from 1.

    trouble      why it failed, in a line or a few; empty when it did not
    difference   how its output differs from the saved one; None when it does not, or was not compared
    compared     False for a cell that is marked not to be, or was never run before it was saved
    states       its outputs that tell the state of this machine, which are never compared
    redrawn      its pictures that are drawn otherwise than the saved ones, which nbval does not compare
    older        its outputs that were saved in an older form, and are compared by their words
    """

    number: int
    source: str
    outputs: Sequence[Mapping[str, Any]] = ()
    saved: Sequence[Mapping[str, Any]] = ()
    trouble: str = ""
    difference: Difference | None = None
    compared: bool = True
    states: int = 0
    redrawn: int = 0
    older: int = 0
    uses: tuple[Use, ...] = ()
    attempts: tuple[Attempt, ...] = field(default=())

    @property
    def title(self) -> str:
        """Its first line of code, for people."""
        lines = [line.strip() for line in self.source.splitlines()]
        return shorten(next((line for line in lines if line and not line.startswith("#")), ""), 60)

    @property
    def same(self) -> bool:
        """Whether it ran as it was saved, without the network."""
        return not self.trouble and self.difference is None and not self.attempts


def tells_state(output: Mapping[str, Any]) -> bool:
    """Tell whether *output* is marked as the state of this machine."""
    metadata = output.get("metadata")
    ours = metadata.get("qwennb") if isinstance(metadata, Mapping) else None
    return isinstance(ours, Mapping) and STATE in ours


def is_typed(output: Mapping[str, Any]) -> bool:
    """Tell whether *output* is what somebody typed, as front ends save it: no other run shows it."""
    return output.get("output_type") == "stream" and output.get("name") == "stdin"


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
        if older := sum(cell.older for cell in self.cells):
            told.append(f"{plural(older, 'output')} of an older qwennb compared by what they say")
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
