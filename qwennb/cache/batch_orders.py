"""What is under way in batches: which questions were handed in, where, and under which number.

A batch takes hours, and the kernel that handed it in may be long gone when it is done. So each order lies in the cache
folder, in two plain files: its facts with the keys of its questions, and the questions themselves, so that whoever
fetches the answers can keep them all, whatever table is at hand. An order is written before the batch is made and again
when its number is known. Whatever happens between the two, the endpoint is asked whether the batch exists.

Only one process at a time hands in or fetches (`claim`); a process that dies lets go. An order that was fetched leaves
a line behind for a while, so that its batch, which the endpoint still lists, is not taken for one that was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

import orjson

from qwennb.cache.database import safe_folder, take_lock
from qwennb.errors import CacheError
from qwennb.files import open_private, replace_file
from qwennb.request import Request, canonical_json

REMEMBERED = 60 * 86_400.0  # seconds; longer than any endpoint lists a batch with its answers


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Questions that were handed in together. `batch` is the endpoint's number, empty while it is not known."""

    id: str
    name: str
    """What they are, as a hash: the same questions to the same endpoint have the same name."""
    endpoint: str
    """The identity of the endpoint."""
    model: str
    created: float
    file: str = ""
    """The endpoint's number of the uploaded file."""
    batch: str = ""
    questions: int = 0
    fetched: bool = False
    keys: frozenset[str] = field(default=frozenset(), repr=False)


class BatchOrders:
    """The orders of one cache folder. Its files are made with the first of them."""

    def __init__(self, cache_folder: Path) -> None:
        self.folder = cache_folder / "batches"

    def claim(self) -> IO[bytes] | None:
        """Take the right to hand in and to fetch, until what this gives is closed or the process ends.

        None while another process, or another run of this one, has it.
        """
        return take_lock(safe_folder(self.folder) / "claim", wait=False)

    def under_way(self, endpoint: str | None = None) -> list[BatchOrder]:
        """List the orders that were not fetched yet, of one endpoint or of all, the oldest first."""
        return [
            order
            for order in self._all()
            if not order.fetched and (endpoint is None or order.endpoint == endpoint)
        ]

    def fetched_batches(self) -> frozenset[str]:
        """List the numbers of the batches whose answers are here."""
        return frozenset(order.batch for order in self._all() if order.fetched)

    def get(self, order: BatchOrder) -> BatchOrder | None:
        """Read the order as it lies there now."""
        return self._read(self._facts(order))

    def write(self, order: BatchOrder, questions: Iterable[Request] | None = None) -> None:
        """Have *order* on the disk before this returns, with its *questions* where it is new."""
        facts = {**asdict(order), "keys": sorted(order.keys)}
        try:
            if questions is not None:
                lines = (canonical_json(request.canonical()) + b"\n" for request in questions)
                replace_file(self._questions(order), lines, durable=True)
            replace_file(self._facts(order), orjson.dumps(facts), durable=True)
        except OSError as error:
            raise CacheError(
                f"A batch can't be noted in {self.folder} ({error.strerror}); it was not handed in."
            ) from error

    def questions(self, order: BatchOrder) -> Iterator[Request]:
        """Read what was asked. Pictures have their hash only."""
        try:
            with self._questions(order).open("rb") as lines:
                for line in lines:
                    yield Request.from_json(orjson.loads(line))
        except FileNotFoundError:
            return

    def close(self, order: BatchOrder) -> None:
        """Forget all but the number of its batch: its answers are kept."""
        self.write(replace(order, fetched=True, keys=frozenset()))
        self._questions(order).unlink(missing_ok=True)

    def drop(self, order: BatchOrder) -> None:
        """Forget it."""
        self._facts(order).unlink(missing_ok=True)
        self._questions(order).unlink(missing_ok=True)

    def sweep(self, now: float) -> None:
        """Remove what a process that died left half made, and what was fetched long ago. Whoever calls holds the claim."""
        known = self._all()
        for order in known:
            if order.fetched and now - order.created > REMEMBERED:
                self.drop(order)
        ids = {order.id for order in known}
        for path in self.folder.iterdir():
            half_made = path.suffix in (".part", ".new", ".jsonl")  # .new is what 0.1 called it
            if half_made or (path.suffix == ".questions" and path.stem not in ids):
                path.unlink(missing_ok=True)

    def upload(self, order_id: str) -> Path:
        """Name the file that is uploaded for an order. It is gone again with the next claim."""
        return self.folder / f"{order_id}.jsonl"

    def new_upload(self, order_id: str) -> IO[bytes]:
        """Open that file, to be written."""
        return open_private(self.upload(order_id), "wb")

    def _facts(self, order: BatchOrder) -> Path:
        return self.folder / f"{order.id}.json"

    def _questions(self, order: BatchOrder) -> Path:
        return self.folder / f"{order.id}.questions"

    def _all(self) -> list[BatchOrder]:
        try:
            read = [self._read(path) for path in self.folder.glob("*.json")]
        except OSError as error:
            raise CacheError(f"The folder {self.folder} can't be read ({error.strerror}).") from error
        return sorted((order for order in read if order is not None), key=lambda order: order.created)

    def _read(self, path: Path) -> BatchOrder | None:
        try:
            facts = orjson.loads(path.read_bytes())
            return BatchOrder(**{**facts, "keys": frozenset(facts["keys"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise CacheError(
                f"The note of a batch in {path} can't be read. If nothing of that batch is wanted any more, delete it."
            ) from None
