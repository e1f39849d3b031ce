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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from qwennb.cli.world import World
from qwennb.errors import BadInput, QwenError, nearest
from qwennb.text import WIDTH, wrap

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, what it is for, where it lives, and how it is typed; or the commands below it."""

    name: str
    about: str
    home: str = ""
    examples: tuple[str, ...] = ()
    below: tuple[Command, ...] = ()


COMMANDS = Command(
    "qwennb",
    "Qwen 3.5 in notebooks and data pipelines.",
    below=(
        Command(
            "demo", "The tour notebook, run on whatever endpoint is found.", "demo:demo",
            ("qwennb demo", "qwennb demo -e openrouter -m plus --lab"),
        ),
        Command(
            "doctor", "Which endpoints answer, with which key, and what to type next.", "doctor:doctor",
            ("qwennb doctor",),
        ),
        Command(
            "models", "Models, their ids, windows, prices and abilities.", "models:models",
            ("qwennb models", "qwennb models -e openrouter"),
        ),
        Command(
            "cache", "The answers kept on this machine, and what was spent.",
            below=(
                Command(
                    "info", "How many answers, how large, from where.", "cache:info",
                    ("qwennb cache info",),
                ),
                Command(
                    "prune", "Forget answers, told first what it would cost to ask again.", "cache:prune",
                    ("qwennb cache prune --older-than 30d", "qwennb cache prune --model 9b --yes"),
                ),
                Command(
                    "usage", "What was spent, by day, model, endpoint and notebook.", "cache:usage",
                    ("qwennb cache usage", "qwennb cache usage --by model --since 2026-11-01"),
                ),
            ),
        ),
        Command(
            "local", "The embedded local model.",
            below=(
                Command(
                    "pull", "Fetch a model, checked by its hash.", "local:pull",
                    ("qwennb local pull",),
                ),
                Command(
                    "serve", "Serve a model to other programs of this machine.", "local:serve",
                    ("qwennb local serve --port 8080",),
                ),
                Command(
                    "list", "The models that are here.", "local:list_models",
                    ("qwennb local list",),
                ),
            ),
        ),
        Command(
            "pack", "The answers a notebook uses, in one file beside it.", "pack:pack",
            ("qwennb pack analysis.ipynb", "qwennb pack --merge mine.qwenpack theirs.qwenpack -o both.qwenpack"),
        ),
        Command(
            "verify", "Run a notebook on its pack alone: offline, and as it was saved?", "verify:verify",
            ("qwennb verify analysis.ipynb", "qwennb verify notebooks/one.ipynb notebooks/two.ipynb --env DATA_FOLDER"),
        ),
        Command(
            "drift", "Ask a notebook's questions again elsewhere, and see which answers change.", "drift:drift",
            (
                "qwennb drift analysis.ipynb --model 27b --endpoint vllm",
                "qwennb drift analysis.ipynb --set temperature=0 --budget 0.50 --html drift.html",
            ),
        ),
        Command(
            "trust", "Let a project's pyproject.toml name an address, a folder of answers or a model file.",
            "trust:trust", ("qwennb trust .", "qwennb trust --list"),
        ),
        Command(
            "simulate", "An endpoint that behaves like a real one, as a server.", "simulate:simulate",
            ("qwennb simulate --dialect vllm --port 8000", "qwennb simulate --dialect openrouter --rps 5"),
        ),
    ),
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """As argparse's, but a mistake is a `BadInput`, and help has one width everywhere and ends with examples."""

    def __init__(self, prog: str, description: str, examples: Sequence[str] = ()) -> None:
        head = "example:" if len(examples) == 1 else "examples:"
        super().__init__(
            prog=prog,
            description=description,
            epilog="\n".join([head, *(f"  {example}" for example in examples)]) if examples else None,
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH - 2),
        )
        self.color = False
        self.add_argument("-h", "--help", action="store_true", help="show this and exit")
        self.add_argument("--debug", action="store_true", help="show the traceback of a failure")

    def add_timeout(self) -> None:
        """Add the option that says how long one cell of a notebook may take."""
        self.add_argument(
            "--timeout",
            type=_seconds,
            default=600.0,
            metavar="SECONDS",
            help="the most for one cell (600)",
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
            return _run(COMMANDS, "qwennb", words, world)
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


def _run(command: Command, path: str, words: list[str], world: World) -> int:
    if not command.below:
        return _run_leaf(command, path, words, world)
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
    options = words[:first]
    if command is COMMANDS and "--version" in options:
        from qwennb import __version__

        world.say(f"qwennb {__version__}")
        return 0
    if strange := [word for word in options if word not in ("-h", "--help", "--debug")]:
        raise BadInput(f"{path} takes no {strange[0]!r}. See {path} --help.")
    if "-h" in options or "--help" in options or (first is None and command is COMMANDS):
        world.say(*_help(command, path))
        return 0
    names = {below.name: below for below in command.below}
    if first is None:
        raise BadInput(f"{path} what? There are {', '.join(names)}. See {path} --help.")
    if (name := words[first]) not in names:
        raise BadInput(
            f"There is no command `{path} {name}`{nearest(name, names) or '; there are ' + ', '.join(names) + '.'}"
        )
    return _run(names[name], f"{path} {name}", [*options, *words[first + 1 :]], world)


def _run_leaf(command: Command, path: str, words: list[str], world: World) -> int:
    module, _, name = command.home.partition(":")
    home = import_module(f"qwennb.cli.{module}")
    parser = Parser(path, command.about, command.examples)
    if (options := getattr(home, f"{name}_options", None)) is not None:
        options(parser)
    if "-h" in words or "--help" in words:
        world.say(*parser.format_help().rstrip().split("\n"))
        return 0
    run: Callable[[Any, World], int] = getattr(home, name)
    return run(parser.read(words), world)


def _help(command: Command, path: str) -> list[str]:
    lines = [f"usage: {path} <command> [options]", "", command.about, ""]
    width = max(len(below.name) for below in command.below)
    for below in command.below:
        head = f"  {below.name.ljust(width)}  "
        lines += wrap(below.about, first=head, indent=" " * len(head))
    lines += ["", f"{path} <command> --help tells more of each."]
    if command is COMMANDS:
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
