import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from qwennb.cache.database import CacheWarning
from qwennb.cache.memory_store import MemoryStore, open_store
from qwennb.cache.store import Store
from qwennb.errors import CacheError

from .records import child, name_of
from .test_durability import inject, strace_or_skip


def test_where_a_folder_can_be_had_it_is_used(tmp_path):
    with open_store(tmp_path / "c") as store:
        store.put([(name_of(1), b"v")])
    with open_store(tmp_path / "c") as store:
        assert type(store) is Store
        assert store.get(name_of(1)) == b"v"


@pytest.mark.parametrize("there", [False, True])
def test_a_read_only_home_means_memory_and_one_warning(there):
    home = Path(tempfile.mkdtemp())
    folder = home / "c"

    def work(process):
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.warns(CacheWarning, match="only until this session ends") as caught:
            store = open_store(folder)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        store.put([(name_of(1), b"v")])
        assert store.get(name_of(1)) == b"v"

    try:
        if there:
            folder.mkdir(mode=0o755)
            if os.geteuid() == 0:
                os.chown(folder, 65534, -1)
            folder.chmod(0o555)
        home.chmod(0o555)
        with child(work) as process:
            assert process.end() == 0
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)


def test_an_unsafe_folder_is_refused_all_the_same(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o777)
    with pytest.raises(CacheError, match="other users"):
        open_store(tmp_path / "c")


def test_a_foreign_file_is_refused_all_the_same(tmp_path):
    (tmp_path / "c").mkdir(mode=0o700)
    (tmp_path / "c" / "cache.db").write_text("something else")
    with pytest.raises(CacheError, match="not a database"):
        open_store(tmp_path / "c")


def test_memory_holds_what_it_is_given_until_it_is_closed():
    with MemoryStore() as store:
        store.put([(name_of(1), b"v")])
        assert len(store) == 1
    assert len(store) == 0


def use_what_there_is(process, folder, held):
    process.wait_for_go()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        store = open_store(folder)
        with store:
            store.put([(name_of(1), b"new")])
            assert store.get(name_of(1)) == b"new"
            assert store.get(name_of(0)) == (b"old" if held else None)
            assert dict(store.get_each([name_of(0).key], "openrouter")) == (
                {name_of(0).key: b"old"} if held else {}
            )
    process.tell(len(told))
    process.tell(store.lasts)


@pytest.mark.parametrize("held", [False, True], ids=["empty", "with an answer"])
@pytest.mark.parametrize("fault", ["flock:error=ENOLCK", "flock:error=EOPNOTSUPP", "flock:error=ENOSYS"])
def test_a_file_system_without_locks_means_memory_above_what_is_there(tmp_path, fault, held):
    strace_or_skip()
    if held:
        with Store(tmp_path / "c") as store:
            store.put([(name_of(0), b"old")])
    assert inject(fault, use_what_there_is, tmp_path / "c", held) == ([1, False], 0)


@pytest.mark.parametrize(
    "fault", ["pwrite64:error=EIO", "pwrite64:error=ENOSPC", "fdatasync:error=EIO", "fsync:error=EIO"]
)
def test_a_disk_that_fails_when_a_store_is_made_means_memory_and_one_warning(tmp_path, fault):
    strace_or_skip()
    assert inject(fault, use_what_there_is, tmp_path / "c", False) == ([1, False], 0)


@pytest.mark.parametrize("in_place", ["a file", "a file above"])
def test_a_file_in_the_folders_place_means_memory(tmp_path, in_place):
    (tmp_path / "f").write_text("I was here first")
    folder = tmp_path / "f" if in_place == "a file" else tmp_path / "f" / "c"
    with pytest.warns(CacheWarning, match="only until this session ends"), open_store(folder) as store:
        store.put([(name_of(1), b"v")])
        assert store.get(name_of(1)) == b"v"
    assert (tmp_path / "f").read_text() == "I was here first"


def test_memory_above_a_folder_shows_both_and_its_own_wins(tmp_path):
    with Store(tmp_path / "c") as below:
        below.put([(name_of(0), b"below"), (name_of(1), b"below"), (name_of(1, "vllm"), b"other")])
        store = MemoryStore(tmp_path / "c", is_readable=True)
        store.put([(name_of(1), b"own"), (name_of(2), b"own")])
        names = [name_of(0), name_of(1), name_of(1, "vllm"), name_of(2)]
        values = [b"below", b"own", b"other", b"own"]
        assert [store.get(name) for name in names] == values
        assert store.get_many(names) == dict(zip(names, values, strict=True))
        assert dict(store.items()) == store.get_many(names) and len(store) == 4
        both = {name_of(1): b"own", name_of(1, "vllm"): b"other"}
        found = store.find_many([name_of(1).key])
        assert found == {name_of(1).key: both} and list(found[name_of(1).key]) == list(both)
        assert dict(store.get_each([n.key for n in names], "openrouter")) == {
            name_of(0).key: b"below", name_of(1).key: b"own", name_of(2).key: b"own",
        }  # fmt: skip
        with pytest.raises(CacheError, match="nothing was removed"):
            store.remove([name_of(0)])
        assert store.remove([name_of(2)]) == 1 and len(store) == 3


def test_a_store_in_memory_can_do_all_that_a_store_can():
    """Every public method, for a new one must not meet what only a folder has."""
    calls = {
        "get": (name_of(1),), "get_many": ([name_of(1)],), "get_each": ([name_of(1).key], "openrouter"),
        "find_many": ([name_of(1).key],), "names": (), "items": (), "size": (),
        "put": ([(name_of(1), b"v")],), "remove": ([name_of(1)],), "close": (),
    }  # fmt: skip
    public = {name for name, value in vars(Store).items() if callable(value) and not name.startswith("_")}
    assert public == set(calls)
    store = MemoryStore()
    for name, given in calls.items():
        made = getattr(store, name)(*given)
        list(made) if hasattr(made, "__next__") else made
    assert (len(store), store.quarantine_count) == (0, 0)
