"""`qwennb pack --merge`: one pack out of several, or out of one that git could not merge to its end."""

from __future__ import annotations

from typing import Any

from qwennb.cache import PackMedia, merge_packs
from qwennb.cli.world import World
from qwennb.text import plural


def merge(given: Any, world: World) -> int:
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
    _merge_media([PackMedia.beside(file) for file in files], PackMedia.beside(target), world)
    return 0


def _merge_media(found: list[PackMedia], beside: PackMedia, world: World) -> None:
    """Put what stands beside the packs beside the one that was made."""
    others = [sources for sources in found if sources.count and sources.folder != beside.folder]
    for sources in others:
        beside.add(sources)
    if others:
        world.say(f"{beside.folder.name}: {plural(beside.count, 'file')}, each under its sha256")
