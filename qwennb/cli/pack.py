"""`qwennb pack`: the answers that a notebook uses, in one file beside it.

The notebook is run from start to end in a fresh kernel, in replay: exactly what is recalled there, by cells, chats,
tool steps and columns, is the pack. What is about to be shared is shown before it is written.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from qwennb.answer import markup
from qwennb.cache import Name, Pack, PackMedia, Packs, merge_packs
from qwennb.cli.cache import open_memory
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.errors import BadInput, NotRecorded, PackRefused
from qwennb.text import amount, first_words, plural, shorten, wrap

SAMPLES = 5
DECLINED = 1


def pack_options(parser: Parser) -> None:
    """Add the options of `qwennb pack`."""
    parser.add_argument("notebook", metavar="NOTEBOOK", nargs="?", help="a saved notebook")
    parser.option(
        "--merge PACK",
        "make one of these packs, in the first or in -o FILE; also of one that git could not merge",
        nargs="+",
    )
    parser.option(
        "--keep",
        "which of two different answers to one request stays when packs are merged",
        choices=("older", "newer"),
    )
    parser.option("-o --out FILE", "the pack (default: beside the notebook, NAME.qwenpack); .zst compresses")
    parser.option("--from FILE", "recall from this pack too", [], dest="sources")
    parser.switch("--media", "put pictures, videos and PDFs beside the pack, for whoever has not got them")
    parser.option("--allow KEY", "let stay what looks like a secret in the line of this key, and is none", [])
    parser.switch("--yes", "don't ask back")
    parser.add_timeout()


def pack(given: Any, world: World) -> int:
    """Run the notebook in replay, show what it recalled, and write it on a yes."""
    if bool(given.merge) == (given.notebook is not None):
        raise BadInput(
            "Give a notebook to pack, or packs to merge: qwennb pack --merge A.qwenpack B.qwenpack"
        )
    if given.merge:
        return _merge(given, world)
    if given.keep is not None:
        raise BadInput("--keep is for packs that are merged. Leave it out, or give them with --merge.")
    notebook = world.notebook(given.notebook)
    target = world.folder / given.out if given.out else notebook.with_suffix(".qwenpack")
    if target.is_dir() or not target.parent.is_dir():  # found out now, and not after the notebook has run
        what = (
            "is a folder" if target.is_dir() else f"can't be written: there is no folder {target.parent.name}"
        )
        raise BadInput(f"{given.out or target.name} {what}. Give the pack a file's name: -o NAME.qwenpack")
    with tempfile.TemporaryDirectory(prefix="qwennb-") as folder:
        return _pack(notebook, target, PackMedia(Path(folder) / "media"), given, world)


def _pack(notebook: Path, target: Path, sources: PackMedia, given: Any, world: World) -> int:
    made = _make_pack(notebook, target, sources, given, world)
    if not len(made):
        raise NotRecorded(f"{notebook.name} recalled no answer, so there is nothing to pack.")
    lines = sum(len(line) + 1 for line in made.lines())
    world.say(
        f"{notebook.name} recalls {plural(len(made), 'answer')}, {amount(lines)}:", *_summary_lines(made), ""
    )
    world.say(*_samples(made), "")
    made.check(allow=given.allow, environ=world.environ)
    sources.check(world.environ)
    beside = PackMedia.beside(target)
    files = (
        f", and {plural(count, 'file')} that they were asked about to {beside.folder.name}"
        if (count := sources.count)
        else ""
    )
    if not (given.yes or world.agrees(f"Write them to {target.name}{files}, for others to read?")):
        world.say("Nothing was written.")
        return DECLINED
    made.write(target, allow=given.allow, environ=world.environ)
    world.say(f"{target.name}: {plural(len(made), 'answer')}, root {made.root}")
    if given.media:
        beside.take_over(sources)
        none = f"{notebook.name} asks about no picture, video or PDF, so there is no {beside.folder.name}."
        world.say(f"{beside.folder.name}: {plural(count, 'file')}, each under its sha256" if count else none)
    return 0


def _sources(named: Sequence[str], target: Path, world: World) -> list[Path]:
    """List the packs that the notebook may recall from: those named, the environment's, and the one that is to be made anew."""
    found = [world.folder / name for name in named]
    found += [world.folder / path for path in world.environ.get("QWENNB_PACK", "").split(os.pathsep) if path]
    return [*found, *([target] if target.is_file() else [])]


def _make_pack(notebook: Path, target: Path, media: PackMedia, given: Any, world: World) -> Pack:
    """Pack what running *notebook* in replay recalls. What was asked about goes to *media*, if it is wanted."""
    from qwennb.notebook.verify import Sandbox, run_notebook

    config = world.config()
    sources = _sources(given.sources, target, world)
    packs = Packs()
    for path in sources:
        try:
            packs.load(Pack.read(path), str(path))
        except PackRefused as error:
            if path != target:
                raise
            raise PackRefused(
                f"{error} It would be written anew: move it away first, or give -o another name."
            ) from None
    above = {"cache": "replay", "cache_dir": str(config.cache_dir.absolute())}
    settings: dict[str, str] = {}
    if sources:
        settings["QWENNB_PACK"] = os.pathsep.join(str(path.resolve()) for path in sources)
    if given.media:
        settings["QWENNB_MEDIA"] = str(media.folder)
    with Sandbox.create(sealed=False) as sandbox:
        cells = run_notebook(
            notebook,
            sandbox,
            above,
            settings=settings,
            compare=False,
            timeout=given.timeout,
            environ=world.environ,
        )
    for cell in cells:
        if cell.trouble:
            raise NotRecorded(
                f"Cell {cell.number} of {notebook.name} ({cell.title}) failed in replay: {cell.trouble} "
                "Run the notebook once from start to end with the cache on, then pack it again."
            )
    names = list({Name(use.key, use.endpoint) for cell in cells for use in cell.uses if not use.missing})
    with open_memory(config.cache_dir) as memory:
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
    return asked.with_default_model(default[0]) if default[0] in asked.models else asked


def _summary_lines(made: Pack) -> list[str]:
    """List which models at which endpoints gave how many answers."""
    counts = Counter((answer.model, answer.endpoint) for answer in made)
    return [
        f"  {n:,} from {model} at {shorten(endpoint, 44)}" for (model, endpoint), n in counts.most_common()
    ]


def _samples(made: Pack) -> list[str]:
    """Show a few of its answers, from all over it, so that whoever packs sees what is about to be shared."""
    answers = list(islice(made, 0, None, max(1, -(-len(made) // SAMPLES))))
    lines = [f"{'All of them' if len(answers) == len(made) else plural(len(answers), 'sample')}:"]
    for answer in answers:
        lines += wrap(
            first_words(markup.plain(answer.request.question), 160),
            first=f"  {answer.key[:12]}  > ",
            indent=" " * 18,
        )
        said = answer.text or ", ".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)
        lines += wrap(first_words(markup.plain(said), 160), first=f"{'':16}= ", indent=" " * 18)
    return lines


# ---------------------------------------------------------------------- one pack out of several


def _merge(given: Any, world: World) -> int:
    """Merge the packs that are named into the first one, or into `-o FILE`."""
    files = [world.folder / name for name in given.merge]
    target = world.folder / given.out if given.out else files[0]
    made = merge_packs(files, given.keep)
    made.pack.write(target, allow=given.allow, environ=world.environ)
    world.say(f"{target.name}: {plural(len(made.pack), 'answer')}, root {made.pack.root}")
    if made.chosen:
        world.say(f"{plural(made.chosen, 'request')} had two different answers: the {given.keep} is kept.")
    if made.defaults:
        (_, model, endpoint), *others = made.defaults
        told = "; ".join(f"{name} says {model} at {endpoint}" for name, model, endpoint in others)
        world.say(f"Where a request names no model it means {model} at {endpoint} ({told}).")
    beside, media = PackMedia.beside(target), map(PackMedia.beside, files)
    elsewhere = [one for one in media if one.count and one.folder != beside.folder]
    for one in elsewhere:
        beside.add(one)
    if elsewhere:
        world.say(f"{beside.folder.name}: {plural(beside.count, 'file')}, each under its sha256")
    return 0
