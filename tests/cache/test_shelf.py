import os
import shutil
import tempfile
from pathlib import Path

import pytest

from qwennb.cache.place import CacheWarning
from qwennb.cache.shelf import MemoryStore, open_store
from qwennb.cache.store import Store
from qwennb.errors import CacheError

from .records import child, name_of


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
