"""What is copied out of a playground is run, and asks the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from qwennb import Qwen
from qwennb.client import Options
from qwennb.endpoints import write_export
from qwennb.errors import BadInput
from qwennb.notebook.widgets.playground_copies import as_cell, as_column
from qwennb.simulator import Simulator
from tests.notebook.conftest import Kernel

KEY = "sk-canary-7d3e55a1c0"
ROOT = Path(__file__).parents[2]

TEXTS = [
    "Is this praise or a complaint?\n\nThe soup was cold.",
    "{{ not_a_name }} and {{{ 1 + 1 }}} and {\"a\": {\"b\": 1}} and {{\"x\"}}",
    ">>> import os\n... os\nIn [1]: os\n    >>> indented\n[ins] In [2]: x",
    "It ends with two empty lines.\n\n",
    "  It begins with spaces, and a tab\tand ends with spaces  ",
    "\n\nIt begins with empty lines.",
    "odd: \r \x0b \x0c \x1c \u2028 \x85 \x1b[31m and 🎉 ü 漢",
    "%%qwen -m x\n%magic\n!ls\n?help?",
    "'single' \"double\" \"\"\"triple\"\"\" \\backslash \\n \\u2028 $x$ `tick`",
    "-- --think -m plus",
    "{", "{{", "{\n", "{{ '\n",
]  # fmt: skip
OPTIONS = [
    {},
    {"thinking": False, "temperature": 0.25, "top_p": 0.8, "max_tokens": 77, "seed": 12},
    {"thinking": True, "system": "Say \"yes\" \\ or 'no'; -v", "presence_penalty": -0.5},
    {"thinking": "low", "choices": ["it is praise", "a complaint"]},
    {"thinking": 300, "schema": "item, amount int: how many", "search": True},
    {"schema": "item, amount", "sample": 3, "extra": {"safety": "strict mode", "n1": [1, 2]}},
    {"schema": "item", "cache": "refresh", "timeout": 30.0},
]


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key=KEY) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def environ(sim, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return {
        "QWENNB_API_KEY": KEY, "QWENNB_CACHE_DIR": str(home / "answers"), "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@pytest.fixture(scope="module")
def qwen(sim, environ):
    return Qwen(
        endpoint=f"openrouter+{sim.base_url}",
        api_key=KEY,
        model="flash",
        cache_dir=environ["QWENNB_CACHE_DIR"],
    )


@pytest.fixture(scope="module")
def kernel(environ):
    running = Kernel(environ)
    try:
        assert running.run("%load_ext qwennb\nitem, amount = 'taken', 'taken'").status == "ok"
        yield running
    finally:
        running.stop()


def request(qwen, text, options):
    return qwen.session.build_request(
        text.replace("{{", '{{ "{{" }}'), {}, Options(model="qwen3.5-flash", **options)
    )


def settings(qwen, options):
    return {"model": "qwen3.5-flash", "endpoint": qwen.session.config.endpoint, **options}


@pytest.mark.slow
def test_a_copied_cell_asks_the_same_question(kernel, qwen):
    tried = [(text, OPTIONS[at % len(OPTIONS)]) for at, text in enumerate(TEXTS)]
    tried += [(TEXTS[0], options) for options in OPTIONS]
    for text, options in tried:
        wanted = request(qwen, text, options)
        assert wanted.question == text
        cell = as_cell(text, settings(qwen, options))
        assert KEY not in cell
        ran = kernel.run(cell)
        assert ran.status == "ok", (cell, ran.outputs)
        shown = [o for o in ran.outputs if "application/vnd.qwennb.answer+json" in o.get("data", {})]
        assert shown[0]["data"]["application/vnd.qwennb.answer+json"]["key"] == wanted.key, (text, cell)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"system": "one\ntwo"}, "several lines"),
        ({"choices": ["yes, of course", "no"]}, "comma"),
        ({"schema": {"type": "object"}}, "no class and no line"),
    ],
)
def test_what_a_cell_can_not_carry_is_said_and_a_call_can(qwen, options, said):
    with pytest.raises(BadInput, match=said):
        as_cell("text", settings(qwen, options))
    assert repr(next(iter(options.values()))) in as_column("{{ x }}", settings(qwen, options), "df")


@pytest.mark.slow
@pytest.mark.parametrize("pandas", [False, True])
def test_a_copied_call_over_a_column_asks_the_same_questions(sim, qwen, environ, pandas):
    prompt = 'Praise or {"complaint"}? {{ review }}\n\'"'
    options = {
        "thinking": False,
        "choices": ["praise", "complaint"],
        "system": "one\ntwo",
        "temperature": 0.5 + pandas / 10,
    }
    reviews = ["The soup was cold.", "Lovely."]
    for review in reviews:
        qwen.ask(prompt, review=review, model="qwen3.5-flash", **options)
    asked = sim.ledger.count()
    made = "pd.DataFrame" if pandas else "pl.DataFrame"
    code = as_column(prompt, settings(qwen, options), "reviews", pandas=pandas)
    assert KEY not in code
    program = (
        f"import polars as pl, pandas as pd\nreviews = {made}({{'review': {reviews!r}}})\n"
        + code.replace("\n\n", "\n\nmade = ", 1)
        + "\nprint(list(made['answer']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sim.ledger.count() == asked  # each was known by its key
    assert done.stdout.strip() == repr(
        [qwen.ask(prompt, review=r, model="qwen3.5-flash", **options).data for r in reviews]
    )


@pytest.mark.parametrize("at", range(len(OPTIONS)))
def test_a_copied_curl_sends_the_same_body(sim, qwen, environ, at):
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("curl is not installed: apt-get install curl")
    text, options = TEXTS[6] + "\n'JSON'\nJSON", {**OPTIONS[at], "sample": 100 + at}
    wanted = request(qwen, text, options)
    qwen.session.answer(wanted, Options())
    ours = sim.ledger.asks()[-1]
    command = write_export([(wanted, qwen.endpoint)], "curl")
    assert KEY not in command and "$QWENNB_API_KEY" in command
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, **environ}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    theirs = sim.ledger.asks()[-1]
    assert theirs is not ours and theirs.path == ours.path
    streamed = {"stream", "stream_options"}
    assert theirs.body == {name: value for name, value in ours.body.items() if name not in streamed}
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_curl_names_the_variable_of_the_provider():
    for endpoint, variable in (("openrouter", "OPENROUTER_API_KEY"), ("dashscope-intl", "DASHSCOPE_API_KEY")):
        qwen = Qwen(endpoint=endpoint, api_key=KEY)
        command = write_export([(request(qwen, "Hello", {}), qwen.endpoint)], "curl")
        assert f'-H "Authorization: Bearer ${variable}"' in command and KEY not in command


def test_a_call_names_its_frame_as_it_is_called():
    code = as_column("{{ x }}", {"model": "9b"}, repr(pl.DataFrame({"x": ["a"]}).to_dict(as_series=False)))
    assert code.startswith("import polars as pl\nimport qwennb\n\n")
    assert (
        as_column("{{ x }}", {"model": "9b"}, "df") == "import qwennb\n\ndf.qwen.ask('{{ x }}', model='9b')"
    )
