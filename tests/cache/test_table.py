import pickle
import sqlite3

import diskcache
import pytest

from qwennb.cache.database import CacheWarning
from qwennb.cache.store import Store
from qwennb.cache.table import FORM, SETTINGS, BytesDisk, ForeignRow, Table
from qwennb.errors import CacheError

from .records import name_of, value_of


class Bomb:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture
def folder(tmp_path):
    with Store(tmp_path / "c") as store:
        store.put([(name_of(n), value_of(n)) for n in range(3)])
    return tmp_path / "c"


def plant(folder, statement, *arguments):
    raw = sqlite3.connect(folder / "cache.db")
    with raw:
        raw.execute(statement, arguments)
    raw.close()


def use_everything(store):
    """Every way to read, then every way to write."""
    store.get(name_of(1))
    store.get_many([name_of(n) for n in range(3)])
    store.find_many([name_of(1).key])
    list(store.items())
    list(store.names())
    len(store)
    store.put([(name_of(9), b"v")])
    store.put([(name_of(1), b"anew")])
    store.put([(name_of(1), b"newer"), (name_of(10), b"w")])
    store.remove([name_of(2)])


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
def test_a_planted_pickle_is_never_opened(folder, tmp_path):
    mark = tmp_path / "mark"
    plant(folder, "UPDATE Cache SET mode = 4, value = ?", pickle.dumps(Bomb(mark)))
    with Store(folder) as store:
        assert store.get_many([name_of(n) for n in range(3)]) == {}
        use_everything(store)
        assert store.get(name_of(1)) == b"newer"
        assert store.quarantine_count == 3
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
def test_a_planted_pickled_key_is_never_opened(folder, tmp_path):
    mark = tmp_path / "mark"
    plant(
        folder, "INSERT INTO Cache(key, raw, mode, value) VALUES (?, 0, 1, x'00')", pickle.dumps(Bomb(mark))
    )
    with Store(folder) as store:
        assert list(store.names()) == sorted((name_of(n) for n in range(3)), key=lambda name: name.text)
        use_everything(store)
        with pytest.raises(ForeignRow):
            list(store._table)
    assert not mark.exists()


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4, 9])
@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
def test_a_file_that_a_row_names_is_neither_read_nor_removed(folder, tmp_path, mode):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    plant(folder, "UPDATE Cache SET mode = ?, filename = '../secret.txt', value = NULL", mode)
    with Store(folder) as store:
        assert store.get(name_of(1)) is None
        assert store.get_many([name_of(n) for n in range(3)]) == {}
        use_everything(store)
        assert store.get(name_of(1)) == b"newer"
    assert secret.read_text() == "secret"


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
@pytest.mark.parametrize("value", ["text", 7, 1.5, None, b"", b"short"])
def test_a_value_of_another_kind_is_a_miss(folder, value):
    plant(folder, "UPDATE Cache SET value = ?", value)
    with Store(folder) as store:
        assert store.get_many([name_of(n) for n in range(3)]) == {}
        use_everything(store)
        assert store.quarantine_count == 3


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
def test_keys_of_other_kinds_do_no_harm(folder):
    for key in (b"\xff\xfe", b"x" * 80, name_of(1).text.encode(), 7, 2.5, "not a name", "z" * 200):
        plant(folder, "INSERT INTO Cache(key, raw, mode, value) VALUES (?, 1, 1, x'00')", key)
    plant(folder, "INSERT INTO Cache(key, raw, mode, value) VALUES (CAST(x'fffe' AS TEXT), 1, 1, x'00')")
    spelled = name_of(1).key.encode().hex() + "40ff"
    plant(
        folder, f"INSERT INTO Cache(key, raw, mode, value) VALUES (CAST(x'{spelled}' AS TEXT), 1, 1, x'00')"
    )
    with Store(folder) as store:
        assert dict(store.items()) == {name_of(n): value_of(n) for n in range(3)}
        assert store.find_many([name_of(1).key]) == {name_of(1).key: {name_of(1): value_of(1)}}
        use_everything(store)
        assert store.quarantine_count == 1  # the one that a search for its key came upon


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
@pytest.mark.parametrize("claim", ["mode = 4", "mode = 0", "filename = 'x'"])
def test_a_row_that_claims_to_be_something_else_is_a_miss_even_with_a_right_seal(folder, claim):
    plant(folder, f"UPDATE Cache SET {claim}")
    with Store(folder) as store:
        assert store.get(name_of(1)) is None
        assert store.get_many([name_of(n) for n in range(3)]) == {}
        assert store.find_many([name_of(1).key]) == {}


def test_settings_in_the_file_are_not_obeyed(folder):
    hostile = {
        "cull_limit": 10,
        "size_limit": 1,
        "eviction_policy": "least-recently-stored",
        "disk_directory": "/",
        "disk_min_file_size": 0,
        "sqlite_journal_mode": "off",
        "sqlite_synchronous": 0,
        "sqlite_mmap_size": 2**30,
        "sqlite_writable_schema": 1,
        "_directory": "/",
        "close": 1,
        "get": 1,
        "_disk": "x",
    }
    for name, value in hostile.items():
        plant(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)
    with Store(folder, sqlite=(3, 40, 1)) as store:
        records = {name_of(n): value_of(n) for n in range(100)}
        store.put(records.items())
        assert store.get_many(records) == records
        assert {p.name for p in folder.iterdir()} == {"cache.db", "cache.db-journal", "lock"}
        pragmas = {
            "journal_mode": "persist",
            "synchronous": 2,
            "mmap_size": 0,
            "trusted_schema": 0,
            "cell_size_check": 1,
        }
        con = store._table._con
        assert {p: con.execute(f"PRAGMA {p}").fetchall()[0][0] for p in pragmas} == pragmas
        assert con.execute("PRAGMA cache_spill").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE extra (x)",
        "DROP INDEX Cache_key_raw",
        "ALTER TABLE Cache ADD COLUMN extra",
    ],
)
def test_a_file_with_anything_of_its_own_in_it_is_refused(folder, statement):
    plant(folder, statement)
    with pytest.raises(CacheError, match="did not make"):
        Store(folder)


def test_the_form_is_diskcaches_own(tmp_path):
    diskcache.Cache(tmp_path / "theirs", **SETTINGS).close()
    raw = sqlite3.connect(tmp_path / "theirs" / "cache.db")
    theirs = {sql for (sql,) in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    settings = dict(raw.execute("SELECT key, value FROM Settings"))
    raw.close()
    assert {sql for sql in FORM.schema if "Quarantine" not in sql} == theirs
    Store(tmp_path / "ours").close()
    raw = sqlite3.connect(tmp_path / "ours" / "cache.db")
    assert dict(raw.execute("SELECT key, value FROM Settings")) == settings
    raw.close()


def test_plain_diskcache_could_open_the_file_and_would_forget_nothing(folder):
    with diskcache.Cache(folder) as plain:
        assert (plain.eviction_policy, plain.cull_limit, plain.size_limit) == ("none", 0, 2**62)
        assert len(plain) == 3
        assert plain[name_of(1).text].endswith(value_of(1))
    with Store(folder) as store:
        assert store.get(name_of(1)) == value_of(1)


def test_the_disk_takes_bytes_under_text_and_gives_nothing_else(tmp_path):
    disk = BytesDisk(str(tmp_path))
    assert disk.put("key") == ("key", True)
    assert disk.fetch(1, None, bytes(disk.store(b"value", False)[3]), False) == b"value"
    for key in (b"key", 1, ("a",), None):
        with pytest.raises(TypeError):
            disk.put(key)
    for value, read in (("text", False), (1, False), ({}, False), (b"x", True)):
        with pytest.raises(TypeError):
            disk.store(value, read)
    for row in ((4, None, b"x", False), (1, "f", b"x", False), (2, None, b"x", False), (1, None, "x", False)):
        with pytest.raises(ForeignRow):
            disk.fetch(*row)
    for call in (
        lambda: disk.get(b"x", 0),
        lambda: disk.get("x", 0),
    ):
        with pytest.raises(ForeignRow):
            call()


def test_diskcache_itself_can_not_write_outside_of_a_transaction(folder):
    table = Table(folder / "cache.db", "persist")
    with pytest.raises(RuntimeError, match="outside"):
        table.set("key", b"value")
    with pytest.raises(RuntimeError, match="outside"):
        table.clear()
    table.disconnect()


def test_what_reads_can_not_write(folder):
    with Store(folder) as store, pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.select("DELETE FROM Cache")


def test_an_answer_that_is_kept_alone_goes_in_by_diskcaches_own_set(folder):
    with Store(folder) as store:
        statements = []
        store._table._con.set_trace_callback(statements.append)
        store.put([(name_of(7), b"alone")])
        assert any(s.startswith("SELECT rowid, filename FROM Cache") for s in statements)
        statements.clear()
        store.put([(name_of(8), b"one"), (name_of(9), b"other")])
        assert not any(s.startswith("SELECT rowid, filename FROM Cache") for s in statements)
        store._table._con.set_trace_callback(None)
        assert [store.get(name_of(n)) for n in (7, 8, 9)] == [b"alone", b"one", b"other"]


def test_one_damaged_answer_is_told_once(folder):
    plant(folder, "UPDATE Cache SET value = x'00'")
    with Store(folder) as store:
        with pytest.warns(CacheWarning) as caught:
            for _ in range(3):
                store.get(name_of(1))
                store.get(name_of(2))
        assert len(caught) == 1
        assert store.problems == {"damaged answer": 2}
