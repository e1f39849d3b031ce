"""A line in the table of settings is an option: at every door, on the wire of every server, and on the page."""

import inspect
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import qwennb
from qwennb.catalog import Catalog
from qwennb.client import Options
from qwennb.client.options import ask_with_options
from qwennb.endpoints.dialects import (
    DashScope,
    Dialect,
    LlamaCpp,
    LmStudio,
    MlxVlm,
    Ollama,
    OpenRouter,
    Sglang,
    Vllm,
)
from qwennb.errors import UnsupportedOption
from qwennb.request import SETTINGS, Message, Request, Settings, Text, Tool

PAGE = Path(qwennb.__file__).parents[1] / "docs" / "client.md"
DIALECTS = [
    (DashScope(), "dashscope-intl"),
    (OpenRouter(), "openrouter"),
    *((dialect(), dialect.kind) for dialect in (LlamaCpp, LmStudio, MlxVlm, Ollama, Sglang, Vllm)),
]
FIND = Tool.of({"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}})


def wire_of(dialect: Dialect, abilities, **given):
    tools = (FIND,) if "tool_choice" in given else ()
    request = Request("qwen3.5-27b", (Message("user", (Text("Hi"),)),), Settings.of(**given), tools=tools)
    return dialect.write(request, "an-id", abilities, stream=False).body


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(("dialect", "endpoint"), DIALECTS, ids=[endpoint for _, endpoint in DIALECTS])
def test_every_setting_is_on_the_wire_or_refused_in_a_sentence(dialect, endpoint, name):
    setting, abilities = SETTINGS[name], Catalog.load_bundled().abilities("qwen3.5-27b", endpoint)
    if not abilities.accepts(name):
        with pytest.raises(UnsupportedOption, match=rf"`{name}` is not supported by .*Supported here: "):
            abilities.check({name: setting.example})
        return
    plain = wire_of(dialect, abilities)
    body = wire_of(dialect, abilities, **{name: setting.example})
    body.pop("tools", None)
    if name == "sample":
        assert body == plain, "a draw's number is the key's, and no server's"
    else:
        assert body != plain, f"{name} was dropped in silence"


def test_every_setting_is_explained_on_the_page_in_its_own_words():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M))
    assert {name: rows.get(name) for name in SETTINGS} == {name: s.about for name, s in SETTINGS.items()}


def test_checkers_see_every_option_of_a_call_with_its_type():
    taken = inspect.signature(ask_with_options).parameters.values()
    written = {one.name: one.annotation for one in taken if one.kind is one.KEYWORD_ONLY}
    assert written == {option.name: option.type for option in fields(Options)}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_part_of_the_key_and_comes_back_from_it(name):
    given = SETTINGS[name].example
    settings = Options(**{name: given}).settings
    assert settings.given() == {name: given} == Settings.of(**settings.given()).given()


# What is written to add an option, and nothing else.
ROW = '    stillness: float | None = _row(number(0, 1), "how still the model sits", 0.5)\n'
USE = """
import sys, warnings
import polars as pl
from qwennb import Qwen
from qwennb.client import Options
from qwennb.client.options import ask_with_options
from qwennb.errors import BadInput, UnsupportedOption
from qwennb.notebook.cell import options_of
from qwennb.notebook.options import read_line
from qwennb.simulator import Simulator

with Simulator("vllm") as sim:
    qwen = Qwen(endpoint=f"vllm+{sim.base_url}", cache_dir=sys.argv[1])
    frame = pl.DataFrame({"a": ["x"]})
    line = read_line("--param stillness=0.5 A cell?")
    doors = [
        lambda: qwen.ask("A call?", stillness=0.5),
        lambda: list(qwen.stream("A stream?", stillness=0.5)),
        lambda: qwen.ask_many(["Many?"], stillness=0.5),
        lambda: qwen.chat().ask("A chat?", stillness=0.5),
        lambda: qwen.ask(line.prompt, **{"stillness": options_of(line.given, {}, None).stillness}),
        lambda: frame.qwen.ask("A column? {{ a }}", stillness=0.5, client=qwen, progress=False),
        lambda: qwen.openai.chat.completions.create(
            model="", messages=[{"role": "user", "content": "A body?"}], extra_body={"stillness": 0.5}
        ),
    ]
    for number, ask in enumerate(doors, 1):
        ask()
        assert sim.ledger.count("asked") == number, number
        assert sim.ledger.last().body["stillness"] == 0.5, number
    assert qwen.openai.chat.completions.create(
        model="", messages=[{"role": "user", "content": "A call?"}], extra_body={"stillness": 0.5}
    ) and sim.ledger.count("asked") == len(doors), "one key, whichever the door"
    for wrong in ("x", 2):
        try:
            qwen.ask("Wrong?", stillness=wrong)
        except BadInput as error:
            assert "stillness" in str(error)
        else:
            raise AssertionError(wrong)
with Simulator("ollama") as sim:
    try:
        Qwen(endpoint=f"ollama+{sim.base_url}", cache_dir=sys.argv[1]).ask("Refused?", stillness=0.5)
    except UnsupportedOption as error:
        assert "`stillness` is not supported by" in str(error) and "at vllm" in str(error), error
    else:
        raise AssertionError("dropped in silence")
"""


@pytest.mark.slow
def test_a_line_in_the_table_and_who_takes_it_are_all_of_a_new_option(tmp_path):
    copy = tmp_path / "qwennb"
    shutil.copytree(Path(qwennb.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "request" / "settings.py"
    before = "    max_tokens: int | None = _row("
    assert before in table.read_text()
    table.write_text(table.read_text().replace(before, ROW + before))
    models = copy / "catalog" / "models.toml"
    text = models.read_text()
    at = text.index("accepts = [", text.index("[kind.vllm]")) + len("accepts = [")
    models.write_text(text[:at] + '"stillness", ' + text[at:])
    script = tmp_path / "use.py"
    script.write_text(USE)
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "cache")], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
