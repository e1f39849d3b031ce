"""The log: quiet by default, a line a run at INFO, a line an attempt at DEBUG, and nothing that is secret."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings

import openai
import polars as pl
import pytest

from qwennb.errors import ConfigError
from qwennb.tracing import open_log
from tests.tracing.test_events import SECRETS, ask_with_secrets


@pytest.fixture
def lines(caplog):
    """What the logger has at DEBUG, as lines."""
    with caplog.at_level(logging.DEBUG, logger="qwennb"):
        yield lambda level=logging.DEBUG: [
            record.getMessage()
            for record in caplog.records
            if record.name == "qwennb" and record.levelno >= level
        ]


def test_a_run_has_one_line_at_info_and_its_attempts_are_debug(simulate, client, lines):
    sim = simulate("dashscope")
    sim.fault("429", times=1, retry_after=0.1)
    answer = client(sim, model="flash").ask("Why?")
    key = answer.key[:12]
    (told,) = [line for line in lines(logging.INFO) if "alone" not in line]
    run = told.split(" ask;")[0]
    assert told.startswith(f"{run} ask; 2 requests sent, 1 of them too fast; {answer.usage.input} tokens in")
    assert any(line.startswith(f"{run} failed {key}, attempt 1: RateLimited 429") for line in lines())
    assert any("retry-after 0.1 s" in line for line in lines())
    assert any(line.startswith(f"{run} asks {key} again after RateLimited: attempt 2") for line in lines())
    assert any(line.startswith(f"{run} answered {key}, attempt 2: 200 [") for line in lines())
    assert not any(answer.key in line for line in lines())


def test_a_column_has_one_line_however_many_rows(simulate, client, lines):
    qwen = client(simulate())
    frame = pl.DataFrame({"n": [1, 2, 3, 3]})
    frame.qwen.ask("Say {{ n }}", client=qwen, progress=False)
    (told,) = lines(logging.INFO)
    assert " column ask, 4 rows, 3 unique: 0 recalled; 3 requests sent; " in told and "qwen3.5-flash" in told
    frame.qwen.ask("Say {{ n }}", client=qwen, progress=False)
    assert (
        ": 3 recalled; 0 requests sent; " in lines(logging.INFO)[1]
        and "$0.00 of it now" in lines(logging.INFO)[1]
    )


def test_a_run_in_which_rows_failed_has_its_line_at_warning(simulate, client, lines):
    sim = simulate()
    sim.fault("422", when=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.DataFrame({"n": [1, 2]}).qwen.ask("Say {{ n }}", client=client(sim), progress=False, concurrency=1)
    (told,) = lines(logging.WARNING)
    assert "2 unique: 0 recalled, 1 failed; 2 requests sent" in told


def test_no_line_holds_a_text_a_key_or_a_path(simulate, client, lines, tmp_path):
    ask_with_secrets(simulate, client, tmp_path)
    told = "\n".join(lines())
    assert told.count("answered") >= 4 and told.count("failed") >= 3
    for secret in (*SECRETS, str(tmp_path), os.path.expanduser("~")):
        assert secret not in told


@pytest.mark.parametrize("level", ["loud", "debugg", "1"])
def test_an_unknown_level_is_told_with_those_there_are(level):
    with pytest.raises(
        ConfigError, match=f"QWENNB_LOG='{level}' is no level.* Use debug, info, warning, off."
    ):
        open_log(level)


PROGRAM = """
import sys
from qwennb import Qwen
qwen = Qwen(endpoint=sys.argv[1], api_key="sk-sim", cache_dir=sys.argv[2])
qwen.ask("Why?"); qwen.ask("Why?")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environ", "before", "levels"),
    [
        ({}, "", []),
        ({"QWENNB_LOG": "debug"}, "", ["DEBUG"] * 3 + ["INFO"] + ["DEBUG"] * 2 + ["INFO"]),
        # A log of the user's own gets the lines, once, and the libraries below us say nothing of their own in ours.
        ({"QWENNB_LOG": "info"}, "import logging; logging.basicConfig(format='%(name)s %(levelname)s')", ["INFO", "INFO"]),
    ],
)  # fmt: skip
def test_the_variable_turns_it_on_on_stderr_and_nothing_else_does(
    simulate, tmp_path, environ, before, levels
):
    sim = simulate()
    where = [f"openrouter+{sim.base_url}", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM, *where], capture_output=True, text=True, timeout=120,
        env={**os.environ, **environ}, check=True,
    )  # fmt: skip
    told = done.stderr.splitlines()
    assert [line.split("qwennb ")[1].split()[0] for line in told] == levels
    assert done.stdout == ""


def test_libraries_below_log_nothing_of_our_calls_and_all_of_the_users_own(simulate, client, caplog):
    sim = simulate()
    theirs = ("openai", "httpx2", "httpcore2")
    with caplog.at_level(logging.DEBUG):
        client(sim).ask("a question of ours")
        client(sim).ask_many(["another one"])
        assert [record for record in caplog.records if record.name.startswith(theirs)] == []
        assert "a question of ours" not in caplog.text
        openai.OpenAI(base_url=f"{sim.base_url}", api_key="sk-sim").chat.completions.create(
            model="qwen/qwen3.5-flash-02-23", messages=[{"role": "user", "content": "the user's own"}]
        )
    assert {"openai._base_client", "httpx2"} <= {record.name for record in caplog.records}
