"""What qwennb 0.1 left behind is read as it was: a cache folder, its ledger, an order of a batch, a pack.

`golden_0_1.tar.gz` was written by the last code of 0.1 against the simulator of an openrouter; `expected.json` in it says
what was answered then. It is never made anew.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from qwennb import Pack, Qwen
from qwennb.cache import BatchOrders, Spendings, Store

from .records import name_of


def half(number: int) -> int:
    """Half of a number."""
    return number // 2


@pytest.fixture
def home(tmp_path):
    with tarfile.open(Path(__file__).with_name("golden_0_1.tar.gz")) as golden:
        golden.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def expected(home):
    return json.loads((home / "expected.json").read_text())


def test_every_kind_of_answer_of_a_cache_of_0_1_is_recalled(home, expected):
    qwen = Qwen(model="qwen3.5-flash", endpoint="openrouter", cache="replay", cache_dir=home / "cache")
    chat = qwen.chat("golden")
    chat.ask("One.")
    frame = pl.DataFrame({"review": ["good", "bad", "good", None]})
    column = frame.qwen.classify("review", ["positive", "negative"], client=qwen, progress=False)
    asked = frame.qwen.ask("Say {{ review }}", client=qwen, progress=False)
    recalled = {
        "plain": qwen.ask("Say hello to {{ who }}.", who="Ada").text,
        "system": qwen.ask("And you?", system="Be short.", temperature=0.5, seed=7, max_tokens=200).text,
        "sample": qwen.ask("Say hello to Ada.", sample=2).text,
        "choices": qwen.ask("Is it good?", choices=["yes", "no"]).data,
        "schema": qwen.ask("Who is it?", schema="name, age int").data,
        "thinking": qwen.ask("Think.", thinking=True).text,
        "tool": qwen.ask("What is half of 84?", tools=[half]).text,
        "chat": chat.ask("Two.").text,
        "column": column.to_dict(as_series=False),
        "column_ask": asked.to_dict(as_series=False),
        "picture": qwen.ask("What is this? {{ it }}", it=Image.new("RGB", (2, 2), "red")).text,
    }
    assert recalled == {name: expected[name] for name in recalled}


@pytest.mark.parametrize("sqlite", [(3, 40, 1), (3, 51, 3)], ids=["persist", "wal"])
def test_a_store_of_0_1_holds_what_it_held_and_goes_on(home, expected, sqlite):
    for _ in range(2):
        with Store(home / "cache", sqlite=sqlite) as store:
            held = {name.text: hashlib.sha256(value).hexdigest() for name, value in store.items()}
            held.pop(name_of(1).text, None)
            assert held == expected["names"]
            assert (store.quarantine_count, store.problems) == (0, {})
            store.put([(name_of(1), b"new")])
    with Store(home / "cache", sqlite=sqlite) as store:
        assert store.get(name_of(1)) == b"new"
        assert len(store) == len(expected["names"]) + 1


def test_the_sums_and_the_orders_of_0_1_are_read(home, expected):
    rows = Spendings(home / "cache").rows()
    spent = [
        [r.day, r.model, r.endpoint, r.requests, r.input, r.output, r.nanos, r.unknown_cost] for r in rows
    ]
    assert spent == expected["spent"]
    orders = BatchOrders(home / "cache")
    (order,) = orders.under_way()
    assert (order.batch, order.questions, sorted(order.keys)) == ("batch-1", 3, expected["order"])
    assert [request.key for request in orders.questions(order)] == expected["order"]


@pytest.mark.parametrize("file", ["golden.qwenpack", "golden.qwenpack.zst"])
def test_a_pack_of_0_1_holds_what_it_held(home, expected, file):
    pack = Pack.read(home / file)
    held = {name.text: hashlib.sha256(value).hexdigest() for name, value in pack.records.items()}
    assert held == expected["names"]
    assert pack.root == json.loads((home / "golden.qwenpack").read_text().split("\n")[0])["root"]
    pack.write(home / "again.qwenpack")
    again = Pack.read(home / "again.qwenpack")
    assert (again.records, again.root) == (pack.records, pack.root)
