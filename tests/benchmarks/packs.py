"""Packs of ten thousand answers of a column: written, read, replayed, and looked through for a changed byte."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from qwennb import Pack
from qwennb.answer import Answer, Cost, Usage
from qwennb.cache import Memory, RecordingLog, Store
from qwennb.errors import PackRefused
from qwennb.request import Message, Request, Settings, Text
from qwennb.testing import replaying

ROWS = 10_000
TRIALS = 1_000
MAIL = "Dear shop, please send me {} boxes of your green tea to Ulm before the end of the month. " * 8


def _answers() -> Iterator[Answer]:
    for number in range(ROWS):
        text = f"Which city? Text: {MAIL.format(*[number] * 8)}"
        request = Request("qwen3.5-plus", (Message("user", (Text(text),)),), Settings.of(thinking=False))
        yield Answer(
            request,
            f"Ulm, for the mail number {number}",
            usage=Usage(240, 12),
            cost=Cost(1e-5, "server"),
            endpoint="dashscope-intl",
        )


@contextmanager
def _kept(folder: Path) -> Iterator[Memory]:
    """A memory of them all."""
    memory = Memory(Store(folder), logs=[RecordingLog()])
    memory.store.put(Pack.of(_answers()).records.items())
    yield memory
    memory.close()


def written() -> str:
    """Out of the store and into a file, looked through for secrets, both ways."""
    with tempfile.TemporaryDirectory() as folder, _kept(Path(folder)) as memory:
        names = list(memory.store.names())
        told = []
        for file in ("a.qwenpack", "a.qwenpack.zst"):
            began = time.perf_counter()
            Pack.of_records(memory.records(names)).write(Path(folder) / file)
            took, size = time.perf_counter() - began, (Path(folder) / file).stat().st_size
            told.append(f"{took:.2f} s ({size / 1e6:.1f} MB)")
    return f"pack of {ROWS:,} answers written in {told[0]}, compressed in {told[1]} (required: 2 s)"


def read() -> str:
    """Read with everything checked, and one column of them replayed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.qwenpack"
        Pack.of(_answers()).write(file)
        began = time.perf_counter()
        Pack.read(file)
        took = time.perf_counter() - began
        frame = pl.DataFrame({"mail": [MAIL.format(*[number] * 8) for number in range(ROWS)]})
        with replaying(file) as qwen:
            began = time.perf_counter()
            made = frame.qwen.ask("Which city? Text: {{ mail }}", client=qwen, model="plus", thinking=False)
            replayed = time.perf_counter() - began
    assert made["answer"].null_count() == 0
    return f"read and checked in {took:.2f} s; a column of {ROWS:,} rows replayed from it in {replayed:.2f} s"


def tampered() -> str:
    """One byte changed, at a random place, a thousand times, both ways."""
    draw, found = random.Random(1), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.qwenpack", "a.qwenpack.zst"):
            file = Path(folder) / name
            Pack(dict(list(Pack.of(_answers()).records.items())[:20])).write(file)
            whole, found[name] = bytearray(file.read_bytes()), 0
            for _ in range(TRIALS):
                at = draw.randrange(len(whole))
                before, whole[at] = whole[at], whole[at] ^ draw.randrange(1, 256)
                file.write_bytes(whole)
                whole[at] = before
                try:
                    Pack.read(file)
                except PackRefused:
                    found[name] += 1
    return f"a tampered byte found in {json.dumps(found)} of {TRIALS:,} trials each (required: all)"
