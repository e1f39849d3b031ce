"""`qwennb …`: which command is meant, what it was given, and what comes of it.

A command is a function of its arguments and the world, in a module that is loaded when it is typed: help and mistakes
cost no import of a network library. A mistake is one sentence on stderr and exit code 2, a failure one and 1; `--debug`
shows the traceback.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from qwennb.cli.world import World
from qwennb.errors import BadInput, QwenError, nearest
from qwennb.text import WIDTH, wrap

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Command:
    """What a command is for, and examples of what is typed behind it; one with commands below it has none.

    It lives in the module that its first word names, as the function that all of them name: `cache info` in cache.py, as `cache_info`.
    """

    about: str
    examples: tuple[str, ...] = ()


COMMANDS = {
    "": Command("Qwen 3.5 in notebooks and data pipelines."),
    "demo": Command(
        "The tour notebook, run on whatever endpoint is found.", ("", "-e openrouter -m plus --lab")
    ),
    "doctor": Command("Which endpoints answer, with which key, and what to type next.", ("", "--autoload")),
    "models": Command("Models, their ids, windows, prices and abilities.", ("", "-e openrouter")),
    "cache": Command("The answers kept on this machine, and what was spent."),
    "cache info": Command("How many answers, how large, from where.", ("",)),
    "cache prune": Command(
        "Forget answers, told first what it would cost to ask again.",
        ("--older-than 30d", "--model 9b --yes"),
    ),
    "cache usage": Command(
        "What was spent, by day, model, endpoint and notebook.", ("", "--by model --since 2026-11-01")
    ),
    "local": Command("The embedded local model."),
    "local pull": Command("Fetch a model, checked by its hash.", ("",)),
    "local serve": Command("Serve a model to other programs of this machine.", ("--port 8080",)),
    "local list": Command("The models that are here.", ("",)),
    "pack": Command(
        "The answers a notebook uses, in one file beside it.",
        ("analysis.ipynb", "--merge mine.qwenpack theirs.qwenpack -o both.qwenpack"),
    ),
    "verify": Command(
        "Run a notebook on its pack alone: offline, and as it was saved?",
        ("analysis.ipynb", "notebooks/one.ipynb notebooks/two.ipynb --env DATA_FOLDER"),
    ),
    "check": Command(
        "Hold answers to rules, to what is right, and to the last run.",
        ("checks.toml --junit checks.xml", "checks.toml --live --budget 0.50 --record --accept"),
    ),
    "drift": Command(
        "Ask a notebook's questions again elsewhere, and see which answers change.",
        (
            "analysis.ipynb --model 27b --endpoint vllm",
            "analysis.ipynb --set temperature=0 --budget 0.50 --html drift.html",
        ),
    ),
    "export": Command(
        "A recorded request for another tool: curl, Python, a .http file, Postman.",
        ("9f86d081 --as curl", "analysis.qwenpack --as postman"),
    ),
    "load": Command(
        "How an endpoint bears load: latency, tokens a second, errors.",
        ("-e vllm --concurrency 1,8,32 --limit first=0.5", "--rate 2 --poisson --seconds 60 --png load.png"),
    ),
    "trust": Command(
        "Let a project's pyproject.toml name an address, a folder of answers or a model file.",
        (".", "--list"),
    ),
    "simulate": Command(
        "An endpoint that behaves like a real one, as a server.",
        ("--dialect vllm --port 8000", "--dialect openrouter --rps 5"),
    ),
}  # by the words that lead to each


class Parser(argparse.ArgumentParser):
    """As argparse's, but a mistake is a `BadInput`, and help has one width everywhere and ends with examples."""

    def __init__(self, path: str, command: Command) -> None:
        prog = f"qwennb {path}"
        head = "example:" if len(command.examples) == 1 else "examples:"
        super().__init__(
            prog=prog,
            description=command.about,
            epilog="\n".join([head, *(f"  {prog} {typed}".rstrip() for typed in command.examples)]),
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH - 2),
        )
        self.color = False
        self.switch("-h --help", "show this and exit")
        self.switch("--debug", "show the traceback of a failure")

    def switch(self, typed: str, about: str) -> None:
        """Add an option that takes no value."""
        self.add_argument(*typed.split(), action="store_true", help=about)

    def option(self, typed: str, about: str, default: Any = None, **more: Any) -> None:
        """Add an option, *typed* as help shows it: `-o --out FILE`.

        What it takes is of the type of its *default*; where that is a list, it may be given again.
        """
        flags = [word for word in typed.split() if word.startswith("-")]
        if len(flags) < len(typed.split()):
            more["metavar"] = typed.split()[-1]
        if isinstance(default, list):
            more["action"] = "append"
        elif default is not None:
            more["type"] = type(default)
        self.add_argument(*flags, help=about, default=default, **more)

    def add_timeout(self) -> None:
        """Add the option that says how long one cell of a notebook may take."""
        self.add_argument(
            "--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="the most for one cell (600)"
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse has to say against the words given."""
        raise BadInput(f"{self.prog}: {message}. See {self.prog} --help.")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Read *words*; the first one that is not known is refused with the nearest."""
        given, unknown = self.parse_known_args(words)
        if unknown:
            known = re.findall(r"--[a-z][\w-]*", self.format_help())
            strange = unknown[0].partition("=")[0]
            raise BadInput(
                f"{self.prog} takes no {strange!r}{nearest(strange, known) or '.'} See {self.prog} --help."
            )
        return given


def main(argv: Sequence[str] | None = None, *, world: World | None = None) -> int:
    """Run what was typed as `qwennb …`.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after `qwennb`; those of this process without it.
    world : World, optional
        The terminal, the environment and the clock that it sees.

    Returns
    -------
    int
        The exit code: 0, 1 for a failure, 2 for a mistake. What goes wrong is one sentence on stderr.

    Examples
    --------
    >>> from qwennb.cli import main
    >>> main(["--version"])
    qwennb 0...
    0
    >>> main(["modls"])
    2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    world = world or World.here()
    debug = "--debug" in words
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: world.note(str(message))
        try:
            return _run("", words, world)
        except BrokenPipeError:
            # Whoever read has gone (`qwennb models | head`); the interpreter must not complain of it at its end.
            if world.out is sys.stdout:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                world.note(*(f"| {line}" for line in traceback.format_exc().rstrip().split("\n")))
            sentence, code = _explain(error)
            world.note(sentence)
            return code


def _explain(error: BaseException) -> tuple[str, int]:
    """Say *error* in one sentence, with the exit code that it means."""
    if isinstance(error, QwenError):
        return str(error), 2 if isinstance(error, BadInput) else 1
    if isinstance(error, KeyboardInterrupt):
        return "Stopped.", INTERRUPTED
    what = f"{type(error).__name__}: {error}"
    return f"Something went wrong that should not ({what}). Type it again with --debug to see where.", 1


def _run(path: str, words: list[str], world: World) -> int:
    """Run what *words* mean behind the words of *path*."""
    command, typed = COMMANDS[path], f"qwennb {path}".rstrip()
    below = {name.split()[-1]: name for name in COMMANDS if name and name.rpartition(" ")[0] == path}
    if not below:
        return _run_leaf(path, command, words, world)
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    options = words[:first]
    if not path and "--version" in options:
        from qwennb import __version__

        world.say(f"qwennb {__version__}")
        return 0
    if strange := [word for word in options if word not in ("-h", "--help", "--debug")]:
        raise BadInput(f"{typed} takes no {strange[0]!r}. See {typed} --help.")
    if "-h" in options or "--help" in options or (first is None and not path):
        world.say(*_help(typed, command, below))
        return 0
    if first is None:
        raise BadInput(f"{typed} what? There are {', '.join(below)}. See {typed} --help.")
    if (name := words[first]) not in below:
        raise BadInput(
            f"There is no command `{typed} {name}`{nearest(name, below) or '; there are ' + ', '.join(below) + '.'}"
        )
    return _run(below[name], [*options, *words[first + 1 :]], world)


def _run_leaf(path: str, command: Command, words: list[str], world: World) -> int:
    home = import_module(f"qwennb.cli.{path.split()[0]}")
    name, parser = path.replace(" ", "_"), Parser(path, command)
    getattr(home, f"{name}_options", lambda parser: None)(parser)
    if "-h" in words or "--help" in words:
        world.say(*parser.format_help().rstrip().split("\n"))
        return 0
    run: Callable[[Any, World], int] = getattr(home, name)
    return run(parser.read(words), world)


def _help(typed: str, command: Command, below: Mapping[str, str]) -> list[str]:
    lines = [f"usage: {typed} <command> [options]", "", command.about, ""]
    width = max(map(len, below))
    for name, path in below.items():
        head = f"  {name.ljust(width)}  "
        lines += wrap(COMMANDS[path].about, first=head, indent=" " * len(head))
    lines += ["", f"{typed} <command> --help tells more of each."]
    if command is COMMANDS[""]:
        lines.append("qwennb --version; --debug with any command shows the traceback of a failure.")
    return lines


def _seconds(text: str) -> float:
    """Read a time that somebody is ready to wait, as it is typed."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number
