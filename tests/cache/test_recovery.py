import hashlib
import random
import shutil
import sqlite3
import warnings

import pytest

from qwennb.cache.database import CacheWarning
from qwennb.cache.store import Store
from qwennb.cache.table import FORM
from qwennb.errors import CacheError

from .records import child, name_of, value_of

RECORDS = {name_of(n): value_of(n) for n in range(150)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "c"
    with Store(folder) as store:
        for some in range(0, 150, 10):
            store.put(list(RECORDS.items())[some : some + 10])
    return folder


def copied(sound, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(sound, to)
    return to / "cache.db"


def examine(folder):
    """Read in every way, write, and read again; how many right answers there were at the end. Wrong ones: never."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        try:
            store = Store(folder)
        except CacheError:
            return None
        with store:
            for seen in (
                {name: value for name in RECORDS if (value := store.get(name)) is not None},
                store.get_many(RECORDS),
                dict(store.items()),
                {
                    n: v
                    for found in store.find_many([name.key for name in RECORDS]).values()
                    for n, v in found.items()
                },
            ):
                assert seen.items() <= RECORDS.items()
            store.put([(name_of(1_000), b"after the damage")])
            assert store.get(name_of(1_000)) == b"after the damage"
            kept = store.get_many(RECORDS)
            assert kept.items() <= RECORDS.items()
            return len(kept)


def flip(path, seed):
    draw = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 200)):
        data[draw.randrange(len(data))] ^= draw.randint(1, 255)
    path.write_bytes(data)


def never_wrong(sound, tmp_path, seeds):
    kept, refused = 0, 0
    for seed in seeds:
        flip(copied(sound, tmp_path / "c"), seed)
        whole = examine(tmp_path / "c")
        refused += whole is None
        kept += whole or 0
    return kept / (len(RECORDS) * len(seeds)), refused


@pytest.mark.slow
def test_flipped_bytes_never_make_a_wrong_answer(sound, tmp_path, record_property):
    share, refused = never_wrong(sound, tmp_path, range(18))
    record_property("kept_share", share)
    record_property("refused", refused)
    assert share > 0.3
    assert refused < 10


@pytest.mark.nightly
def test_flipped_bytes_never_make_a_wrong_answer_in_a_thousand_files(sound, tmp_path, record_property):
    share, refused = never_wrong(sound, tmp_path, range(1_000, 2_000))
    record_property("kept_share", share)
    record_property("refused", refused)
    assert share > 0.3


@pytest.mark.parametrize("every", [53, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_file_cut_short_gives_what_is_left_of_it(sound, tmp_path, every):
    whole = (sound / "cache.db").stat().st_size
    before = 0
    for length in range(4096, whole + 1, 4096 * every):
        path = copied(sound, tmp_path / "c")
        with path.open("r+b") as file:
            file.truncate(length)
        kept = examine(tmp_path / "c")
        assert kept is not None
        assert (
            kept >= before - 3
        )  # the longer the file, the more there is, but for a page of the tree here and there
        before = max(before, kept)
    assert before > 100


def test_damage_is_told_and_the_damaged_file_kept(sound, tmp_path):
    path = copied(sound, tmp_path / "c")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 4096 * 4096)
    damaged = hashlib.sha256(path.read_bytes()).digest()
    with pytest.warns(CacheWarning, match=r"recovered \d+ of 150 answers") as caught:
        store = Store(tmp_path / "c")
    assert caught[0].filename == __file__
    with store:
        assert 50 < len(store) < 150
        assert store.problems == {"file recovered": 1}
        aside = tmp_path / "c" / "cache.db.corrupt-1"
        assert hashlib.sha256(aside.read_bytes()).digest() == damaged
        assert {p.name.removesuffix("-journal") for p in (tmp_path / "c").iterdir()} == {
            "cache.db",
            "cache.db.corrupt-1",
            "lock",
        }
    with path.open("r+b") as file:
        file.truncate(20 * 4096)
    with pytest.warns(CacheWarning, match="recovered"):
        Store(tmp_path / "c").close()
    assert (tmp_path / "c" / "cache.db.corrupt-2").exists()


def test_a_spoilt_first_page_costs_nothing_but_itself(sound, tmp_path):
    path = copied(sound, tmp_path / "c")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(1).randbytes(3_996))
    with pytest.warns(CacheWarning, match="recovered 150 of 150"), Store(tmp_path / "c") as store:
        assert store.get_many(RECORDS) == RECORDS


def test_damage_that_reading_meets_is_mended_at_once(sound, tmp_path):
    for read in (
        lambda store: {name: store.get(name) for name in RECORDS},
        lambda store: store.get_many(RECORDS),
        lambda store: dict(store.items()),
        lambda store: {
            n: v for found in store.find_many(n.key for n in RECORDS).values() for n, v in found.items()
        },
    ):
        path = copied(sound, tmp_path / "c")
        spoil_the_index(path)
        with Store(tmp_path / "c") as store:
            with pytest.warns(CacheWarning, match="recovered 150 of 150"):
                assert read(store) == RECORDS
            assert store.problems == {"file recovered": 1}
            store.put([(name_of(1_000), b"v")])
            assert store.get(name_of(1_000)) == b"v"


def test_a_damaged_file_in_the_place_of_a_sound_one_is_mended_by_the_next_write(sound, tmp_path):
    """The read takes it for one that somebody recovered, and finds it damaged all the same."""
    path = copied(sound, tmp_path / "c")
    with Store(tmp_path / "c") as store:
        spoil_the_index(copied(sound, tmp_path / "damaged"))
        (tmp_path / "damaged" / "cache.db").rename(path)
        assert store.get(name_of(1)) is None
        with pytest.warns(CacheWarning, match="recovered 150 of 150"):
            store.put([])
        assert store.get_many(RECORDS) == RECORDS


def test_what_another_process_writes_meanwhile_is_not_lost_by_recovering(sound, tmp_path):
    """The one that reads can't have the file to itself: it counts a miss, and the next write mends."""
    from .test_store import hold_the_lock

    path = copied(sound, tmp_path / "c")
    with child(hold_the_lock, tmp_path / "c", "IMMEDIATE") as other:
        other.hear()
        spoil_the_index(path)
        with Store(tmp_path / "c", patience=0.05) as store:
            assert store.get(name_of(1)) is None
            assert not (tmp_path / "c" / "cache.db.corrupt-1").exists()
            other.go()
            assert other.end() == 0
            with pytest.warns(CacheWarning, match="recovered 150 of 150"):
                store.put([(name_of(1_000), b"v")])
            assert store.get_many(RECORDS) == RECORDS


def spoil_the_index(path):
    data = bytearray(path.read_bytes())
    fresh = sqlite3.connect(":memory:")
    for statement in FORM.schema:
        fresh.execute(statement)
    ((root,),) = fresh.execute("SELECT rootpage FROM sqlite_master WHERE name = 'Cache_key_raw'")
    fresh.close()
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path.write_bytes(data)


def put_when_told(process, folder):
    with Store(folder) as store:
        store.put([(name_of(2_000), b"before")])
        process.tell()
        process.wait_for_go()
        store.put([(name_of(2_001), b"after")])
        assert store.get(name_of(2_001)) == b"after"


def test_a_process_that_has_the_old_file_open_writes_into_the_recovered_one(sound, tmp_path):
    path = copied(sound, tmp_path / "c")
    with child(put_when_told, tmp_path / "c") as other:
        other.hear()
        with path.open("r+b") as file:  # spoil the index that look-ups go through
            file.seek(4 * 4096)
            file.write(bytes(4096))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            with Store(tmp_path / "c") as store:
                store._damaged = True
                store.put([(name_of(3_000), b"mine")])
                other.go()
                assert other.end() == 0
                assert store.get(name_of(2_001)) == b"after"
                assert store.get(name_of(2_000)) == b"before"
    assert (tmp_path / "c" / "cache.db.corrupt-1").exists()


def test_a_journal_left_by_a_removed_file_does_not_spoil_the_next(tmp_path):
    with Store(tmp_path / "c") as store:
        store.put([(name_of(1), b"v")])
    (tmp_path / "c" / "cache.db").unlink()
    (tmp_path / "c" / "cache.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(5_000))
    with Store(tmp_path / "c") as store:
        store.put([(name_of(2), b"w")])
        assert store.get(name_of(2)) == b"w"
