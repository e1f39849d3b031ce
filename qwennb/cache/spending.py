"""What was spent, added up by day, notebook, model and endpoint.

A small SQLite file beside the answers, shared by all processes. Sums are whole numbers (money in billionths of a dollar),
added to where they lie, so that two notebooks that spend at once lose nothing. Each call opens the file and closes it
again: there are a few a second at most, and nothing is left open over a fork or an interrupt.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from qwennb.answer import money
from qwennb.cache import database
from qwennb.cache.database import lock_folder, safe_file, safe_folder, use_file, warn

T = TypeVar("T")

WAIT = 30.0  # seconds for another process, as long as the store's own writes wait
NANO = 1_000_000_000


def spell_cost(cost: float, requests: int, unknown: int, maybe_billed: int) -> str:
    """Say what *requests* cost, how many of them are of *unknown* price, and what may have been charged all the same."""
    is_known = bool(cost) or unknown < requests
    told = [money(cost if is_known else None)]
    told += [f"{unknown:,} of unknown price"] if is_known and unknown else []
    told += [f"{maybe_billed:,} maybe billed"] if maybe_billed else []
    return ", ".join(told)


@dataclass(frozen=True, slots=True)
class Spending:
    """What one notebook spent on one model at one endpoint in one day. Sums of the same account can be added."""

    day: str
    notebook: str
    model: str
    endpoint: str
    requests: int = 0
    input: int = 0
    output: int = 0
    nanos: int = 0
    """Billionths of a US dollar: whole numbers add up exactly."""
    unknown_cost: int = 0
    """Requests whose price nobody told; `nanos` lacks them."""
    maybe_billed: int = 0
    """Attempts that brought no answer and may have been charged all the same."""

    @property
    def account(self) -> tuple[str, str, str, str]:
        """Whose sum this is."""
        return self.day, self.notebook, self.model, self.endpoint

    @property
    def cost(self) -> float:
        """US dollars, without the requests of unknown price."""
        return self.nanos / NANO

    @property
    def cost_text(self) -> str:
        """The cost in words, and what is not in it."""
        return spell_cost(self.cost, self.requests, self.unknown_cost, self.maybe_billed)

    def __add__(self, other: Spending) -> Self:
        if self.account != other.account:
            raise ValueError(f"{self.account} and {other.account} are two accounts")
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in _SUMS})


_ALL = tuple(field.name for field in fields(Spending))
_ACCOUNT, _SUMS = _ALL[:4], _ALL[4:]

_FORM = database.FileForm(
    name="ledger.sqlite3",
    application=0x51574E4C,  # "QWNL"
    version=1,
    schema=(
        "CREATE TABLE Spending ("
        + ", ".join(
            [f"{name} TEXT NOT NULL" for name in _ACCOUNT] + [f"{name} INTEGER NOT NULL" for name in _SUMS]
        )
        + f", PRIMARY KEY ({', '.join(_ACCOUNT)})) WITHOUT ROWID",
    ),
)
# Added in the file itself and not read, added and written: two notebooks that spend at once lose nothing.
_ADD = (
    f"INSERT INTO Spending VALUES ({', '.join('?' for _ in _ALL)})"  # noqa: S608 - names of fields
    f" ON CONFLICT ({', '.join(_ACCOUNT)}) DO UPDATE SET {', '.join(f'{s} = {s} + excluded.{s}' for s in _SUMS)}"
)
_READ = f"SELECT {', '.join(_ALL)} FROM Spending"  # noqa: S608 - names of fields


class Spendings:
    """The sums of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / _FORM.name

    def add(self, rows: Iterable[Spending]) -> None:
        """Add these to the sums, all or none. On the writer's thread."""
        values = [astuple(row) for row in rows]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_ADD, values)
            connection.execute("COMMIT")

        self._do(work)

    def rows(
        self,
        *,
        since: str | None = None,
        notebook: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
    ) -> list[Spending]:
        """Read the sums, by day: from the day *since* on ("2026-11-21"), and only of what else is named."""
        if not os.path.exists(self._path):  # noqa: PTH110 - Path's own raises where the folder can't be looked into
            return []
        wanted = {"day >=": since, "notebook =": notebook, "model =": model, "endpoint =": endpoint}
        given = {test: value for test, value in wanted.items() if value is not None}
        where = " WHERE " + " AND ".join(f"{test} ?" for test in given) if given else ""
        query = f"{_READ}{where} ORDER BY {', '.join(_ACCOUNT)}"
        found = self._do(lambda connection: connection.execute(query, tuple(given.values())).fetchall())
        return [Spending(*row) for row in found if _is_ours(row)]

    def stamp(self) -> tuple[int, ...]:
        """What is another one after each change of a sum, by whichever process; it costs no reading."""
        found = []
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            with suppress(OSError):
                found += [path.stat().st_mtime_ns, path.stat().st_size]
        return tuple(found)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        what = f"The ledger in {self.folder} can't be used"
        return use_file(partial(self._once, work), self.folder, what, WAIT, self._begin_anew)

    def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._is_there():
            with lock_folder(safe_folder(self.folder)):
                if not self._is_there():
                    database.make(self._path, _FORM)
        with closing(database.connect(self._path, wait=0)) as connection:
            database.inspect(connection, self.folder, _FORM)
            return work(connection)

    def _is_there(self) -> bool:
        return safe_file(self._path) and database.has_form(self._path, self.folder, _FORM)

    def _begin_anew(self) -> bool:
        """Put a damaged file aside, unless another process has just done so; it is worth another try in both cases."""
        with lock_folder(self.folder):
            with (
                suppress(sqlite3.DatabaseError),
                closing(database.connect(self._path, wait=WAIT)) as connection,
            ):
                if connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]:
                    return True
            database.make(self._path, _FORM, aside=True)
        warn(
            f"The ledger of spending in {self.folder} was damaged: sums begin anew. The damaged file is kept beside it."
        )
        return True


def _is_ours(row: tuple[object, ...]) -> bool:
    kinds = [type(value) for value in row]
    return kinds == [str] * len(_ACCOUNT) + [int] * len(_SUMS)
