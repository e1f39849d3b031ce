"""`qwennb verify`: does a notebook run for anybody, with no network and no key, and show what was saved?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.errors import BadInput, QwenError

SAME, DIFFERS, CANT = 0, 1, 2


def verify_options(parser: Parser) -> None:
    """Add the options of `qwennb verify`."""
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="saved notebooks")
    parser.option("--pack FILE", "the pack (default: the one that has the notebook's name)")
    parser.option(
        "--env NAME", "let the notebook have this variable of your environment too", [], dest="variables"
    )
    parser.switch(
        "--accept-figures", "take the recorded answers for figures that another matplotlib draws otherwise"
    )
    parser.add_timeout()


def verify(given: Any, world: World) -> int:
    """Run each notebook and say what came of it. 0: all as saved; 1: something differs; 2: one could not be run."""
    if given.pack is not None and len(given.notebooks) > 1:
        raise BadInput("--pack is for one notebook. Leave it out, and each is run with its own.")
    told: set[str] = set()

    def tell(line: str) -> None:
        """Say *line*, once for all notebooks."""
        if line not in told:
            world.note(line)
        told.add(line)

    several = len(given.notebooks) > 1
    return max(_verify_one(Path(name), given, world, tell, several=several) for name in given.notebooks)


def _verify_one(name: Path, given: Any, world: World, tell: Callable[[str], None], *, several: bool) -> int:
    from qwennb.notebook.verify import verify as verified

    pack = None if given.pack is None else world.folder / given.pack
    prefix = f"{name}: " if several else ""
    try:
        notebook = world.notebook(str(name))
        verdict = verified(
            notebook,
            pack,
            timeout=given.timeout,
            environ=world.environ,
            variables=given.variables,
            accept_figures=given.accept_figures,
            tell=tell,
        )
    except QwenError as error:
        world.note(f"{prefix}{error}")
        return CANT
    world.say(*verdict.details())
    world.say(f"{prefix}{verdict.sentence()}")
    if any("KeyError: '" in cell.trouble and "environ" in cell.source for cell in verdict.cells):
        world.note("A variable of your own environment is let in with --env NAME.")
    return SAME if verdict.same else DIFFERS
