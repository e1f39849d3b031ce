import sqlite3
import stat
from dataclasses import replace

import pytest

from qwennb.cache.database import CacheWarning
from qwennb.cache.spending import Spending, Spendings

from .records import child

ONE = Spending(
    "2026-11-21", "a.ipynb", "qwen3.5-plus", "openrouter", requests=1, input=10, output=5, nanos=1_234
)


def test_sums_of_an_account_are_added_where_they_lie(tmp_path):
    spendings = Spendings(tmp_path / "c")
    spendings.add([ONE, ONE, replace(ONE, model="other")])
    spendings.add([replace(ONE, unknown_cost=1, maybe_billed=2)])
    assert Spendings(tmp_path / "c").rows() == [
        replace(ONE, model="other"),
        replace(ONE, requests=3, input=30, output=15, nanos=3_702, unknown_cost=1, maybe_billed=2),
    ]


def test_rows_can_be_asked_for_by_day_notebook_model_and_endpoint(tmp_path):
    spendings = Spendings(tmp_path / "c")
    rows = [
        ONE,
        replace(ONE, day="2026-11-22"),
        replace(ONE, day="2026-12-01", notebook="b.ipynb"),
        replace(ONE, day="2027-01-01", endpoint="vllm:x"),
    ]
    spendings.add(rows)
    assert spendings.rows() == rows
    assert spendings.rows(since="2026-11-22") == rows[1:]
    assert spendings.rows(notebook="b.ipynb") == [rows[2]]
    assert spendings.rows(since="2026-11-22", endpoint="openrouter", model="qwen3.5-plus") == rows[1:3]
    assert spendings.rows(notebook="' OR 1=1 --") == []


def test_asking_makes_no_file(tmp_path):
    assert Spendings(tmp_path / "c").rows() == []
    assert not (tmp_path / "c").exists()


def test_cents_add_up_exactly():
    tenth = replace(ONE, nanos=100_000_000)
    assert (tenth + tenth + tenth).cost == 0.3
    assert replace(ONE, unknown_cost=1) + replace(ONE, nanos=1_000_000_000) == replace(
        ONE, requests=2, input=20, output=10, nanos=1_000_001_234, unknown_cost=1
    )
    with pytest.raises(ValueError, match="two accounts"):
        ONE + replace(ONE, model="other")


def test_the_file_is_for_its_owner_only(tmp_path):
    Spendings(tmp_path / "c").add([ONE])
    assert stat.S_IMODE((tmp_path / "c" / "ledger.sqlite3").stat().st_mode) == 0o600


def test_processes_that_spend_at_once_lose_nothing(tmp_path):
    def spend(process):
        process.wait_for_go()
        for _ in range(20):
            Spendings(tmp_path / "c").add([ONE])

    with child(spend) as one, child(spend) as two, child(spend) as three:
        for process in (one, two, three):
            process.go()
        assert [process.end() for process in (one, two, three)] == [0, 0, 0]
    assert Spendings(tmp_path / "c").rows() == [
        replace(ONE, requests=60, input=600, output=300, nanos=74_040)
    ]


def test_rows_that_are_not_ours_are_left_out(tmp_path):
    spendings = Spendings(tmp_path / "c")
    spendings.add([ONE])
    with sqlite3.connect(tmp_path / "c" / "ledger.sqlite3") as raw:
        raw.execute(
            "INSERT INTO Spending SELECT day, x'00', model, endpoint, 'many', 1, 1, 1.5, 1, 1 FROM Spending"
        )
    raw.close()
    assert spendings.rows() == [ONE]


def test_a_damaged_ledger_is_put_aside_and_sums_begin_anew(tmp_path):
    spendings = Spendings(tmp_path / "c")
    spendings.add([replace(ONE, notebook=f"{n}.ipynb") for n in range(500)])
    path = tmp_path / "c" / "ledger.sqlite3"
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    with pytest.warns(CacheWarning, match="begin anew"):
        assert spendings.rows() == []
    spendings.add([ONE])
    assert spendings.rows() == [ONE]
    assert path.with_name("ledger.sqlite3.corrupt-1").read_bytes() == data
