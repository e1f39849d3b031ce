import hashlib
import sqlite3
import subprocess
import sys
import warnings

import pytest

from qwennb.cache.spending import Spending, Spendings
from qwennb.cache.store import Store
from qwennb.errors import CacheError

from .records import name_of, value_of


def make_foreign(path):
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.commit()
    raw.close()


def stamp(offset, number):
    def spoil(path):
        data = bytearray(path.read_bytes())
        data[offset : offset + 4] = number.to_bytes(4, "big")
        path.write_bytes(data)

    return spoil


UNUSABLE = {
    "text": (lambda path: path.write_text("<html>Sign in to the network</html>"), "not a database"),
    "a few bytes": (lambda path: path.write_bytes(b"x"), "not a database"),
    "zeros": (lambda path: path.write_bytes(bytes(20_000)), "not a database"),
    "a spoilt header": (
        lambda path: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
        "not a database",
    ),
    "another program's": (lambda path: (path.unlink(), make_foreign(path)), "another program"),
    "another id": (stamp(68, 7), "another program"),
    "newer": (stamp(60, 2), "has format 2, and this qwennb reads format 1"),
    "much newer": (stamp(60, 99), "has format 99"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("file", ["cache.db", "ledger.sqlite3"])
def test_a_file_that_is_not_ours_is_named_and_left_as_it_is(tmp_path, kind, file):
    folder = tmp_path / "c"
    with Store(folder) as store:
        store.put([(name_of(n), value_of(n, 300)) for n in range(50)])
    Spendings(folder).add([Spending("2026-11-21", "n", "m", "e", 1)])
    spoil, words = UNUSABLE[kind]
    spoil(folder / file)
    (folder / file).chmod(0o600)
    before = hashlib.sha256((folder / file).read_bytes()).digest()
    listing = sorted(p.name for p in folder.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CacheError, match=words) as refused:
            Store(folder) if file == "cache.db" else Spendings(folder).rows()
    assert "move it away" in str(refused.value) or "newer qwennb" in str(refused.value)
    assert str(folder) in str(refused.value)
    assert hashlib.sha256((folder / file).read_bytes()).digest() == before
    assert sorted(p.name for p in folder.iterdir()) == listing


def test_an_empty_file_is_no_loss_and_is_made_anew(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir(mode=0o700)
    (folder / "cache.db").touch(mode=0o600)
    with Store(folder) as store:
        store.put([(name_of(1), b"v")])
        assert store.get(name_of(1)) == b"v"


def test_looking_at_a_file_does_not_let_go_of_the_locks_that_a_store_holds(tmp_path):
    """On POSIX, closing any handle on a file drops every lock that the process has on it."""
    program = (  # not a fork: that one waits for the transaction
        "import sqlite3, sys\n"
        "raw = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "raw.execute('BEGIN IMMEDIATE')\n"
    )
    with Store(tmp_path / "c", sqlite=(3, 40, 1)) as store, store._table.transaction(store._reading, 1):
        with Store(tmp_path / "c", sqlite=(3, 40, 1)) as second:
            assert second.get(name_of(1)) is None
        held = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "c" / "cache.db"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "database is locked" in held.stderr
