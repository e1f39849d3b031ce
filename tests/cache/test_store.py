import os
import random
import sqlite3
import stat
import threading
import warnings
from pathlib import Path

import pytest

from qwennb.cache import database
from qwennb.cache.database import CacheWarning
from qwennb.cache.record import Name
from qwennb.cache.store import Store
from qwennb.cache.table import FORM
from qwennb.errors import CacheError

from .records import child, name_of, value_of

WAL = (3, 51, 3)
ROLLBACK = (3, 40, 1)


@pytest.fixture(params=[ROLLBACK, WAL], ids=["persist", "wal"])
def journal(request):
    return request.param


@pytest.fixture
def store(tmp_path, journal):
    with Store(tmp_path / "cache", sqlite=journal) as store:
        yield store


def test_what_was_put_is_there_for_the_next_who_opens_it(tmp_path, journal):
    records = {name_of(n): value_of(n) for n in range(50)}
    with Store(tmp_path / "c", sqlite=journal) as store:
        store.put(records.items())
    with Store(tmp_path / "c", sqlite=journal) as store:
        assert {name: store.get(name) for name in records} == records
        assert store.get_many([*records, name_of(99)]) == records
        assert dict(store.items()) == records
        assert list(store.names()) == sorted(records, key=lambda name: name.text)
        assert len(store) == 50
        assert store.get(name_of(99)) is None
        assert (store.quarantine_count, store.problems) == (0, {})


def test_the_journal_is_the_one_that_is_sound_here(tmp_path):
    for sqlite, expected in ((ROLLBACK, b"\1\1"), (WAL, b"\2\2")):
        folder = tmp_path / str(sqlite)
        with Store(folder, sqlite=sqlite) as store:
            store.put([(name_of(1), b"v")])
        assert (folder / "cache.db").read_bytes()[18:20] == expected


def test_putting_again_replaces(store):
    store.put([(name_of(1), b"old"), (name_of(1), b"newer")])
    store.put([(name_of(1), b"newest")])
    assert store.get(name_of(1)) == b"newest"
    assert len(store) == 1


def test_an_answer_of_another_endpoint_is_no_hit_but_is_found_by_its_key(store):
    here, there, other = name_of(1, "openrouter"), name_of(1, "local:ab@cd"), name_of(2, "openrouter")
    store.put([(here, b"1"), (there, b"2"), (other, b"3")])
    assert store.get(Name(here.key, "dashscope")) is None
    assert store.find_many([here.key]) == {here.key: {there: b"2", here: b"1"}}
    assert store.find_many([name_of(3).key]) == {}
    assert store.find_many([here.key, other.key, name_of(3).key]) == {
        here.key: {there: b"2", here: b"1"},
        other.key: {other: b"3"},
    }


@pytest.mark.slow
def test_ten_thousand_names_at_once_are_no_trouble(store):
    records = {name_of(n): b"%d" % n for n in range(10_000)}
    store.put(records.items())
    assert store.get_many(records) == records
    assert store.find_many([name.key for name in records]) == {n.key: {n: v} for n, v in records.items()}


def test_what_is_removed_is_gone_and_gives_its_room_back(store):
    records = {name_of(n): value_of(n, 868) for n in range(3_000)}
    store.put(records.items())
    before = store.size()
    gone = [name_of(n) for n in range(2_900)]
    assert store.remove([*gone, name_of(5_000)]) == 2_900
    assert store.get_many(records) == {name_of(n): value_of(n, 868) for n in range(2_900, 3_000)}
    store.put([(name_of(7_000), b"after")])
    assert store.get(name_of(7_000)) == b"after"
    assert store.size() < before / 4


def test_values_never_leave_the_database_for_files_of_their_own(store):
    store.put([(name_of(1), bytes(5_000_000))])
    assert store.get(name_of(1)) == bytes(5_000_000)
    assert {p.name.split("-")[0] for p in store.folder.iterdir()} == {"cache.db", "lock"}


def test_only_bytes_are_kept(store):
    for value in ("text", 7, None, {"a": 1}):
        with pytest.raises(TypeError):
            store.put([(name_of(1), value)])
    assert store.get(name_of(1)) is None


def test_a_transaction_is_whole_or_not_at_all(store):
    with pytest.raises(TypeError):
        store.put([(name_of(1), b"good"), (name_of(2), "bad")])
    assert len(store) == 0


def test_an_error_in_the_middle_of_a_transaction_undoes_it_and_lets_go_of_the_lock(store):
    def work(table):
        table.set(name_of(1).text, b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store._write(work)
    with Store(store.folder, write_patience=0.0) as other:
        other.put([(name_of(2), b"w")])
    store.put([(name_of(3), b"x")])
    assert sorted(dict(store.items()).values()) == [b"w", b"x"]


def test_folder_and_files_are_for_their_owner_only(tmp_path, journal):
    old = os.umask(0)
    try:
        with Store(tmp_path / "c", sqlite=journal) as store:
            store.put([(name_of(1), b"v")])
            assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
            files = list(store.folder.iterdir())
            assert len(files) >= 2
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(old)


def test_a_flipped_bit_is_a_miss_and_is_set_aside_by_the_next_write(tmp_path):
    with Store(tmp_path / "c") as store:
        store.put([(name_of(n), value_of(n, 300)) for n in range(3)])
    with sqlite3.connect(tmp_path / "c" / "cache.db") as raw:
        (value,) = raw.execute("SELECT value FROM Cache WHERE key = ?", (name_of(1).text,)).fetchone()
        spoilt = value[:100] + bytes([value[100] ^ 4]) + value[101:]
        raw.execute("UPDATE Cache SET value = ? WHERE key = ?", (spoilt, name_of(1).text))
    raw.close()
    with Store(tmp_path / "c") as store:
        with pytest.warns(CacheWarning, match="damaged answer") as caught:
            assert store.get(name_of(1)) is None
            assert store.get_many([name_of(1), name_of(2)]) == {name_of(2): value_of(2, 300)}
            assert store.find_many([name_of(1).key]) == {}
        assert [w.filename for w in caught] == [__file__]  # once, and at the line that asked
        assert (store.quarantine_count, store.problems["damaged answer"]) == (1, 1)
        store.put([(name_of(9), b"v")])
        assert (store.quarantine_count, len(store)) == (1, 3)
        store.put([(name_of(1), b"again")])
        assert store.get(name_of(1)) == b"again"


def test_a_value_moved_under_another_name_is_no_answer(tmp_path):
    with Store(tmp_path / "c") as store:
        store.put([(name_of(1), b"one"), (name_of(2), b"two")])
    with sqlite3.connect(tmp_path / "c" / "cache.db") as raw:
        raw.execute(
            "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = ?) WHERE key = ?",
            (name_of(1).text, name_of(2).text),
        )
    raw.close()
    with Store(tmp_path / "c") as store, pytest.warns(CacheWarning):
        assert store.get(name_of(2)) is None
        assert store.get(name_of(1)) == b"one"


def test_a_row_that_was_put_anew_meanwhile_is_not_set_aside(tmp_path):
    with Store(tmp_path / "c") as store, Store(tmp_path / "c") as other:
        store.put([(name_of(1), b"one")])
        with sqlite3.connect(tmp_path / "c" / "cache.db") as raw:
            raw.execute("UPDATE Cache SET value = x'00'")
        raw.close()
        with pytest.warns(CacheWarning):
            assert store.get(name_of(1)) is None
        other.put([(name_of(1), b"anew")])
        store.put([(name_of(2), b"two")])
        assert store.get(name_of(1)) == b"anew"


@pytest.mark.parametrize("when", [-(10**9), 0, 4 * 10**9, 10**15])
def test_nothing_depends_on_the_clock(tmp_path, when):
    with Store(tmp_path / "c") as store:
        store.put([(name_of(1), b"v")])
        with sqlite3.connect(tmp_path / "c" / "cache.db") as raw:
            raw.execute(
                "UPDATE Cache SET store_time = ?, access_time = ?, expire_time = ?", (when, when, when)
            )
        raw.close()
        store.put([(name_of(2), b"w")])
        assert store.get_many([name_of(1), name_of(2)]) == {name_of(1): b"v", name_of(2): b"w"}
        store.put([(name_of(1), b"again")])
        assert store.get(name_of(1)) == b"again"


@pytest.mark.slow
def test_nothing_is_ever_evicted(store):
    records = {name_of(n): value_of(n, 2_000) for n in range(5_000)}
    for some in range(0, 5_000, 1_000):
        store.put(list(records.items())[some : some + 1_000])
    assert len(store) == 5_000
    assert store.get_many(records) == records


@pytest.mark.nightly
def test_a_million_answers_stay_and_are_found_as_fast_as_ten_thousand(tmp_path, record_property):
    import time

    with Store(tmp_path / "c") as store:
        start = time.perf_counter()
        for first in range(0, 1_000_000, 50_000):
            store.put((name_of(n), value_of(n, 868)) for n in range(first, first + 50_000))
        record_property("import_seconds", time.perf_counter() - start)
    start = time.perf_counter()
    with Store(tmp_path / "c") as store:
        assert time.perf_counter() - start < 0.5
        assert len(store) == 1_000_000
        wanted = {name_of(n): value_of(n, 868) for n in random.Random(1).sample(range(1_000_000), 10_000)}
        start = time.perf_counter()
        assert store.get_many(wanted) == wanted
        record_property("rows_per_second", 10_000 / (time.perf_counter() - start))


# ---- threads and processes --------------------------------------------------------------------------------------


def hold_the_lock(process, folder, how):
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    connection.execute(f"BEGIN {how}")
    process.tell()
    process.wait_for_go()
    connection.execute("COMMIT")
    connection.close()


def test_reading_goes_on_while_another_process_holds_the_write_lock(store):
    store.put([(name_of(1), b"v")])
    with child(hold_the_lock, store.folder, "IMMEDIATE") as other:
        other.hear()
        assert store.get(name_of(1)) == b"v"
        assert store.get_many([name_of(1)]) == {name_of(1): b"v"}
        with Store(store.folder) as second:
            assert second.get(name_of(1)) == b"v"
        waiting = threading.Thread(target=store.put, args=([(name_of(2), b"w")],))
        waiting.start()
        assert store.get(name_of(1)) == b"v"
        assert store.get(name_of(2)) is None
        other.go()
        waiting.join()
        assert other.end() == 0
    assert store.get(name_of(2)) == b"w"


def test_a_read_gives_up_where_another_process_lets_nobody_in(tmp_path):
    with Store(tmp_path / "c", sqlite=ROLLBACK, patience=0.05, write_patience=0.2) as store:
        store.put([(name_of(1), b"v")])
        with child(hold_the_lock, store.folder, "EXCLUSIVE") as other:
            other.hear()
            with pytest.raises(CacheError, match="held by another process"):
                store.get(name_of(1))
            with pytest.raises(CacheError, match="held by another process"):
                store.put([(name_of(2), b"w")])
            other.go()
            other.end()
        assert store.get(name_of(1)) == b"v"
        store.put([(name_of(2), b"w")])
        assert store.get(name_of(2)) == b"w"


def read_for_a_while(process, folder):
    raw = sqlite3.connect(folder / "cache.db", isolation_level=None)
    raw.execute("BEGIN")
    raw.execute("SELECT count(*) FROM Cache").fetchall()
    process.tell()
    process.wait_for_go()
    raw.close()


def test_a_commit_waits_for_a_reader_without_beginning_again(tmp_path):
    with Store(tmp_path / "c", sqlite=ROLLBACK) as store:
        statements = []
        with child(read_for_a_while, store.folder) as reader:
            reader.hear()
            connection = store._table._con
            connection.set_trace_callback(statements.append)
            writing = threading.Thread(target=store.put, args=([(name_of(1), b"v")],))
            writing.start()
            while "COMMIT" not in statements:
                assert writing.is_alive()
            with (
                pytest.raises(CacheError, match="held by another"),
                Store(store.folder, patience=0.0) as third,
            ):
                while True:  # the writer that waits lets no more readers in, so that it comes to its turn
                    third.get(name_of(1))
            reader.go()
            writing.join()
        assert statements.count("BEGIN IMMEDIATE") == 1
        assert store._table._con is connection
        assert store.get(name_of(1)) == b"v"


def test_a_file_that_is_replaced_just_before_the_lock_is_taken_gets_nothing(store):
    """Another process recovered it: what is written into the old file would be lost."""
    new, replaced = store.folder / "new", []

    def replace(statement):
        if statement == "BEGIN IMMEDIATE" and not replaced:
            replaced.append(statement)
            database.create(new, FORM)
            database.swap(new, store.folder / "cache.db", aside=True)

    store.put([(name_of(0), b"old")])
    assert store.get(name_of(0)) == b"old"
    store._table._con.set_trace_callback(replace)
    store.put([(name_of(1), b"v")])
    assert replaced
    assert store.get(name_of(1)) == b"v"
    with Store(store.folder) as other:
        assert other.get(name_of(1)) == b"v"


def test_reading_follows_the_file_that_another_process_has_put_in_place(store):
    with Store(store.folder) as other:
        store.put([(name_of(n), value_of(n, 868)) for n in range(1_000)])
        assert other.get(name_of(999)) == value_of(999, 868)
        before = store.folder.joinpath("cache.db").stat().st_ino
        store.remove([name_of(n) for n in range(990)])
        assert store.folder.joinpath("cache.db").stat().st_ino != before
        store.put([(name_of(2_000), b"v")])
        assert other.get(name_of(2_000)) == b"v"
        assert other.get(name_of(1)) is None
        other.put([(name_of(2_001), b"w")])
        assert store.get(name_of(2_001)) == b"w"


def open_and_put(process, folder, number, journal):
    process.wait_for_go()
    with Store(folder, sqlite=journal) as store:
        store.put([(name_of(number), value_of(number))])


@pytest.mark.slow
def test_sixteen_processes_can_open_it_for_the_first_time_at_once(tmp_path, journal):
    from contextlib import ExitStack

    with ExitStack() as stack:
        children = [stack.enter_context(child(open_and_put, tmp_path / "c", n, journal)) for n in range(16)]
        for process in children:
            process.go()
        assert [process.end() for process in children] == [0] * 16
    with Store(tmp_path / "c", sqlite=journal) as store:
        assert store.get_many(name_of(n) for n in range(16)) == {name_of(n): value_of(n) for n in range(16)}


@pytest.mark.slow
def test_many_threads_may_read_while_one_writes(store):
    wrong, stop = [], threading.Event()

    def read():
        draw = random.Random()
        while not stop.is_set():
            numbers = [draw.randrange(100) for _ in range(20)]
            found = store.get_many(name_of(n) for n in numbers) | {
                name_of(n): value for n in numbers[:3] if (value := store.get(name_of(n))) is not None
            }
            wrong.extend(n for n in numbers if found.get(name_of(n), value_of(n)) != value_of(n))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(100):
        store.put([(name_of(n), value_of(n))])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(store) == 100


def use_in_child(process, store, number):
    assert store.get(name_of(0)) == value_of(0)
    store.put([(name_of(number), value_of(number))])
    assert store.get(name_of(number)) == value_of(number)


def test_a_fork_in_the_middle_of_writing_harms_neither_side(store):
    store.put([(name_of(0), value_of(0))])
    stop = threading.Event()

    def write():
        n = 1_000
        while not stop.is_set():
            store.put([(name_of(n), value_of(n, 868))])
            written.append(n)
            n += 1

    written = []
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(1, 7):
            with child(use_in_child, store, number) as process:
                assert process.end() == 0
    finally:
        stop.set()
        thread.join()
    assert len(written) > 0
    expected = {name_of(n): value_of(n) for n in range(7)} | {name_of(n): value_of(n, 868) for n in written}
    assert store.get_many(expected) == expected
    with sqlite3.connect(store.folder / "cache.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


def tell_open_files(process):
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            process.tell("cache.db" in str(descriptor.readlink()))
        except OSError:
            continue


def test_no_connection_is_carried_across_a_fork(store):
    store.put([(name_of(0), value_of(0))])
    with child(tell_open_files) as process:
        assert sum(process.hear_all()) == 0


def test_a_store_that_failed_to_open_lets_others_be_closed_before_a_fork(store, tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/home {tmp_path.resolve()} nfs rw 0 0\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        with pytest.raises(CacheWarning, match="network") as failed:
            Store(tmp_path / "on a network drive", mounts=mounts)
    store.put([(name_of(0), value_of(0))])
    with child(tell_open_files) as process:
        assert sum(process.hear_all()) == 0
    assert failed.tb is not None  # whose frames hold the store that failed


@pytest.mark.slow
def test_a_write_to_a_file_that_is_another_at_each_look_ends_with_an_error(tmp_path, journal):
    """As on a drive that numbers its files anew each time. Meanwhile a fork is not held up."""

    class Unstable(Store):
        def _open(self):
            super()._open()
            copy = self.folder / "copy"
            copy.write_bytes((self.folder / "cache.db").read_bytes())
            copy.chmod(0o600)
            copy.rename(self.folder / "cache.db")

    def put():
        with pytest.raises(CacheError, match="held by another process"):
            store.put([(name_of(1), b"v")])

    with Unstable(tmp_path / "c", sqlite=journal, write_patience=1.0) as store:
        thread = threading.Thread(target=put, daemon=True)
        thread.start()
        with child(lambda process: process.tell(1)) as process:
            assert process.hear() == 1
        thread.join(30)
        assert not thread.is_alive()


def test_a_removed_cache_folder_is_made_again_by_the_next_write(store):
    import shutil

    store.put([(name_of(1), b"v")])
    shutil.rmtree(store.folder)
    store.put([(name_of(2), b"w")])
    assert (store.get(name_of(1)), store.get(name_of(2))) == (None, b"w")


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(CacheError, match="closed"):
        store.get(name_of(1))
    with pytest.raises(CacheError, match="closed"):
        store.put([(name_of(1), b"v")])


def test_a_folder_with_odd_characters_works(tmp_path):
    for odd in ("with space", "per%20cent", "$HOME", "question?mark#hash", "ünï"):
        with Store(tmp_path / odd) as store:
            store.put([(name_of(1), b"v")])
            assert store.get(name_of(1)) == b"v"
        assert (tmp_path / odd / "cache.db").exists()
