"""Every public name answers `?`: what it takes, gives and raises, in NumPy's sections, with examples that run.

The examples of all names run in one process of its own (this file, called as a program). What a reader has is there:
polars as `pl`, what `from qwennb import …` offers, a client `qwen`, and a folder with `chart.png`, `report.pdf` and `clip.mp4`.
The environment names the endpoint, a simulator whose model knows the ANSWERS below and says back the question where they are
silent. Each docstring has a folder and a cache of its own. Lines that begin with `%` run as IPython would run them.
"""

from __future__ import annotations

import builtins
import doctest
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import qwennb
from qwennb import errors
from qwennb.frames import forget_default
from tests.test_docs import CLIENT, ROOT, first_column

ANSWERS = {
    "capital of France": "Paris",
    "capital of Italy": "Rome",
    "The soup was cold": "complaint",
    "What is cold?": '{"claims": [{"quotes": ["The soup is cold."], "claim": "The soup."}]}',
}
"""What the model says to a question that holds these words, the first that fit."""

BETWEEN_ROOMS = {
    "to_json", "from_json", "as_file", "content", "under", "lines", "of_records", "with_default_model", "charge",
    "open", "note", "note_question", "close", "send", "strikes", "serve_forever",
}  # fmt: skip
"""Methods that rooms call and users have no use for; one sentence is enough."""

RAISES_NOTHING = {
    "cli.main",
    "simulator.Quota",
    "simulator.Reply",
    "simulator.RequestLog.count",
    "simulator.RequestLog.entries",
    "simulator.Simulator.pace",
    "simulator.Simulator.quota",
    "simulator.Simulator.script",
    "simulator.ToolCall",
}
"""Names that take something and have nothing to refuse."""


# ---------------------------------------------------------------------- the names


@cache
def public_names() -> dict[str, Any]:
    """What a user may type before `?`, from the rooms' own lists."""
    import polars as pl

    import qwennb
    from qwennb import cli, frames, simulator, testing
    from qwennb.answer import Cost, Quote, Usage
    from qwennb.checks import CheckReport
    from qwennb.client import Piece, Plan, Stream
    from qwennb.frames.batch_lane import BatchUnderWay

    names: dict[str, Any] = {}
    for name in [*qwennb.__all__, "filter"]:
        _add(names, name, getattr(qwennb, name))
    for name in ("load_ipython_extension", "unload_ipython_extension"):
        names[f"qwennb.{name}"] = getattr(qwennb, name)
    for value in (Stream, Piece, Plan, Usage, Cost, Quote, frames.ColumnPlan, BatchUnderWay, CheckReport):
        _add(names, value.__name__, value)
    for door, thing in (("df.qwen", pl.DataFrame()), ("lf.qwen", pl.LazyFrame()), ("expr.qwen", pl.col("a"))):
        _add(names, door, type(thing.qwen))
    _add(names, "df.qwen.plan", type(pl.DataFrame().qwen.plan))
    _add(names, "df.qwen.estimate", frames.Estimator)
    for value in (frames.Estimate, frames.Estimates):
        _add(names, value.__name__, value)
    for name in errors.__all__:
        if isinstance(kind := getattr(errors, name), type):
            _add(names, f"errors.{name}", kind)
    for name in testing.__all__:
        _add(names, f"testing.{name}", getattr(testing, name))
    for name in ("Simulator", "RequestLog", "Entry", "Reply", "ToolCall", "Fault", "Quota", "Options"):
        _add(names, f"simulator.{name}", getattr(simulator, name))
    for name in qwennb.widgets.__all__:
        names[f"widgets.{name}"] = getattr(qwennb.widgets, name)
    names["cli.main"] = cli.main
    for kind, sign in (("line", "%"), ("cell", "%%")):
        for name, magic in shell().magics_manager.magics[kind].items():
            if name.startswith("qwen"):
                names[sign + name] = magic
    return names


def _add(names: dict[str, Any], name: str, value: Any) -> None:
    """*value*, and if it is a class the methods that it brings itself."""
    names[name] = value
    if inspect.isclass(value):
        for method, found in inspect.getmembers(value, callable):
            ours = (getattr(found, "__module__", None) or "").startswith("qwennb")
            inherited = any(
                getattr(base, method, None) is getattr(value, method) for base in value.__mro__[1:]
            )
            if ours and not (inherited or method.startswith("_") or method in BETWEEN_ROOMS):
                names[f"{name}.{method}"] = found


@cache
def shell() -> Any:
    """An IPython with qwennb loaded."""
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "qwennb")
    return made


# ---------------------------------------------------------------------- what a docstring must say


def sections(text: str) -> dict[str, str]:
    """The text under each of a docstring's headings."""
    parts = re.split(r"^([A-Z][\w ]*)\n-{3,}$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[str]:
    """The names that a section of parameters, attributes or errors explains."""
    heads = re.findall(r"^(\S[^\n]*?)(?: : [^\n]*)?$", section, re.M)
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def shared_options() -> set[str]:
    """The options of every asking call and of every column: a docstring may name them together, as `**options`."""
    return {*first_column(CLIENT, "Options of a call"), *first_column(CLIENT, "Options of a column")}


def parameters(value: Any) -> dict[str, inspect.Parameter]:
    taken = inspect.signature(value).parameters
    return {
        name: one for name, one in taken.items() if name not in ("self", "cls") and not name.startswith("_")
    }


def complaints(name: str, value: Any) -> Iterator[str]:
    """What the docstring of a name does not say."""
    text = inspect.getdoc(value) or ""
    told = sections(text)
    if not re.match(r"[A-Z`*$%\d].*[.:]$", text.partition("\n")[0]):
        yield "its first line is no sentence"
    if ">>>" not in told.get("Examples", ""):
        yield "no example"
    for one in entries(told.get("Raises", "")):
        if not hasattr(builtins, one) and one not in errors.__all__:
            yield f"raises {one}, and there is no such error"
    if name.startswith("%"):
        if "Parameters" in told and "Raises" not in told:
            yield "what it raises is not told"
        return
    is_class = inspect.isclass(value)
    if is_class:
        ours = [vars(base) for base in value.__mro__ if base.__module__.startswith("qwennb")]
        open_to_all = {one for names in ours for one, found in names.items() if isinstance(found, property)}
        open_to_all |= {field.name for field in fields(value)} if is_dataclass(value) else set()
        given = {*entries(told.get("Parameters", ""))}
        for base in value.__mro__:  # what it has from another is told there
            given |= {*entries(sections(inspect.getdoc(base) or "").get("Attributes", ""))}
        for one in sorted(open_to_all - given):
            if not one.startswith("_"):
                yield f"its attribute {one} is not told"
        if "Parameters" not in told:  # a value that is given to users, and made by nobody else
            return
    taken = parameters(value)
    given = {*entries(told.get("Parameters", "")), *entries(told.get("Other Parameters", ""))}
    together = "options" in given
    for one, parameter in taken.items():
        if one not in given and not (
            together and (one in shared_options() or parameter.kind is parameter.VAR_KEYWORD)
        ):
            yield f"its parameter {one} is not told"
    for one in sorted(given - taken.keys() - {"options"}):
        yield f"there is no parameter {one}"
    if taken and "Raises" not in told and name not in RAISES_NOTHING:
        yield "what it raises is not told"
    returns = inspect.signature(value).return_annotation
    if not is_class and returns not in (None, "None") and not told.keys() & {"Returns", "Yields"}:
        yield "what it gives is not told"


# ---------------------------------------------------------------------- the examples


def run_examples(text: str, name: str) -> str:
    """Run the examples of a docstring; what was wrong."""
    import polars as pl

    import qwennb

    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    test.globs |= {one: getattr(qwennb, one) for one in qwennb.__all__}
    test.globs |= {"__name__": "__main__", "qwennb": qwennb, "pl": pl, "qwen": qwennb.use()}
    for example in test.examples:
        if example.source.startswith("%"):
            example.source = shell().transform_cell(example.source)
            shell().user_ns = test.globs
            test.globs["get_ipython"] = shell
    said: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(test, out=said.append)
    return "".join(said)


def enter_folder(folder: Path) -> None:
    """Go where a reader might be, with a few files, and nothing asked so far."""
    from PIL import Image as Picture

    folder.mkdir()
    os.chdir(folder)
    os.environ["QWENNB_CACHE_DIR"] = str(folder / "answers")
    page = Picture.new("RGB", (640, 480), "teal")
    page.save("chart.png")
    page.save("report.pdf")
    Path("clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))


def model_says(asked: Any) -> str | None:
    return next((answer for words, answer in ANSWERS.items() if words in asked.text), None)


def look_at_all() -> dict[str, dict[str, Any]]:
    """Of each name: what its docstring does not say, and what was wrong with its examples."""
    found, home, environ = {}, Path.cwd(), dict(os.environ)
    for number, (name, value) in enumerate(public_names().items()):
        text, failed = inspect.getdoc(value) or "", ""
        if ">>>" in text:
            enter_folder(home / str(number))
            failed = run_examples(text, name)
            os.environ |= environ
        found[name] = {"missing": list(complaints(name, value)), "failed": failed}
    return found


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory) -> dict[str, dict[str, Any]]:
    from qwennb.simulator import Simulator

    folder = tmp_path_factory.mktemp("examples")
    with Simulator("openrouter", api_key="sk-sim", script=model_says) as sim:
        environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ} | {
            "HOME": str(folder),
            "IPYTHONDIR": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}",
            "QWENNB_API_KEY": "sk-sim",
        }
        done = subprocess.run(
            [sys.executable, __file__, str(folder / "found.json")],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=250,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def test_a_public_name_tells_what_it_takes_gives_and_raises(looked_at):
    assert {name: found["missing"] for name, found in looked_at.items() if found["missing"]} == {}


def test_no_signature_shows_the_environment():
    """It is what `?` prints first, and keys stand in the environment."""
    path = repr(os.environ["PATH"])[1:-1]
    shown = []
    for found in pkgutil.walk_packages(qwennb.__path__, "qwennb."):
        module = None if found.name.endswith("__main__") else importlib.import_module(found.name)
        for name, one in vars(module).items() if module else ():
            calls = [one, *vars(one).values()] if inspect.isclass(one) else [one]
            for call in calls:
                if inspect.isfunction(call) and path in str(inspect.signature(call)):
                    shown.append(f"{found.name}.{name}")
    assert shown == []


def test_the_examples_of_public_names_run_and_print_what_is_shown(looked_at):
    assert {name: found["failed"] for name, found in looked_at.items() if found["failed"]} == {}


def test_an_example_that_prints_something_else_is_found():
    try:
        assert "Expected" in run_examples(">>> 1 + 1\n3", "a wrong one")
        assert run_examples(">>> 1 + 1\n2", "a right one") == ""
    finally:
        forget_default()


def test_a_docstring_that_leaves_something_out_is_found():
    def send(letter: str, to: str, **options: object) -> int:
        """Send a letter.

        Parameters
        ----------
        letter : str
            What it says.
        stamp
            What it costs.

        Raises
        ------
        Unsent
            If nobody is there.
        """
        return len(letter + to)

    assert list(complaints("send", send)) == [
        "no example",
        "raises Unsent, and there is no such error",
        "its parameter to is not told",
        "its parameter options is not told",
        "there is no parameter stamp",
        "what it gives is not told",
    ]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(look_at_all()), encoding="utf-8")
