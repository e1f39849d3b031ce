"""Whatever a server, a notebook, a pack or the store says, no command and no `repr` sends it to a terminal as it is."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import http.server
import importlib
import io
import json
import pkgutil
import re
import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import qwennb
from qwennb import Qwen, errors
from qwennb.answer import Answer, Cost, Usage
from qwennb.cache import BatchOrder, BatchOrders, Memory, Pack, Spending, Store
from qwennb.cli.world import World
from qwennb.frames.progress import Tally
from qwennb.request import Image, Message, Request, Text, user_message
from tests.cli.conftest import leaves

# Colours, cursor, title, clipboard, link, device control, DEL, C1, bidi controls, and lines that were never written.
HOSTILE = (
    "evil\x1b[31m\x1b[2J\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x1bPq\x1b\\"
    "\x9b31m\x9d0;t\x9c\x7f\x07\x08\x00\u202eabc\u2066\u2069\u200e\u200f\u061c\ufeff\x1b"
)
LINES = "\rforged 1\x0bforged 2\x0cforged 3\x85forged 4\u2028forged 5\u2029forged 6\r\nforged 7\nforged 8"
HOST = re.sub(r"[\[\]\x00]", "", HOSTILE)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def steers(text: str) -> list[str]:
    """What in *text* a terminal would obey, and each line that begins with what was never written."""
    return CONTROLS.findall(text) + re.findall(r"^forged \d", text, re.MULTILINE)


class Hostile(http.server.BaseHTTPRequestHandler):
    """A server all of whose words are hostile."""

    status = 200

    def do_GET(self):
        listed = {"object": "list", "data": [{"id": HOSTILE + LINES, "object": "model", "owned_by": "vllm"}]}
        self._say({"version": HOSTILE} if "version" in self.path else listed)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self._say({"error": {"message": HOSTILE + LINES, "code": HOSTILE, "type": HOSTILE}}, 400)

    def _say(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(self.status if self.status != 200 else status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """Its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port
        serving.shutdown()


def answer(number: int = 0, hostile: str = HOSTILE) -> Answer:
    request = Request(f"m{hostile}{number}", (user_message(f"{hostile} {number}"),))
    return Answer(
        request,
        text=hostile,
        reasoning=hostile,
        endpoint=f"vllm:{hostile}",
        served_by=hostile,
        usage=Usage(3, 4),
        cost=Cost(0.25, "reported"),
    )


@pytest.fixture
def kept(tmp_path) -> Path:
    """A store, a ledger, a batch under way and a local model whose every name is hostile."""
    folder = tmp_path / "cache"
    memory = Memory(Store(folder))
    for number in range(2):
        asyncio.run(memory.keep(answer(number, HOSTILE + LINES), warn=pytest.fail))
    row = Spending(
        "2026-11-01",
        f"{HOSTILE}{LINES}.ipynb",
        HOSTILE + LINES,
        f"vllm:{HOSTILE}{LINES}",
        2,
        3,
        4,
        nanos=500_000_000,
    )
    memory.spendings.add([row])
    memory.close()
    asked = [Request(HOSTILE, (Message("user", (Text("x"),)),))]
    order = BatchOrder(
        "a", "a", HOSTILE + LINES, HOSTILE + LINES, datetime(2026, 11, 1, tzinfo=UTC).timestamp(), batch=HOSTILE,
        questions=1, keys=frozenset(one.key for one in asked),
    )  # fmt: skip
    orders = BatchOrders(folder)
    orders.claim().close()
    orders.write(order, asked)
    (folder / "models").mkdir()
    (folder / "models" / f"0123456789abcdef-{HOSTILE.replace('/', '').replace(chr(0), '')}.gguf").write_bytes(
        b"GGUF"
    )
    return folder


ARGUMENT = (HOSTILE + LINES).replace("\x00", "")


@pytest.mark.parametrize("command", leaves())
@pytest.mark.parametrize(
    "words",
    [[ARGUMENT], [f"--{ARGUMENT}"], ["--model", ARGUMENT], ["-e", ARGUMENT], ["--debug", f"./{ARGUMENT}/x"]],
)
def test_no_command_repeats_what_it_was_given_as_it_is(run, command, words):
    ran = run(*command.split(), *words, environ={"QWENNB_CACHE": "replay"})
    assert ran.out + ran.err and not steers(ran.out + ran.err)


@pytest.mark.parametrize(
    "words",
    [
        ["cache", "info"], ["cache", "info", "--json"], ["cache", "usage"], ["cache", "usage", "--json"], ["cache", "usage", "--by", "model"],
        ["cache", "prune", "--all"], ["cache", "prune", "--all", "--batches", "--yes"], ["local", "list"], ["doctor"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_kept_is_told_without_its_controls(run, kept, words):
    ran = run(*words, says="n\n")
    assert "evil" in ran.out and not steers(ran.out + ran.err)
    if "--json" in words:  # for programs nothing is lost
        assert any(HOSTILE + LINES in str(value) for value in _values(json.loads(ran.out)))


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [v for one in value.values() for v in _values(one)]
    return [v for one in value for v in _values(one)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("status", [200, 401, 404, 500])
@pytest.mark.parametrize("prefix", ["", "openai+", "vllm+", "openrouter+"])
@pytest.mark.slow
def test_what_a_server_says_is_told_without_its_controls(run, server, status, prefix):
    Hostile.status = status
    url = f"http://127.0.0.1:{server}/v1"
    environ = {"QWENNB_ENDPOINT": f"{prefix}{url}", "OPENROUTER_API_KEY": "sk-x", "DASHSCOPE_API_KEY": "sk-x"}
    hosts = dict.fromkeys(("openrouter", "dashscope", "dashscope-intl", "dashscope-us"), url)
    for words in (["doctor"], ["doctor", "--debug"]):
        ran = run(*words, environ=environ, hosts=hosts, ports=(server,))
        assert ran.out + ran.err and not steers(ran.out + ran.err), words


@pytest.mark.slow
def test_the_demo_tells_of_a_hostile_server_without_its_controls(run, server):
    Hostile.status = 200
    environ = {"QWENNB_ENDPOINT": f"openai+http://127.0.0.1:{server}/v1", "QWENNB_API_KEY": "sk-x"}
    ran = run("demo", "-m", ARGUMENT, environ=environ)
    assert ran.code and "evil" in ran.out + ran.err and not steers(ran.out + ran.err)


def notebook(folder: Path) -> Path:
    """A saved notebook of hostile names, lines, outputs and failures."""
    import nbformat.v4 as v4

    sources = [
        f"print(1)  # {HOSTILE}",
        f"print({HOSTILE + LINES!r})",
        f"raise ValueError({HOSTILE + LINES!r})",
    ]
    saved = [v4.new_output("stream", text=HOSTILE + LINES)]
    cells = [v4.new_code_cell(source, outputs=saved, execution_count=1) for source in sources]
    path = folder / f"evil{ARGUMENT.replace('/', '')}"[:60]
    path = path.with_suffix(".ipynb")
    book = v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": HOSTILE}})
    path.write_text(json.dumps(book), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["verify", "pack", "drift"])
def test_what_a_notebook_holds_is_told_without_its_controls(run, kept, tmp_path, command):
    path = notebook(tmp_path)
    Pack.of([answer(n, HOSTILE + LINES) for n in range(3)]).write(path.with_suffix(".qwenpack"))
    ran = run(command, path.name, says="n\n", environ={"QWENNB_ENDPOINT": "simulator"})
    assert "evil" in ran.out + ran.err and not steers(ran.out + ran.err)


# ---------------------------------------------------------------------- reprs, errors, warnings, progress


def written_reprs() -> set[str]:
    """The classes of the package that say themselves how they are shown."""
    found = set()
    for file in Path(qwennb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "simulator" not in file.parts:
                names = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                found |= {node.name} if names & {"__repr__", "__str__"} else set()
    return found


# These show numbers and words of our own.
WORDLESS = {"Count", "Range", "Thinking", "Secret", "Cost", "Chat", "Option", "Accuracy", "Kappa"}


def hostile_values(folder: Path) -> list[Any]:
    from qwennb.client.plan import Plan
    from qwennb.endpoints.local import BUNDLED, LocalModel, LocalServer
    from qwennb.endpoints.local import DownloadProgress as Fetched
    from qwennb.endpoints.local.hub import HubFile
    from qwennb.frames.column_plan import ColumnPlan
    from qwennb.frames.estimates import Estimate, Estimates
    from qwennb.frames.evidence import Evidence
    from qwennb.notebook.widgets.chat_attach import Attached
    from qwennb.project import Leading

    file = dataclasses.replace(BUNDLED.file, name=HOSTILE + LINES, origin=HOSTILE + LINES, licence=HOSTILE)
    place = Qwen(endpoint="simulator", cache_dir=folder).endpoint
    hosted = dataclasses.replace(place, name=HOSTILE + LINES, base_url=f"http://{HOST}/v1", server=None)
    plan = {field.name: 0 for field in dataclasses.fields(Plan)} | {
        "model": HOSTILE,
        "endpoint": HOSTILE + LINES,
    }
    column = {field.name: 0 for field in dataclasses.fields(ColumnPlan)} | {
        "tiers": (),
        "model": HOSTILE,
        "endpoint": HOSTILE,
        "draft": HOSTILE,
        "certificate": HOSTILE,
    }
    line = Estimate(HOSTILE + LINES, HOSTILE, 0.5, 0.4, 0.6, 9, 0.5, 1.0, 20, note=HOSTILE)
    proof = {field.name: 0 for field in dataclasses.fields(Evidence)} | {
        "claim": HOSTILE + LINES,
        "routes": {},
    }
    hub = HubFile("owner/repository", "x.gguf")
    object.__setattr__(hub, "file", HOSTILE + LINES)
    truth = qwennb.compare([HOSTILE + LINES, "a"], ["a", "a"], name=HOSTILE)
    broken = qwennb.check([HOSTILE + LINES], name=HOSTILE + LINES, rules={"one_of": [HOSTILE]})
    image = Image("https://a.example/x.png")
    object.__setattr__(image.source, "url", f"https://a.example/{HOSTILE}{LINES}") if hasattr(
        image.source, "url"
    ) else None
    return [
        answer(), answer(1, HOSTILE + LINES), dataclasses.replace(answer(), error=errors.BadInput(HOSTILE + LINES)), answer().request,
        Qwen(model="plus", endpoint=f"http://{HOST}/v1", cache_dir=folder), Plan(**plan), ColumnPlan(**column), image,
        Attached(HOSTILE + LINES, "text", Text(HOSTILE)), hosted, file, hub, Fetched(file, 1),
        LocalServer(LocalModel(file, folder / "x.gguf", folder / "log")),
        Leading(HOSTILE, HOSTILE + LINES, HOSTILE + LINES), truth, truth.accuracy, broken,
        line, Estimates((line, line)), Evidence(**proof),
    ]  # fmt: skip


def test_no_value_of_ours_shows_itself_with_what_steers_a_terminal(tmp_path):
    values = hostile_values(tmp_path)
    shown = {base.__name__ for value in values for base in type(value).__mro__}
    assert written_reprs() <= shown | WORDLESS | {"Progress"}, "a new class shows itself: put one here"
    for value in values:
        for text in (repr(value), str(value)):
            if (
                not isinstance(value, Answer) or text is not value.text
            ):  # `str(answer)` is its text, as it came
                assert not CONTROLS.findall(text), (type(value), text)
        assert type(value).__name__ in ("Plan", "ColumnPlan", "Estimates") or "\n" not in repr(value)


def kinds(module: str = "qwennb") -> list[type]:
    for one in pkgutil.walk_packages(qwennb.__path__, f"{module}."):
        if "__main__" not in one.name and "simulator" not in one.name:
            importlib.import_module(one.name)
    found: list[type] = []
    waiting = [errors.QwenError, Warning]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            found += [kind] if kind.__module__.startswith("qwennb") else []
    return found


def test_no_error_and_no_warning_quotes_what_steers_a_terminal():
    made = kinds()
    assert len(made) > 25 and sum(issubclass(kind, Warning) for kind in made) >= 3
    for kind in made:
        assert not CONTROLS.findall(str(kind(HOSTILE + LINES))), kind
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind in made:
            if issubclass(kind, Warning):
                warnings.warn(HOSTILE, kind, stacklevel=1)
    assert caught and not any(CONTROLS.findall(str(one.message)) for one in caught)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_of_progress_moves_its_own_line_and_no_other():
    out, now = Tty(), iter(range(1000))
    progress = Tally(5, 5, HOSTILE, progress=True, out=out, clock=lambda: 10.0 * next(now))
    progress.note(HOSTILE + LINES)
    progress.show()
    progress.show(finished=True)
    assert "evil" in out.getvalue()
    assert not steers(out.getvalue().replace("\r\x1b[K", ""))


def test_only_known_doors_write_to_a_terminal():
    doors = {
        "cli/world.py",
        "frames/progress.py",
        "frames/truth_column.py",  # what `truth=` found
        "notebook/columns.py",  # the bar of a column where the front end shows no widgets
        "notebook/in_marimo.py",  # the line of a column below its cell, flattened where it is made
        "notebook/outputs.py",  # keeps what a cell has shown while a question is cleared
        "notebook/place.py",  # answers in a terminal, without controls
        "notebook/sharing.py",
        "tracing/logs.py",  # the log, line by line flattened
        "endpoints/local/child.py",
    }
    root = Path(qwennb.__file__).parent
    writes = re.compile(r"\bprint\(|sys\.(?:__)?std(?:out|err)|\.(?:out|err)\.write\(")
    found = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "simulator" not in file.parts and any(writes.search(code) for code in _code(file))
    }
    assert found - doors <= {"cli/command.py"}, "whoever writes goes through the world of a command"


def _code(file: Path) -> list[str]:
    """The file's calls and attributes, without its comments and texts."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.append(f"{ast.unparse(node.func)}(")
        elif isinstance(node, ast.Attribute):
            found.append(ast.unparse(node))
    return found


def test_the_one_door_of_the_command_line_leaves_no_control(tmp_path):
    out, err = io.StringIO(), io.StringIO()
    world = World({}, tmp_path, out, err, io.StringIO("n\n"))
    world.say(HOSTILE + LINES, "two")
    world.note(HOSTILE + LINES)
    world.redraw(HOSTILE + LINES)
    world.agrees(HOSTILE + LINES)
    world.say_json({HOSTILE: HOSTILE + LINES})
    assert not steers(out.getvalue() + err.getvalue().replace("\r", "", 1))
    assert json.loads(out.getvalue().partition("[y/N] ")[2]) == {HOSTILE: HOSTILE + LINES}
