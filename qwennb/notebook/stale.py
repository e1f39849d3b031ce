"""Which answers rest on something that has changed since they were given.

What a cell interpolates is hashed as it is sent, and the hashes stand in the output beside the answer. A cell is stale
when one of its expressions would be sent otherwise now, when the name that it reads is gone, or when it reads an
answer that is stale itself.

To find that out an expression is evaluated again only where that does nothing: names, attributes, items, operators and
constants. One that calls something is not called again; it counts as unchanged while everything that it reads is what it
was then, and as changed when some of that is not. Where even that is not known, it is said.
"""

from __future__ import annotations

import ast
import hashlib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qwennb.errors import QwenError
from qwennb.request import canonical_json, is_frame, part_of
from qwennb.text import plural, shorten, table

SHORT = 16  # hexadecimal characters of a hash
Since = Literal["same", "changed", "gone", "unknown"]
_HARMLESS = (
    ast.Expression, ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.Slice, ast.Constant, ast.Tuple, ast.List,
    ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def digest_of(part: Any) -> str:
    """The short hash of a part of a message, as it is sent."""
    return hashlib.sha256(canonical_json(part.to_json())).hexdigest()[:SHORT]


@dataclass(frozen=True, slots=True)
class Interpolated:
    """One expression of a question: how it was sent, and for one that calls something, what it read."""

    source: str
    digest: str
    read: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, digest: str, names: Mapping[str, Any]) -> Interpolated:
        """The expression *source* that was sent as *digest*, in a notebook that has *names*."""
        if _is_harmless(source):
            return cls(source, digest)
        return cls(
            source, digest, {name: fingerprint(names[name]) for name in _names(source) if name in names}
        )

    def since(self, names: Mapping[str, Any]) -> tuple[Since, str]:
        """What has become of it, and whose doing that is."""
        roots = _names(self.source)
        if gone := [name for name in roots if name not in names and name in (self.read or roots)]:
            return "gone", gone[0]
        if not self.read:
            return self._read_again(names), self.source
        for name, then in self.read.items():
            now = fingerprint(names[name])
            if then is None or now is None:
                return "unknown", name
            if now != then:
                return "changed", name
        # What reads nothing but modules and functions (a clock, a draw) may say something else each time.
        reads_data = any(not _is_code(names[name]) for name in self.read)
        return ("same" if reads_data else "unknown"), self.source

    def _read_again(self, names: Mapping[str, Any]) -> Since:
        if not _is_harmless(self.source):
            return "unknown"
        from qwennb.notebook.namespace import as_read

        try:
            value = eval(compile(self.source.strip(), "<stale>", "eval"), {"__builtins__": {}}, dict(names))  # noqa: S307  (typed by the user in the cell, and free of calls)
            return "same" if digest_of(part_of(as_read(value))) == self.digest else "changed"
        except QwenError:
            return "changed"
        except Exception:
            return "gone"


@dataclass(frozen=True, slots=True)
class StaleQuestion:
    """One question of a cell: how the cell is called, what was interpolated, and the variable its answer went to."""

    cell: str
    title: str
    readings: tuple[Interpolated, ...]
    into: str | None = None


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
        """IPython says which cell is about to run. A front end that tells no id is told by its code."""
        code = getattr(info, "raw_cell", None) or ""
        self._cell = getattr(info, "cell_id", None) or code
        self._begun = False
        self._is_counted = getattr(info, "store_history", True)
        lines = (line.strip() for line in code.splitlines())
        self._title = next((line for line in lines if line), "")

    def note_question(self, readings: Iterable[Interpolated], *, into: str | None) -> None:
        """The cell that runs has asked a question with these."""
        if not self._begun:
            self._asked.pop(self._cell, None)
            self._begun = True
        one = StaleQuestion(f"[{self.number or ' '}]", shorten(self._title, 50), tuple(readings), into)
        self._asked.setdefault(self._cell, []).append(one)

    def report(self, names: Mapping[str, Any]) -> list[tuple[StaleQuestion, Since, str]]:
        """Every question with what has become of what it read; `same` where that is nothing."""
        made: list[tuple[StaleQuestion, Since, str]] = []
        stale: dict[str, str] = {}
        for asked in (one for several in self._asked.values() for one in several):
            since, why = self._since(asked, names, stale)
            made.append((asked, since, why))
            if asked.into is not None:
                if since in ("changed", "gone"):
                    stale[asked.into] = asked.cell
                else:
                    stale.pop(asked.into, None)
        return made

    def _since(
        self, asked: StaleQuestion, names: Mapping[str, Any], stale: Mapping[str, str]
    ) -> tuple[Since, str]:
        unknown = ""
        for reading in asked.readings:
            since, what = reading.since(names)
            if since == "changed":
                return since, f"{what} has changed"
            if since == "gone":
                return since, f"{what} is gone"
            if since == "unknown":
                unknown = unknown or f"{reading.source} can't be told without running it"
            for name in _names(reading.source):
                if name in stale:
                    return "changed", f"{name} comes from {stale[name]}, which is stale"
        return ("unknown", unknown) if unknown else ("same", "")


def stale(freshness: StaleTracker, names: Mapping[str, Any]) -> str:
    """What `%qwen_stale` says."""
    told = freshness.report(names)
    if not told:
        return "No cell of this kernel has asked anything yet."
    rows = [(asked.cell, asked.title, why) for asked, since, why in told if since != "same"]
    changed = sum(since in ("changed", "gone") for _, since, _ in told)
    unknown = sum(since == "unknown" for _, since, _ in told)
    count = plural(len(told), "question")
    if not rows:
        return f"Nothing is stale: what {count} read is as it was."
    parts = [f"{changed} of {count} stale"] if changed else [f"None of {count} stale for certain"]
    parts += [f"{unknown} can't be told"] if unknown else []
    again = " Run those cells again: what has not changed costs nothing." if changed else ""
    return "\n".join([*table(rows, indent=""), "", f"{', '.join(parts)}.{again}"])


def fingerprint(value: Any) -> str | None:
    """A hash of all that *value* holds, within this kernel; None where that can't be told."""
    try:
        if isinstance(value, types.ModuleType):
            return value.__name__
        if (code := getattr(value, "__code__", None)) is not None:
            constants = [const for const in code.co_consts if not isinstance(const, types.CodeType)]
            return _hash(code.co_code, repr((constants, code.co_names)).encode())
        if isinstance(value, type) or callable(value):
            return _hash(repr(value).encode())
        frame = (
            value.to_frame() if hasattr(value, "to_frame") else value
        )  # a series holds more than its text shows
        if is_frame(frame):
            return _hash(*_frame_bytes(frame))
        return digest_of(part_of(value))
    except Exception:
        return None


def _frame_bytes(frame: Any) -> Iterable[bytes]:
    """A frame's names, types and every row, hashed by the library that it comes from."""
    if hasattr(frame, "hash_rows"):
        yield repr((frame.schema, frame.height)).encode()
        yield str(frame.with_row_index("\0row").hash_rows(seed=1).bitwise_xor()).encode()
    else:
        from pandas.util import hash_pandas_object  # type: ignore[import-untyped]

        yield repr([(name, str(kind)) for name, kind in frame.dtypes.items()]).encode()
        yield hash_pandas_object(frame).to_numpy().tobytes()


def _hash(*pieces: bytes) -> str:
    made = hashlib.sha256()
    for piece in pieces:
        made.update(len(piece).to_bytes(8, "big") + piece)
    return made.hexdigest()[:SHORT]


def _is_code(value: Any) -> bool:
    return isinstance(value, types.ModuleType | type) or callable(value)


def _is_harmless(source: str) -> bool:
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return False
    return all(isinstance(node, _HARMLESS) for node in ast.walk(tree))


def _names(source: str) -> list[str]:
    """The names that an expression reads, but those that it binds itself."""
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return []
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {
        argument.arg for node in ast.walk(tree) if isinstance(node, ast.Lambda) for argument in node.args.args
    }
    return list(dict.fromkeys(node.id for node in names if node.id not in bound))
