"""`qwennb trust`: let what leads elsewhere in a project's pyproject.toml be used, see what is trusted, take it back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.config import Config
from qwennb.errors import BadInput
from qwennb.project import Leading, Project, TrustList, show_path


def trust_options(parser: Parser) -> None:
    """Add the options of `qwennb trust`."""
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the project's folder, or one in it")
    parser.switch("--list", "print what is trusted")
    parser.switch("--remove", "trust nothing of FOLDER any more")


def trust(given: Any, world: World) -> int:
    """Trust the values that a project's file has now: they are printed, and kept in the user's own config folder."""
    trusted = TrustList.of(world.environ)
    if given.list:
        known = trusted.read()
        world.say(*(line for file, leading in known.items() for line in _lines(file, leading)))
        if not known:
            world.say("Nothing is trusted.")
        return 0
    if given.folder is None:
        raise BadInput("Which project? Type qwennb trust FOLDER, or qwennb trust --list for what is trusted.")
    folder = world.folder / Path(given.folder).expanduser()
    if given.remove:
        return _remove(folder, trusted, world)
    if not folder.is_dir():
        raise BadInput(f"There is no folder {given.folder}.")
    project = Project.find(folder)
    if project is None:
        raise BadInput(
            f"The pyproject.toml nearest to {given.folder} has no table [tool.qwennb]: there is nothing to trust."
        )
    leading = trusted.add(project, [field.name for field in fields(Config)])
    if not leading:
        world.say(
            f"What {show_path(str(project.file))} sets needs no trust: it names no address, folder or file."
        )
        return 0
    world.say("Trusted, for as long as it stays so:", *_lines(str(project.file), leading))
    world.say(f"To take it back, type: {project.command.replace('trust', 'trust --remove', 1)}")
    return 0


def _remove(folder: Path, trusted: TrustList, world: World) -> int:
    at = folder.resolve()
    for parent in (at, *at.parents):  # the folder itself may be gone
        if trusted.remove(file := parent / "pyproject.toml"):
            world.say(f"Nothing of {show_path(str(file))} is trusted any more.")
            return 0
    raise BadInput(f"Nothing of {show_path(str(at))} is trusted. What is: qwennb trust --list")


def _lines(file: str, leading: list[Leading]) -> list[str]:
    return [show_path(file), *(f"  {one}" for one in leading)]
