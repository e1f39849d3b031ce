"""Asking a notebook's questions again elsewhere tells what changed, and replaces nothing."""

from __future__ import annotations

import pytest

from qwennb.cache import Spendings, Store
from tests.notebooks import KEY, Live

pytestmark = pytest.mark.timeout(300)  # several kernels each, on a machine that may be busy
CELLS = (
    "%load_ext qwennb",
    "%qwen_pack working.qwenpack",
    "%%qwen -m flash --into story\nTell a story about seven geese.",
    "%%qwen\nShorten: {{ story }}",
    "import polars as pl\ndf = pl.DataFrame({'n': ['one', 'two', 'three']})",
    "df.qwen.score('n', 'how large, 0 to 1', model='flash', cache='on')['score'].to_list()",
    "df.qwen.classify('n', ['even', 'odd'])['label'].len()",
    "from qwennb import Qwen\nprint(Qwen(model='flash', cache='replay', cache_dir='elsewhere').ask('Say a number'))",
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A notebook that names its model, mode and folder wherever it can, run live; and where its endpoint is."""
    from qwennb.simulator import Simulator

    with Simulator("openrouter", api_key=KEY) as simulator:
        live = Live(tmp_path_factory.mktemp("drift"), simulator)
        made = live.notebook(
            *CELLS[:-1], CELLS[-1].replace("replay", "on").replace(", cache_dir='elsewhere'", "")
        )
        made.write_text(
            made.read_text().replace("cache='on').ask", "cache='replay', cache_dir='elsewhere').ask")
        )
        yield made, live


def kept(live: Live) -> list:
    store = Store(live.cache)
    try:
        return list(store.items())
    finally:
        store.close()


@pytest.mark.slow
def test_another_model_above_every_argument_is_asked_and_nothing_is_replaced(notebook, run):
    path, live = notebook
    pack, answers = path.with_name("working.qwenpack"), kept(live)
    before = pack.read_bytes()
    page = path.with_suffix(".html")
    ran = run(
        "drift",
        str(path),
        "--model",
        "plus",
        "--min-agreement",
        "0.99",
        "--html",
        str(page),
        environ=live.environ,
    )
    assert ran.code == 1, ran.out + ran.err
    assert "qwen3.5-flash at openrouter → qwen3.5-plus at openrouter" in " ".join(ran.out.split())
    assert (
        "number        3        3" in ran.out
        and "choice        3" in ran.out
        and "text          3        3" in ran.out
    )
    assert "Cell 4, answer 1 (text, 78%, asked otherwise: it holds an earlier answer)" in ran.out
    assert "Cell 6 shows something else" in ran.out and "Cell 7 shows" not in ran.out
    assert "The agreement is below 99.0%." in ran.out
    assert (
        page.read_text().startswith("<!doctype html>")
        and "Tell a story about seven geese." in page.read_text()
    )
    assert kept(live) == answers and pack.read_bytes() == before and not path.with_name("elsewhere").exists()
    new = {row.model: row.requests for row in Spendings(live.cache).rows() if row.model == "qwen3.5-plus"}
    assert new == {"qwen3.5-plus": 9}, "what was spent on it is written down"


@pytest.mark.slow
def test_the_same_model_asked_anew_agrees_with_its_pack(notebook, run):
    path, live = notebook
    pack = live.pack(path)
    asked = live.simulator.ledger.count("asked")
    ran = run(
        "drift",
        str(path),
        "--pack",
        str(pack),
        "--min-agreement",
        "1",
        environ={**live.environ, "QWENNB_CACHE_DIR": str(path.parent / "nobody")},
    )
    assert ran.code == 0, ran.out + ran.err
    assert "0 answers of 9 changed; agreement 100.0%" in ran.out
    assert live.simulator.ledger.count("asked") == asked + 9


def test_mistakes_are_told_before_anything_is_asked(run, tmp_path):
    (tmp_path / "n.ipynb").write_text("{}")
    assert "did you mean `temperature`" in run("drift", "n.ipynb", "--set", "temprature=1").err
    assert "out of range" in run("drift", "n.ipynb", "--set", "temperature=9").err
    assert "must be from 0 to 1" in run("drift", "n.ipynb", "--min-agreement", "90").err
    assert "There is no notebook" in run("drift", "no.ipynb").err


def test_a_key_given_for_one_endpoint_never_goes_to_another_that_stands_above(simulate):
    from qwennb.config import Config

    over = {"QWENNB_ABOVE": '{"endpoint": "http://127.0.0.1:1/v1"}'}
    assert Config.load({"endpoint": "openrouter", "api_key": KEY}, environ=over).api_key is None
    own = Config.load(
        {"endpoint": "openrouter", "api_key": KEY}, environ={**over, "QWENNB_API_KEY": "sk-own"}
    )
    assert (
        own.api_key is not None
        and own.api_key.reveal() == "sk-own"
        and own.endpoint == "http://127.0.0.1:1/v1"
    )
