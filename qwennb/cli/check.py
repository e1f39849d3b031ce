"""`qwennb check`: are the answers good enough, and no worse than last time? From a pack it costs nothing and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwennb.answer import money
from qwennb.cache import Pack
from qwennb.checks import CheckReport, json_lines, junit_xml, write_last
from qwennb.cli.check_client import CheckQwen, open_live, open_recorded
from qwennb.cli.check_file import CheckFile, read_check_file
from qwennb.cli.check_run import run_check_file
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.errors import BadInput, NotRecorded, QwenError
from qwennb.files import replace_file
from qwennb.request import number
from qwennb.text import plural

PASSED, FAILED, CANT = 0, 1, 2
_LIVE = ("budget", "endpoint", "model", "record")


def check_options(parser: Parser) -> None:
    """Add the options of `qwennb check`."""
    parser.add_argument("file", metavar="FILE", help="the checks, such as checks.toml")
    parser.switch("--live", "ask everything anew, and recall nothing")
    parser.option("--budget USD", "with --live: the most that asking may cost", type=float)
    parser.option("-e --endpoint", "with --live: where to ask")
    parser.option("-m --model", "with --live: whom to ask")
    parser.switch("--record", "with --live: write the answers into the pack that the file names")
    parser.switch("--accept", "have later runs be held against this one")
    parser.option(
        "--level SHARE", "how often chance alone may fail checks that are no worse (0.05)", type=float
    )
    parser.option("--junit FILE", "write the report as JUnit's XML, which CI tools read")
    parser.option("--json FILE", "write it as JSON Lines, with every answer that breaks a rule")
    parser.option("--markdown FILE", "write it as a page in Markdown")


def check(given: Any, world: World) -> int:
    """Run the checks and say what came of them. 0: all rules hold; 1: one is broken; 2: they could not be run."""
    try:
        file = read_check_file(world.folder / Path(given.file).expanduser())
        _check_given(given, file)
        report, is_recorded = _run(given, file, world)
    except QwenError as error:
        world.note(str(error))
        return CANT
    world.say(*report.lines())
    _write_files(given, report, world)
    if given.accept:
        write_last(file.last, {one.name: one.losses for one in report.checks})
        world.say(f"Later runs are held against this one: {file.last.name}")
    return CANT if not is_recorded else PASSED if report.passed else FAILED


def _check_given(given: Any, file: CheckFile) -> None:
    if given.level is not None:
        number(low=0, high=1)("--level", given.level)
    if not given.live:
        for name in _LIVE:
            if getattr(given, name):
                raise BadInput(f"--{name} is for --live. Leave it out, or give --live too.")
        return
    if not file.can_ask:
        raise BadInput(
            f"{file.path.name} asks nothing: its answers are there already. Leave --live out, or write a question into a check."
        )
    if given.record and file.pack is None:
        raise BadInput(
            f'{file.path.name} names no pack to record into. Name it: [from], pack = "answers.qwenpack"'
        )


def _run(given: Any, file: CheckFile, world: World) -> tuple[CheckReport, bool]:
    """Give the report, and whether what was to be recorded is."""
    told, is_recorded = [], True
    with _open_client(given, file, world) as client:
        try:
            report = run_check_file(file, client, level=given.level, progress=given.live)
        finally:  # what was paid is kept, also where the run ended early
            if given.record:
                try:
                    told.append(_record(file, client, world))
                except QwenError as error:
                    world.note(f"Nothing was recorded. {error}")
                    is_recorded = False
            client.session.emit_warnings()
        told.insert(0, _tell_source(given, file, client))
    title = f"{file.path.name}: {plural(len(file.checks), 'check')}"
    return replace(report, title=title, notes=tuple(told)), is_recorded


@contextmanager
def _open_client(given: Any, file: CheckFile, world: World) -> Iterator[CheckQwen]:
    config = world.config()
    if not given.live:
        with open_recorded(file, config.cache_dir) as client:
            yield client
        return
    settings = {
        name: getattr(config, name) for name in ("api_key", "timeout", "concurrency", "referer", "title")
    }
    settings |= {"endpoint": given.endpoint or config.endpoint, "model": given.model or config.model}
    with open_live({**settings, "budget": given.budget}) as client:
        if client.endpoint.hosted and client.session.config.budget is None:
            raise BadInput(f"{client.endpoint} is hosted, and asking there costs money. Give --budget USD.")
        yield client


def _tell_source(given: Any, file: CheckFile, client: CheckQwen) -> str:
    if given.live:
        return f"Asked anew at {client.endpoint} for {money(client.spent)}."
    home = "the table's own file" if file.pack is None and not file.can_ask else "what is kept here"
    return f"Answers from {home if file.pack is None else file.pack.name}; nothing was sent."


def _record(file: CheckFile, client: CheckQwen, world: World) -> str:
    """Write what was asked into the pack. What else is in it stays: a pack may be a notebook's too."""
    assert file.pack is not None
    made = client.own.pack()
    if not len(made):
        raise NotRecorded("No answer came.")
    if file.pack.is_file():
        made = Pack.read(file.pack) | made
    made.write(file.pack, environ=world.environ)
    return f"{file.pack.name}: {plural(len(made), 'answer')}, root {made.root}"


def _write_files(given: Any, report: CheckReport, world: World) -> None:
    written = {
        given.junit: junit_xml(report, world.now()),
        given.json: "".join(f"{line}\n" for line in json_lines(report)).encode(),
        given.markdown: f"{report.markdown()}\n".encode(),
    }
    for name in filter(None, (given.junit, given.json, given.markdown)):
        try:
            replace_file(world.folder / name, written[name], private=False)
        except OSError as error:
            raise BadInput(f"{name} can't be written ({error.strerror}).") from None
