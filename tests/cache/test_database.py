import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from qwennb.cache.database import CacheWarning, file_system, journal_mode, lock_folder, safe_folder
from qwennb.cache.spending import Spending, Spendings
from qwennb.cache.store import Store
from qwennb.errors import CacheError

from .records import child, interrupt_at, name_of, value_of

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
C: /mnt/c 9p rw 0 0
/dev/sdb1 /home/local ext4 rw 0 0
drive /content/drive fuse rw 0 0
me@host:/ /ssh fuse.sshfs rw 0 0
tmpfs /mnt/c/over tmpfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path):
    file = tmp_path / "mounts"
    file.write_text(MOUNTS)
    return file


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/me/.local", "nfs4"),
        ("/home/local/me", "ext4"),
        ("/homely", "ext4"),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/c/Users", "9p"),
        ("/mnt/c/over/x", "tmpfs"),
        ("/content/drive/MyDrive", "fuse"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(mounts, folder, kind):
    assert file_system(Path(folder), mounts) == kind


def test_where_the_system_tells_no_mounts_the_folder_counts_as_local(tmp_path):
    assert file_system(tmp_path, tmp_path / "none") == ""
    assert journal_mode(tmp_path, tmp_path / "none", (3, 51, 3)) == "wal"


@pytest.mark.parametrize(
    ("sqlite", "mode"),
    [
        ((3, 40, 1), "persist"),
        ((3, 51, 2), "persist"),
        ((3, 51, 3), "wal"),
        ((3, 60, 0), "wal"),
        ((4, 0, 0), "wal"),
    ],
)
def test_a_write_ahead_log_is_used_only_where_sqlite_is_sound(tmp_path, mounts, sqlite, mode):
    assert journal_mode(tmp_path, mounts, sqlite) == mode


def test_a_network_drive_is_warned_about_and_gets_no_write_ahead_log(tmp_path):
    for kind in ("nfs", "nfs4", "cifs", "9p", "fuse.sshfs"):
        mounts = tmp_path / "mounts"
        mounts.write_text(f"x / {kind} rw 0 0\n")
        with pytest.warns(CacheWarning, match="network") as caught:
            store = Store(tmp_path / "c", mounts=mounts, sqlite=(3, 51, 3))
        assert caught[0].filename == __file__
        with store:
            store.put([(name_of(1), b"v")])
            assert store._table._con.execute("PRAGMA journal_mode").fetchall() == [("persist",)]


def test_a_folder_is_made_for_its_owner_only(tmp_path):
    old = os.umask(0)
    try:
        folder = safe_folder(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o1777, 0o722])
def test_a_folder_that_others_can_write_is_refused_with_what_to_type(tmp_path, mode):
    folder = tmp_path / "c"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CacheError, match=f"chmod 700 '{folder}'"):
        Store(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_can_write_is_refused_with_what_to_type(tmp_path, mode):
    Store(tmp_path / "c").close()
    (tmp_path / "c" / "cache.db").chmod(mode)
    with pytest.raises(CacheError, match="chmod 600"):
        Store(tmp_path / "c")


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
def test_a_link_in_place_of_a_file_is_refused_and_not_followed(tmp_path, suffix):
    Store(tmp_path / "c").close()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    link = tmp_path / "c" / f"cache.db{suffix}"
    link.unlink(missing_ok=True)
    link.symlink_to(precious)
    with pytest.raises(CacheError, match="link"):
        Store(tmp_path / "c")
    assert precious.read_bytes() == b"precious"


def test_a_link_in_place_of_the_lock_is_refused_and_not_followed(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError):
        Store(tmp_path / "c")
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_or_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "c").mkdir()
    os.mkfifo(tmp_path / "c" / "cache.db")
    with pytest.raises(CacheError, match="no plain file"):
        Store(tmp_path / "c")
    (tmp_path / "d" / "cache.db").mkdir(parents=True)
    with pytest.raises(CacheError, match="no plain file"):
        Store(tmp_path / "d")
    (tmp_path / "f").write_text("")
    with pytest.raises(CacheError, match="not a folder"):
        Store(tmp_path / "f")


def test_a_journal_that_names_another_file_is_refused(tmp_path):
    """SQLite would take the named file for a second journal and remove it."""
    Store(tmp_path / "c").close()
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    name = str(victim).encode()
    tail = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    journal = tmp_path / "c" / "cache.db-journal"
    journal.write_bytes(bytes(512) + tail + bytes.fromhex("d9d505f920a163d7"))
    with pytest.raises(CacheError, match="names another file"):
        Store(tmp_path / "c")
    assert victim.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_refused(tmp_path):
    Store(tmp_path / "c").close()
    os.chown(tmp_path / "c" / "cache.db", 65534, -1)
    with pytest.raises(CacheError, match="another user"):
        Store(tmp_path / "c")
    (tmp_path / "d").mkdir(mode=0o700)
    os.chown(tmp_path / "d", 65534, -1)
    with pytest.raises(CacheError, match="another user"):
        Store(tmp_path / "d")


def test_only_one_process_at_a_time_has_the_lock(tmp_path):
    def take(process):
        process.wait_for_go()
        process.tell(1)
        with lock_folder(tmp_path):
            process.tell(2)

    with child(take) as other:
        with lock_folder(tmp_path):
            other.go()
            assert other.hear() == 1
            with pytest.raises(AssertionError, match="nothing"):
                other.hear(0.1)
        assert other.hear() == 2
        assert other.end() == 0


def test_an_interrupt_at_the_lock_leaves_the_folder_to_others(tmp_path):
    def take(process):
        with lock_folder(tmp_path):
            process.tell(1)

    with pytest.raises(KeyboardInterrupt) as interrupt, interrupt_at("flock"), lock_folder(tmp_path):
        raise AssertionError("was not interrupted")
    with child(take) as other:
        assert other.hear() == 1
        assert other.end() == 0
    assert interrupt.tb is not None  # as a notebook keeps the last traceback


# ---- the file ----------------------------------------------------------------------------------------------------


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
            timeout=120,
        )
        assert "database is locked" in held.stderr
