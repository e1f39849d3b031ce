"""Files of our own: whole or not at all, for their owner alone, locked against other processes."""

import os
import subprocess
import sys
import threading

import pytest

from qwennb.files import lock, make_private_folder, open_lock_file, open_private, replace_file

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")


def mode_of(path):
    return oct(path.stat().st_mode & 0o777)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_in_one_step(tmp_path, durable):
    file = tmp_path / "notes"
    replace_file(file, b"old", durable=durable)
    replace_file(file, iter([b"n", b"ew"]), durable=durable)
    assert file.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


def test_what_breaks_off_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    def pieces():
        yield b"half"
        raise OSError(28, "No space left on device")

    file = tmp_path / "notes"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, pieces())
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


def test_two_threads_that_write_one_file_at_once_each_write_it_whole(tmp_path):
    file, both, failed = tmp_path / "notes", threading.Barrier(2), []

    def pieces(text):
        both.wait(30)  # both drafts are open now
        yield text

    def write(text):
        try:
            replace_file(file, pieces(text))
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and file.read_bytes() in (b"one", b"two")
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


@posix
def test_a_private_file_is_its_owners_alone_and_another_keeps_its_permissions(tmp_path, umask):
    private, shared, kept = (tmp_path / name for name in ("private", "shared", "kept"))
    kept.write_bytes(b"")
    kept.chmod(0o640)
    replace_file(private, b"")
    replace_file(shared, b"", private=False)
    replace_file(kept, b"", private=False)
    assert [mode_of(path) for path in (private, shared, kept)] == ["0o600", "0o644", "0o640"]
    make_private_folder(tmp_path / "folder")
    open_private(tmp_path / "opened", "ab").close()
    assert [mode_of(tmp_path / name) for name in ("folder", "opened")] == ["0o700", "0o600"]


@posix
def test_nothing_is_written_through_a_link(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "link", "ab")
    replace_file(tmp_path / "link", b"new")
    assert other.read_bytes() == b"precious" and (tmp_path / "link").read_bytes() == b"new"


HOLD = """
import sys
from pathlib import Path
from qwennb.files import lock, open_private
file = open_private(Path(sys.argv[1]), "ab")
print(lock(file, wait=False), flush=True)
sys.stdin.read()
"""


def test_a_lock_keeps_other_processes_out_until_its_own_has_ended(tmp_path):
    def hold():
        return subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with hold() as first, open_private(tmp_path / "lock", "ab") as file:
        assert first.stdout.readline() == "True\n"
        assert not lock(file, wait=False)
        first.kill()
        assert lock(file)  # which waits until the system has let go
        with hold() as second:
            assert second.stdout.readline() == "False\n"
            second.stdin.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_lock_is_not_inherited_by_a_forked_process(tmp_path):
    """A child that lives on keeps nobody out, and waits for nobody but its parent."""
    ours = open_lock_file(tmp_path / "lock")
    assert lock(ours)
    (reader, writer), (begun, begin) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writer)
        os.write(begin, b"1")
        os.read(reader, 1)  # until the parent has let go, and has looked whether that counts
        with open_lock_file(tmp_path / "lock") as file:
            os._exit(0 if lock(file, wait=False) else 1)
    os.close(reader)
    assert os.read(begun, 1) == b"1"
    ours.close()
    with open_lock_file(tmp_path / "lock") as file:
        assert lock(file, wait=False)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
