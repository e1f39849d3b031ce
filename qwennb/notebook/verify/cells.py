"""What came of running a notebook, cell by cell: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwennb.text import shorten

STATE = "state"


@dataclass(frozen=True, slots=True)
class Use:
    """One answer that a cell used. A *missing* one was looked for and is not recorded; its endpoint is empty.

    An *accepted* one was taken for a figure that is drawn otherwise, which is told beside its use.
    """

    key: str
    endpoint: str
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
