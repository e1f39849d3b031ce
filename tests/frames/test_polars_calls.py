"""What holds in a process that forks after qwennb and polars were used: a sentence, and never a wait without an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import polars as pl
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

TABLE = pl.DataFrame({"text": ["a", "b"]})


def say_in_child(do) -> str:
    """What *do* says in a forked process; one that stands still is ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            said = str(do())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def qwen(simulate, client):
    qwen = client(simulate())
    TABLE.qwen.ask("Say {{ text }}", client=qwen)
    return qwen


DOORS = {
    "frame": lambda qwen: TABLE.qwen.ask("Now {{ text }}", client=qwen),
    "known": lambda qwen: TABLE.qwen.ask("Say {{ text }}", client=qwen),
    "lazy": lambda qwen: TABLE.lazy().qwen.ask("Now {{ text }}", client=qwen).collect(),
    "expression": lambda qwen: TABLE.select(pl.col("text").qwen.ask("Now {{ it }}", client=qwen)),
    "filter": lambda qwen: TABLE.qwen.filter("{{ text }} is a letter", client=qwen),
    "plan": lambda qwen: TABLE.qwen.plan.ask("Now {{ text }}", client=qwen),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_column_in_a_child_forked_after_polars_ran_is_a_sentence(qwen, door):
    said = say_in_child(lambda: DOORS[door](qwen))
    assert (
        said.startswith("BadInput: ") and "forked" in said and 'multiprocessing.get_context("spawn")' in said
    )


def test_what_is_no_column_is_asked_in_a_forked_child_as_ever(qwen):
    assert say_in_child(lambda: len(qwen.ask_many(["in the child", "and again"]))) == "2"
    assert say_in_child(lambda: qwen.chat().ask("in the child, too"))
    assert TABLE.qwen.ask("Still {{ text }}", client=qwen)["answer"].null_count() == 0


@pytest.mark.slow
def test_a_column_is_made_in_a_child_that_was_forked_before_polars_ran():
    code = (
        "import os, tempfile, polars as pl\nfrom qwennb import Qwen\nfrom qwennb.simulator import Simulator\n"
        "with Simulator('vllm') as sim:\n"
        "    qwen = Qwen(endpoint=f'vllm+{sim.base_url}', cache_dir=tempfile.mkdtemp())\n"
        "    qwen.ask('Hello')\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        pl.DataFrame({'t': ['a']}).qwen.ask('Say {{ t }}', client=qwen)\n"
        "        os._exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "7\n", done.stderr
