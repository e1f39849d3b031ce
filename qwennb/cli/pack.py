"""`qwennb pack`: the answers that a notebook uses, in one file beside it.

The notebook is run from start to end in a fresh kernel, in replay: exactly what is recalled there, by cells, chats,
tool steps and columns, is the pack. What is about to be shared is shown before it is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from qwennb.answer import markup
from qwennb.cache import Name, Pack, Packs
from qwennb.cli.cache import opened
from qwennb.cli.command import Parser
from qwennb.cli.text import amount, plural, wrapped
from qwennb.cli.world import World
from qwennb.errors import BadInput, NotRecorded, PackRefused

SAMPLES = 5
DECLINED = 1


def pack_options(parser: Parser) -> None:
    """The options of `qwennb pack`."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="a saved notebook")
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="the pack (default: beside the notebook, NAME.qwenpack); .zst compresses",
    )
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="FILE",
        help="recall from this pack too",
    )
    parser.add_argument(
        "--media",
        action="store_true",
        help="put pictures, videos and PDFs beside the pack, each under its hash",
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="KEY",
        help="let stay what looks like a secret in the line of this key, and is none",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="don't ask back")
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="the most for one cell (600)"
    )


def pack(given: Any, world: World) -> int:
    """Run the notebook in replay, show what it recalled, and write it on a yes."""
    notebook = world.folder / given.notebook
    if not notebook.is_file():
        raise BadInput(f"There is no notebook {given.notebook}.")
    target = world.folder / given.out if given.out else notebook.with_suffix(".qwenpack")
    made = _packed(notebook, target, given, world)
    if not len(made):
        raise NotRecorded(f"{notebook.name} recalled no answer, so there is nothing to pack.")
    lines = sum(len(line) + 1 for line in made.lines())
    world.say(f"{notebook.name} recalls {plural(len(made), 'answer')}, {amount(lines)}:", *_told(made), "")
    world.say(*_samples(made), "")
    made.check(allow=given.allow, environ=world.environ)
    if not (given.yes or world.agrees(f"Write them to {target.name}, for others to read?")):
        world.say("Nothing was written.")
        return DECLINED
    made.write(target, allow=given.allow, environ=world.environ)
    world.say(f"{target.name}: {plural(len(made), 'answer')}, root {made.root}")
    if given.media and (folder := _media_folder(target)).is_dir():
        world.say(f"{folder.name}: {plural(sum(1 for _ in folder.iterdir()), 'file')}, each under its sha256")
    return 0


def _sources(named: Sequence[str], target: Path, world: World) -> list[Path]:
    """The packs that the notebook may recall from: those named, the environment's, and the one that is to be made anew."""
    found = [world.folder / name for name in named]
    if path := world.environ.get("QWENNB_PACK"):
        found.append(world.folder / path)
    return [*found, *([target] if target.is_file() else [])]


def _packed(notebook: Path, target: Path, given: Any, world: World) -> Pack:
    """What running *notebook* in replay recalls."""
    from qwennb.notebook.running import RunningPlace, run_notebook

    config = world.config()
    sources = _sources(given.sources, target, world)
    packs = Packs()
    for path in sources:
        packs.load(Pack.read(path), str(path))
    above = {"cache": "replay", "cache_dir": str(config.cache_dir.absolute())}
    settings: dict[str, str] = {}
    if sources:
        settings["QWENNB_PACK"] = _joined(sources)
    if given.media:
        settings["QWENNB_MEDIA"] = str(_media_folder(target).absolute())
    with RunningPlace.made(sealed=False) as place:
        cells = run_notebook(
            notebook,
            place,
            above,
            settings=settings,
            compare=False,
            timeout=given.timeout,
            environ=world.environ,
        )
    for cell in cells:
        if cell.trouble:
            raise NotRecorded(
                f"Cell {cell.number} of {notebook.name} ({cell.title}) failed in replay: {cell.trouble}\n"
                "Run the notebook once from start to end with the cache on, then pack it again."
            )
    names = list({Name(use.key, use.endpoint) for cell in cells for use in cell.uses if not use.missing})
    with opened(config.cache_dir) as memory:
        own = {} if memory is None else memory.store.get_many(names)
        default = packs.default or (None if memory is None else memory.default(notebook.name)) or ("", "")
    records = packs.records(names) | own
    if len(records) < len(names):
        raise PackRefused(
            f"{plural(len(names) - len(records), 'answer')} that {notebook.name} recalls are neither in {config.cache_dir} nor in "
            "a pack named here. Name the pack that it loads itself: --from FILE."
        )
    asked = Pack.of_records(records)
    # What a request without a model means was noted when it was asked; it counts only if this notebook asked it.
    return asked.replayed_with(default[0]) if default[0] in asked.models else asked


def _joined(paths: Iterable[Path]) -> str:
    return os.pathsep.join(str(path.resolve()) for path in paths)


def _media_folder(target: Path) -> Path:
    return target.with_name(target.name.removesuffix(".zst") + ".media")


def _told(made: Pack) -> list[str]:
    """Which models at which endpoints, with how many answers each."""
    counts = Counter((answer.model, answer.endpoint) for answer in made)
    return [
        f"  {n:,} from {model} at {endpoint if len(endpoint) <= 44 else endpoint[:43] + '…'}"
        for (model, endpoint), n in counts.most_common()
    ]


def _samples(made: Pack) -> list[str]:
    """A few of its answers, from all over it, so that whoever packs sees what is about to be shared."""
    answers = list(islice(made, 0, None, max(1, -(-len(made) // SAMPLES))))
    lines = [f"{'All of them' if len(answers) == len(made) else plural(len(answers), 'sample')}:"]
    for answer in answers:
        lines += wrapped(_short(answer.request.question), first=f"  {answer.key[:12]}  > ", indent=" " * 18)
        said = answer.text or ", ".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)
        lines += wrapped(_short(said), first=f"{'':16}= ", indent=" " * 18)
    return lines


def _short(text: str) -> str:
    words = " ".join(markup.plain(text).split())
    return words if len(words) <= 160 else words[:159] + "…"
