"""The store against a dictionary, step by step: whatever is done to both, they hold the same."""

import os
import shutil
import sqlite3
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qwennb.cache.database import CacheWarning
from qwennb.cache.memory_store import MemoryStore
from qwennb.cache.record import Name
from qwennb.cache.store import Store

from .records import child, name_of

names = st.builds(
    name_of, st.integers(0, 7), st.sampled_from(["openrouter", "vllm:a@b", "ü", "local:" + "0" * 64])
)
values = st.binary(max_size=200) | st.integers(0, 20_000).map(lambda size: os.urandom(1) * size)
records = st.dictionaries(names, values, max_size=6)


class AsADictionary(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        # In memory where there is such a place: it is the logic that is tried here, not the disk.
        self.home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.expected: dict[Name, bytes] = {}

    @initialize(kind=st.sampled_from(["persist", "wal", "memory"]))
    def open(self, kind):
        self.kind = kind
        self.store = MemoryStore() if kind == "memory" else self.opened()

    def opened(self):
        return Store(self.home / "c", sqlite=(3, 51, 3) if self.kind == "wal" else (3, 40, 1))

    def on_disk(self):
        return self.kind != "memory"

    @rule(some=records)
    def put(self, some):
        self.store.put(some.items())
        self.expected |= some

    @rule(some=st.sets(names, max_size=5))
    def remove(self, some):
        assert self.store.remove(some) == len(some & self.expected.keys())
        for name in some:
            self.expected.pop(name, None)

    @rule(name=names)
    def get(self, name):
        assert self.store.get(name) == self.expected.get(name)

    @rule(some=st.sets(names, max_size=9))
    def get_many(self, some):
        assert self.store.get_many(some) == {n: self.expected[n] for n in some if n in self.expected}

    @rule(number=st.integers(0, 8))
    def find(self, number):
        key = name_of(number).key
        assert list(self.store.find_many([key]).get(key, {}).items()) == sorted(
            ((n, v) for n, v in self.expected.items() if n.key == key), key=lambda item: item[0].text
        )

    @precondition(lambda self: self.on_disk())
    @rule()
    def reopen(self):
        self.store.close()
        self.store = self.opened()

    @precondition(lambda self: self.on_disk())
    @rule(some=records)
    def another_process_puts_and_is_killed(self, some):
        def work(process):
            with self.opened() as store:
                store.put(some.items())
                process.tell()
                process.wait_for_go()

        with child(work) as process:
            process.hear()
            process.kill()
        self.expected |= some

    @precondition(lambda self: self.on_disk() and self.expected)
    @rule(data=st.data())
    def a_bit_flips(self, data):
        name = data.draw(st.sampled_from(sorted(self.expected, key=lambda name: name.text)))
        raw = sqlite3.connect(self.home / "c" / "cache.db")
        ((sealed,),) = raw.execute("SELECT value FROM Cache WHERE key = ?", (name.text,))
        at = data.draw(st.integers(0, len(sealed) - 1))
        with raw:
            spoilt = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
            raw.execute("UPDATE Cache SET value = ? WHERE key = ?", (spoilt, name.text))
        raw.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            assert self.store.get(name) is None
        self.store.put([])  # whatever is written next sets it aside
        del self.expected[name]

    @invariant()
    def hold_the_same(self):
        if hasattr(self, "store"):
            assert dict(self.store.items()) == self.expected
            assert list(self.store.names()) == sorted(self.expected, key=lambda name: name.text)
            assert len(self.store) == len(self.expected)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.home)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.slow
def test_a_store_is_a_dictionary():
    run_state_machine_as_test(
        AsADictionary,
        settings=settings(
            max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=QUIET, database=None
        ),
    )


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_store_is_a_dictionary_in_many_long_stories():
    run_state_machine_as_test(
        AsADictionary,
        settings=settings(
            max_examples=2_000,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=QUIET,
            database=None,
        ),
    )
