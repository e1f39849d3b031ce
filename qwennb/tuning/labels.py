"""Labels that people gave, kept as they are given.

A file of JSON Lines that is only ever appended to, each line on the disk before it counts. A line is one action:

    {"row": "…", "verdict": "right", "fix": null, "by": "ada", "at": "2026-11-21T08:00:00+00:00"}

To take one back is a line of its own (`"undo": true`, with what holds again), so that what was thought stays readable.
What a kill leaves of a last line is passed over, and the next line begins on a line of its own.

A row is known by its source and its answer, not by its number: labels stay with their rows when a frame is sorted or
cut, and an answer that has changed has to be looked at again. No text of the frame is in the file but corrections.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from qwennb.errors import BadInput, CacheError
from qwennb.files import sync_folder
from qwennb.truth import Kappa, kappa

Verdict = Literal["right", "wrong", "fixed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_BEGINNING = b'{"row":'  # of a line, as it is written here


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody thinks of a row. Without a verdict: nothing (any more). `fix` is the answer as it should be."""

    row: str
    verdict: Verdict | None
    fix: str | None = None
    by: str = ""
    at: str = ""


def row_of(source: str, answer: str) -> str:
    """The name of a row."""
    return hashlib.sha256(orjson.dumps([source, answer])).hexdigest()[:32]


class Labels:
    """The labels of one file, and of one who adds to it."""

    def __init__(
        self,
        path: str | Path,
        by: str = "",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = Path(path)
        self.by = _writable(by)
        self._now = now
        self._of: dict[str, dict[str, Label]] = {}
        self._done: dict[str, list[tuple[str, Label]]] = {}
        self._torn = False
        self.damaged = 0
        self._read()

    @property
    def reviewers(self) -> list[str]:
        """Who gave labels, in the order of their first."""
        return list(self._of)

    def labels_by(self, by: str | None = None) -> Mapping[str, Label]:
        """The labels of a reviewer, by row; of this one, when none is named."""
        return self._of.get(self.by if by is None else by, {})

    def give(self, row: str, verdict: Verdict, fix: str | None = None) -> Label:
        """Label *row*. When this returns, the label is on the disk."""
        if verdict not in VERDICTS:
            raise BadInput(f"{verdict!r} is not a label. Use {', '.join(VERDICTS)}.")
        if (verdict == "fixed") != (fix is not None):
            raise BadInput('A row that is "fixed" comes with the answer as it should be, and no other does.')
        fix = None if fix is None else _writable(fix)
        label = Label(row, verdict, fix, self.by, self._now().isoformat())
        self._append(asdict(label))
        self._take(label, undo=False)
        return label

    def undo(self) -> str | None:
        """Take back this reviewer's last label; what held before holds again. The row, None where there is none."""
        done = self._done.get(self.by)
        if not done:
            return None
        row, before = done[-1]
        label = Label(row, before.verdict, before.fix, self.by, self._now().isoformat())
        self._append({**asdict(label), "undo": True})
        self._take(label, undo=True)
        return row

    def _take(self, label: Label, *, undo: bool) -> None:
        """Have *label* count."""
        given = self._of.setdefault(label.by, {})
        done = self._done.setdefault(label.by, [])
        if undo:
            if done:
                done.pop()
        else:
            done.append((label.row, given.get(label.row, Label(label.row, None))))
        if label.verdict is None:
            given.pop(label.row, None)
        else:
            given[label.row] = label

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadInput(f"{self.path} can't be read: {error.strerror}.") from None
        *lines, rest = content.split(b"\n")
        self._torn = bool(rest)
        found = 0
        for line in [*lines, rest]:
            if not line.strip():
                continue
            read = _label(line)
            if read is None:
                self.damaged += 1
            else:
                found += 1
                self._take(*read[:1], undo=read[1])
        if self.damaged and not found and not content.startswith(_BEGINNING[: len(content)]):
            raise BadInput(f"{self.path} is no file of labels. Give labels= another name, or move that file.")

    def _append(self, action: dict[str, Any]) -> None:
        # A line that could not be written whole must not swallow the next one.
        line = (b"\n" if self._torn else b"") + orjson.dumps(action) + b"\n"
        new = not self.path.exists()
        self._torn = True
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                while line:
                    line = line[os.write(file, line) :]
                os.fsync(file)
            finally:
                os.close(file)
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise CacheError(
                f"The label is not kept: {self.path} can't be written ({error.strerror}). Make room, or choose another file."
            ) from None
        self._torn = False


def agreement(rows: Iterable[str], mine: Mapping[str, Label], theirs: Mapping[str, Label]) -> Kappa | None:
    """Tell how well two reviewers agree on which of *rows* are right; None where they have none in common."""
    both = [(mine[row], theirs[row]) for row in rows if row in mine and row in theirs]
    return kappa([(one.verdict == "right", other.verdict == "right") for one, other in both])


def _writable(text: str) -> str:
    """*text* without the halves of characters that JavaScript allows and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _label(line: bytes) -> tuple[Label, bool] | None:
    try:
        read = orjson.loads(line)
        label = Label(read["row"], read["verdict"], read["fix"], read["by"], read["at"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    texts = (label.row, label.by, label.at, label.fix or "")
    whole = all(isinstance(text, str) for text in texts) and label.verdict in (None, *VERDICTS)
    return (label, read.get("undo") is True) if whole else None
