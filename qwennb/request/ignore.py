"""Which files of a folder git would leave out: the `.gitignore` of the folder, of those in it, and of those above it.

The rules are pathspec's, as git has them: the last line that fits decides, `!` takes back, and what lies in a folder that is
left out can't be taken back. Above the folder, files count up to the one that has a `.git`; outside a repository there is
nobody whose rules they could be. Rules that only this machine has (`core.excludesFile`, `.git/info/exclude`) are not read:
the same folder is the same question everywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from pathspec import GitIgnoreSpec

from qwennb.errors import MediaError
from qwennb.request.source import read_file

_NAME = ".gitignore"
_LARGEST = 1 << 20  # bytes of one; the longest in use have some thousand lines


class IgnoreRules:
    """The rules that hold in *root* and below it."""

    def __init__(self, root: Path) -> None:
        self._specs: list[tuple[str, GitIgnoreSpec]] = []  # by folder, the outermost first
        for folder in _folders_above(root):
            self.enter(folder)

    def enter(self, folder: str) -> None:
        """Take in the rules that stand in *folder*; it is called for each folder before what is in it."""
        if (spec := _read_rules(folder)) is not None:
            self._specs.append((folder, spec))

    def ignore(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether *path* is left out."""
        for folder, spec in reversed(self._specs):
            if path.startswith(folder.rstrip(os.sep) + os.sep):
                inner = os.path.relpath(path, folder).replace(os.sep, "/") + ("/" if is_folder else "")
                if (told := spec.check_file(inner).include) is not None:
                    return told
        return False


def _folders_above(root: Path) -> list[str]:
    """List the folders above *root* whose rules hold in it; none where it is in no repository."""
    above: list[str] = []
    folder = root
    while not (folder / ".git").exists():
        if folder.parent == folder:
            return []
        folder = folder.parent
        above.insert(0, str(folder))
    return above


def _read_rules(folder: str) -> GitIgnoreSpec | None:
    path = Path(folder, _NAME)
    if path.is_symlink() or not path.is_file():  # git reads none through a link either
        return None
    try:
        text = read_file(path, _LARGEST, shown=_NAME, file="", follow=False).decode("utf-8", "replace")
    except MediaError:  # empty, or it can't be read
        return None
    return GitIgnoreSpec.from_lines(line for line in text.splitlines() if _is_rule(line))


def _is_rule(line: str) -> bool:
    """Tell whether pathspec can read *line*; git, too, passes over what it can't."""
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
