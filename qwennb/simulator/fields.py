"""Which fields of a body a server reads, and what the body looks like to it.

A dialect lists dotted names. A name without listed children is read whole; one with children is read only in those.
Lists are transparent: `messages.content.text` is the text of any part of any message. What is not listed is cut away
before anything else looks at the body, so an ignored field can't have an effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Fields", "Tree", "field_tree"]

Tree = dict[str, "Tree"]


def field_tree(names: Iterable[str]) -> Tree:
    """Dotted names as a tree."""
    tree: Tree = {}
    for name in names:
        at = tree
        for step in name.split("."):
            at = at.setdefault(step, {})
    return tree


class Fields:
    """A body seen through a tree: `seen` is what the server reads, `read` and `ignored` are the names."""

    __slots__ = ("ignored", "read", "seen")

    def __init__(self, body: dict[str, Any], tree: Tree) -> None:
        self.read: set[str] = set()
        self.ignored: set[str] = set()
        self.seen: dict[str, Any] = self._cut(body, tree, "")

    def _cut(self, value: dict[str, Any], tree: Tree, above: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            dotted = above + name
            below = tree.get(name)
            if below is None:
                self.ignored.add(dotted)
                continue
            self.read.add(dotted)
            if below and isinstance(inner, dict):
                kept[name] = self._cut(inner, below, dotted + ".")
            elif below and isinstance(inner, list):
                kept[name] = [
                    self._cut(item, below, dotted + ".") if isinstance(item, dict) else item for item in inner
                ]
            else:
                kept[name] = inner
        return kept
