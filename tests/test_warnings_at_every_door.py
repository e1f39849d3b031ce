"""Every warning can be imported from one place, and stands at the user's own line, whatever door it comes through."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import openai
import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb import errors
from qwennb.errors import CacheWarning, ProjectWarning, QwenFrameWarning, QwenWarning
from qwennb.simulator import Reply

CUT = Reply("Once upon a time there was a rive", finish_reason="length", usage={"completion_tokens": 8})
ASK = {"max_tokens": 8, "thinking": False}
FRAME = pl.DataFrame({"text": ["a", "b"]})
PROMPT = "Tell: {{ text }}"


def read_stream(qwen):
    for piece in qwen.stream("Tell", **ASK):
        assert piece


def ask_openai(qwen):
    body = {"model": "qwen3.5-flash", "messages": [{"role": "user", "content": "Tell"}], "max_tokens": 8}
    return qwen.openai.chat.completions.create(**body, extra_body={"enable_thinking": False})


async def gather(qwen):
    return await asyncio.gather(qwen.ask_async("Tell", **ASK))


async def collect(plan):
    return await plan.collect_async()


def ask_in_threads(qwen):
    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(lambda text: qwen.ask(text, **ASK), ["Tell"]))


def ask_in_bare_threads(qwen):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(qwen.ask, "Tell", **ASK).result()


def lazy(qwen):
    return FRAME.lazy().qwen.ask(PROMPT, client=qwen, **ASK)


def expression(qwen):
    return pl.col("text").qwen.ask("Tell: {{ it }}", client=qwen, **ASK)


# Each stands on one line, or names the function above whose line is meant.
DOORS = {
    "ask": lambda qwen: qwen.ask("Tell", **ASK),
    "ask_many": lambda qwen: qwen.ask_many(["Tell"], **ASK),
    "stream": read_stream,
    "chat": lambda qwen: qwen.chat().ask("Tell", **ASK),
    "openai": ask_openai,
    "await": lambda qwen: asyncio.run(qwen.ask_async("Tell", **ASK)),
    "await in a chat": lambda qwen: asyncio.run(qwen.chat().ask_async("Tell", **ASK)),
    "gather": lambda qwen: asyncio.run(gather(qwen)),
    "a function in a thread": ask_in_threads,
    "a thread": ask_in_bare_threads,
    "column": lambda qwen: FRAME.qwen.ask(PROMPT, client=qwen, **ASK),
    "expression": lambda qwen: FRAME.select(expression(qwen)),
    "lazy": lambda qwen: lazy(qwen).collect(),
    "lazy, streaming": lambda qwen: lazy(qwen).collect(engine="streaming"),
    "lazy, all": lambda qwen: pl.collect_all([lazy(qwen)]),
    "lazy, one field": lambda qwen: lazy(qwen).select("answer").head(1).collect(),
    "lazy, async": lambda qwen: asyncio.run(collect(lazy(qwen))),
    "lazy, sink": lambda qwen: lazy(qwen).sink_csv(sys.stderr.buffer),
    "pandas": lambda qwen: qwennb.ask(pd.DataFrame({"text": ["a"]}), PROMPT, client=qwen, **ASK),
}


def place_of(door):
    """The file and the lines of a door."""
    lines, first = inspect.getsourcelines(DOORS[door])
    return __file__, range(first, first + len(lines))


@pytest.mark.parametrize("door", DOORS)
def test_a_warning_stands_at_the_line_that_asked(simulate, client, door):
    qwen = client(simulate(script=lambda asked: CUT))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        DOORS[door](qwen)
    ours = [one for one in told if issubclass(one.category, QwenWarning)]
    file, lines = place_of(door)
    assert ours and all(one.filename == file and one.lineno in lines for one in ours), [
        (one.filename, one.lineno, str(one.message)) for one in ours
    ]


@contextlib.contextmanager
def unwrapped(door):
    """Before 3.15 the openai package makes an APIConnectionError of whatever is raised below it; ours is its cause."""
    try:
        yield
    except openai.APIConnectionError as error:
        if door != "openai" or tuple(map(int, openai.__version__.split(".")[:2])) >= (3, 15):
            raise
        raise error.__cause__ from None


@pytest.mark.parametrize("door", DOORS)
def test_a_warning_made_an_error_is_raised_as_itself_and_the_answer_is_kept(simulate, client, door):
    sim = simulate(script=lambda asked: CUT)
    qwen = client(sim)
    with warnings.catch_warnings():
        warnings.simplefilter("error", QwenWarning)
        with pytest.raises(QwenWarning, match="cut at max_tokens=8"), unwrapped(door):
            DOORS[door](qwen)
    asked = sim.ledger.count("asked")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QwenWarning)
        DOORS[door](qwen)
    assert sim.ledger.count("asked") == asked


def test_every_warning_is_in_one_place_and_the_old_places_hold():
    from qwennb import cache, client, frames

    ours = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Warning)}
    assert ours == {QwenWarning, QwenFrameWarning, CacheWarning, ProjectWarning}
    assert all(issubclass(one, QwenWarning) and issubclass(one, UserWarning) for one in ours)
    assert {one.__name__ for one in ours} <= set(errors.__all__)
    assert client.QwenWarning is QwenWarning
    assert frames.QwenFrameWarning is QwenFrameWarning
    assert cache.CacheWarning is cache.database.CacheWarning is CacheWarning


def run(tmp_path, code, *flags):
    """What Python says of *code* in a file of its own."""
    script = tmp_path / "analysis.py"
    script.write_text(code)
    told = subprocess.run([sys.executable, *flags, str(script)], cwd=tmp_path, capture_output=True, text=True)
    return told.stderr


@pytest.mark.slow
def test_what_a_project_sets_is_told_at_the_users_line_and_can_be_filtered(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.qwennb]\ntimeout = 7\n")
    code = "import qwennb\n\nqwen = qwennb.Qwen()\n"
    assert "analysis.py:3: ProjectWarning: Settings from pyproject.toml" in run(tmp_path, code)
    quiet = "import warnings\nfrom qwennb.errors import QwenWarning\nwarnings.simplefilter('ignore', QwenWarning)\n"
    assert run(tmp_path, quiet + code) == ""


@pytest.mark.slow
def test_what_the_cache_warns_of_stands_at_the_users_line(tmp_path):
    (tmp_path / "not a folder").write_text("")
    code = (
        "from qwennb import Qwen\nfrom qwennb.simulator import Simulator\n"
        "with Simulator('vllm') as sim:\n"
        "    qwen = Qwen(endpoint=f'vllm+{sim.base_url}', cache_dir='not a folder/cache')\n"
        "    qwen.ask('Hello')\n"
    )
    told = run(tmp_path, code)
    assert "analysis.py:5: CacheWarning" in told or "analysis.py:4: CacheWarning" in told, told
