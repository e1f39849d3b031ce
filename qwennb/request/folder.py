"""What a folder or a pattern among `files=` stands for: the documents in it, sorted by name, and what was left out.

    files="src/"    files=["docs/*.md", "**/*.py"]    files=["src/", "!src/settings.py"]

Left out are what git ignores, hidden files, links, what is empty and what is no text, PDF or office file; each is counted and
told. A secret in one of them is refused before anything is made of it. Links are never followed, so nothing outside the folder
is opened.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from qwennb.config import Secret
from qwennb.documents import kind_of_document
from qwennb.errors import BadInput, MediaError
from qwennb.request.ignore import IgnoreRules
from qwennb.request.media import Medium
from qwennb.request.recognise import medium_of, recognise
from qwennb.request.source import (
    CAPS,
    HEAD,
    IMAGES,
    VIDEOS,
    amount,
    file_name,
    kind_of,
    list_elsewhere,
    read_file,
    read_head,
)
from qwennb.secrets import SecretScanner
from qwennb.text import join_some, plural

MOST_FILES = 20_000  # of one folder; a question about more is a mistake in the path
MOST_BYTES = 512 << 20
_MAGIC = re.compile(r"[*?\[]")
_TEXTS = ("text", "csv", "html")

# Why a file is left out, in the order in which it is told; of one and of several.
_REASONS = {
    "ignored": ("ignored by .gitignore",) * 2,
    "hidden": ("hidden",) * 2,
    "binary": ("that is no document (a picture, a binary)", "that are no documents (pictures, binaries)"),
    "encoding": ("whose text is not UTF-8",) * 2,
    "empty": ("empty",) * 2,
    "link": ("a link", "links"),
    "odd": ("that can't be read",) * 2,
}


def read_files(given: Any, environ: Mapping[str, str]) -> tuple[list[Medium], list[str]]:
    """Read what the user gave among `files=`; of each folder and pattern, say in a sentence what was left out.

    Secrets are looked for by their patterns, and by the values in *environ*.
    """
    if isinstance(given, Mapping):
        raise BadInput("files= takes a list, not a dict.")
    items = list(given) if isinstance(given, list | tuple) else [given]
    without = [item[1:] for item in items if _is_exclusion(item)]
    media: list[Medium] = []
    told: list[str] = []
    has_folder = False
    for item in items:
        if _is_exclusion(item):
            continue
        if (folder := _open_folder(item, without)) is None:
            media.append(recognise(item))
            continue
        has_folder = True
        found = folder.read(environ)
        media += found
        if left_out := folder.tell():
            are = "is" if len(found) == 1 else "are"
            told.append(f"Of {folder.typed}, {plural(len(found), 'file')} {are} sent. Left out: {left_out}.")
    if without and not has_folder:
        raise MediaError(
            f"!{without[0]} leaves something out of a folder, and no folder is given; leave it away"
        )
    return media, told


def _is_exclusion(item: object) -> bool:
    return isinstance(item, str) and item.startswith("!") and len(item) > 1 and not os.path.lexists(item)


def _open_folder(item: object, without: Sequence[str]) -> _Folder | None:
    """Make *item* a folder that is read; None where it is no folder and no pattern."""
    if not isinstance(item, str | os.PathLike):
        return None
    typed = os.fsdecode(item)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://|data:", typed):
        return None
    exists = True
    with suppress(OSError, ValueError, RuntimeError):  # what can be no path is refused where it is read
        path = Path(typed).expanduser()
        exists = path.exists()
        if path.is_dir():
            return _Folder(typed, typed, without)
    if exists:
        return None
    if not _MAGIC.search(typed):  # a file that is missing, or a folder that a pack knows
        folder = _Folder(typed, typed, without)
        return folder if folder.list_recorded() else None
    parts = typed.replace(os.sep, "/").split("/")
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    root = "/".join(parts[:first]) or ("/" if typed.startswith("/") else ".")
    return _Folder(typed, root, without, "/".join(parts[first:]))


@dataclass
class _Folder:
    """A folder that the user gave, or the pattern of files below one, and what is left out of it."""

    typed: str
    root: str  # as it was typed
    without: Sequence[str]  # what the user leaves out, in the words of a .gitignore
    pattern: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        base = os.path.basename(os.path.normpath(self.root))  # noqa: PTH119
        self._prefix = "" if base in ("", ".", "..") else f"{base}/"
        try:
            self._excluded = GitIgnoreSpec.from_lines(self.without)
            self._fits = None if self.pattern is None else re.compile(_expression(self.pattern))
        except (ValueError, re.error) as error:
            raise MediaError(
                f"{self.typed} is no pattern of names ({error}); use *, ?, [a-z] and **"
            ) from None

    def tell(self) -> str:
        """Say what was left out, and how many of each; empty where nothing was."""
        return ", ".join(
            f"{n:,} {words[n > 1]}" for why, words in _REASONS.items() if (n := self.left_out[why])
        )

    def read(self, environ: Mapping[str, str]) -> list[Medium]:
        """Read its documents, sorted by name; secrets are refused."""
        leaks = SecretScanner.from_environ(environ, Secret.in_use())
        media: list[Medium] = []
        secrets: list[tuple[str, int, str]] = []
        size = 0
        for name, path in self._list_files():
            try:
                medium = self._read(name, path)
            except MediaError:
                self.left_out["odd"] += 1
                continue
            if medium is None:
                continue
            data = medium.data or b""
            if (size := size + len(data)) > MOST_BYTES:
                raise MediaError(
                    f"{self.typed} has more than {amount(MOST_BYTES)} to read; give a smaller folder, or a pattern such as **/*.md"
                )
            if medium.kind in _TEXTS and leaks.find(data) is not None:
                secrets.append((name, *_find_line(data, leaks)))
            media.append(medium)
        if secrets:
            raise MediaError(self._refuse_secrets(secrets))
        if not media:
            left_out = f"left out: {self.tell()}" if self.left_out else "it is empty"
            raise MediaError(
                f"{self.typed} has nothing that can be read ({left_out}); give a file, or another folder"
            )
        return media

    def _refuse_secrets(self, secrets: Sequence[tuple[str, int, str]]) -> str:
        name, line, kind = secrets[0]
        others = plural(len(secrets) - 1, "more file")
        more = (
            f", and {others} of {self.typed} {'holds' if len(secrets) == 2 else 'hold'} one too"
            if len(secrets) > 1
            else ""
        )
        without = join_some([f'"!{name}"' for name, _, _ in secrets], 3, last=" and ")
        return (
            f"{self._prefix}{name} holds {kind} in line {line:,}{more}; nothing is sent. Take it out, or leave the file out: "
            f'files=["{self.typed}", {without}]'
        )

    # ------------------------------------------------------------------ finding files

    def _list_files(self) -> list[tuple[str, str]]:
        """List the files that are meant: the name of each from the folder on, and where it is."""
        top = Path(self.root).expanduser()
        if not top.is_dir():
            if recorded := self.list_recorded():
                return recorded
            raise MediaError(
                f"no file matches {self.typed}: there is no folder {self.root}; check the pattern"
            )
        found: list[tuple[str, str]] = []
        real = os.path.realpath(top)
        for one in self._walk(real, "", IgnoreRules(Path(real))):
            if len(found) == MOST_FILES:
                raise MediaError(
                    f"{self.typed} has more than {MOST_FILES:,} files; give a smaller folder, or a pattern such as **/*.md"
                )
            found.append(one)
        if self.pattern is not None and not found and not self.left_out:
            raise MediaError(f"no file matches {self.typed}; check the pattern and the current folder")
        return sorted(found, key=lambda one: one[0].split("/"))

    def list_recorded(self) -> list[tuple[str, str]]:
        """List the files of the missing folder that recorded requests were asked with."""
        names = sorted(list_elsewhere(self.root, self._prefix), key=lambda name: name.split("/"))
        return [
            (name, os.path.join(self.root, name))  # noqa: PTH118
            for name in names
            if not self._is_excluded(name) and (self._fits is None or self._fits.fullmatch(name))
        ]

    def _walk(self, folder: str, inner: str, rules: IgnoreRules) -> Iterator[tuple[str, str]]:
        rules.enter(folder)
        try:
            entries = list(os.scandir(folder))
        except OSError:
            self._leave_out("odd", inner)
            return
        for entry in entries:
            name = f"{inner}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if self._is_excluded(f"{name}/" if is_folder else name):
                continue
            if entry.name.startswith(".") and (entry.name == ".git" or not self._takes_hidden):
                self._leave_out("hidden", name, is_folder=is_folder)
            elif entry.is_symlink():
                self._leave_out("link", name)
            elif rules.ignore(entry.path, is_folder=is_folder):
                self._leave_out("ignored", name, is_folder=is_folder)
            elif is_folder:
                if self._goes_deeper(name):
                    yield from self._walk(entry.path, f"{name}/", rules)
            elif self._fits is None or self._fits.fullmatch(name):
                yield name, entry.path

    def _leave_out(self, why: str, name: str, *, is_folder: bool = False) -> None:
        # Of what a pattern does not mean, nothing is told.
        if self._fits is None or (not is_folder and self._fits.fullmatch(name)):
            self.left_out[why] += 1

    def _is_excluded(self, name: str) -> bool:
        return bool(self.without) and (
            self._excluded.match_file(name) or self._excluded.match_file(self._prefix + name)
        )

    @property
    def _takes_hidden(self) -> bool:
        return self.pattern is not None and any(part.startswith(".") for part in self.pattern.split("/"))

    def _goes_deeper(self, name: str) -> bool:
        return self.pattern is None or "**" in self.pattern or name.count("/") < self.pattern.count("/")

    # ------------------------------------------------------------------ reading one

    def _read(self, name: str, path: str) -> Medium | None:
        """Read the file *name*; None where it is left out."""
        file = file_name(os.path.join(self.root, name))  # noqa: PTH118
        if not os.path.lexists(path):  # out of a pack
            data = read_file(Path(path), CAPS["document"], shown=name, file=file, follow=False)
            return medium_of(data, f"{self._prefix}{name}", file, shown=self._prefix + name)
        head = read_head(Path(path), HEAD, shown=name)
        kind = kind_of(head)
        is_picture = kind in (*IMAGES, *VIDEOS)
        if why := _reason(head, kind, name, takes_pictures=self.pattern is not None):
            self.left_out[why] += 1
            return None
        cap = CAPS["video" if kind in VIDEOS else "document"]
        data = read_file(Path(path), cap, shown=name, file=file, follow=False)
        medium = medium_of(data, f"{self._prefix}{name}", file, shown=self._prefix + name)
        if not is_picture and medium.kind in _TEXTS and not _is_unicode(data):
            self.left_out["encoding"] += 1
            return None
        return medium


def _reason(head: bytes, kind: str, name: str, *, takes_pictures: bool) -> str | None:
    """Tell why a file that begins with *head* is left out; None where it is read."""
    if not head:
        return "empty"
    if kind in (*IMAGES, *VIDEOS):
        return None if takes_pictures else "binary"
    return "binary" if kind == "SVG" or kind_of_document(head, name) is None else None


def _is_unicode(data: bytes) -> bool:
    try:
        data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _find_line(data: bytes, leaks: SecretScanner) -> tuple[int, str]:
    """Find the line with the first secret, and its kind; the first line where it can't be told (it goes over several)."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if (kind := leaks.find(line)) is not None:
            return number, kind
    return 1, leaks.find(data) or "a secret"


def _expression(pattern: str) -> str:
    """Write a pattern of names as a regular expression: `**` is any number of folders, and nothing else crosses a `/`."""
    *folders, last = pattern.split("/")
    made = ["(?:[^/]+/)*" if part == "**" else f"{_part(part)}/" for part in folders]
    return "".join([*made, ".+" if last in ("**", "") else _part(last)])


def _part(part: str) -> str:
    """Write one name of a pattern as a regular expression; in brackets a leading `!` means none of what follows."""
    made = []
    for sign in re.findall(r"\[!?\]?[^\]]*\]|.", part, re.DOTALL):
        if sign in ("*", "**"):
            made.append("[^/]*")
        elif sign == "?":
            made.append("[^/]")
        elif len(sign) > 1:
            inside = sign[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
            made.append(f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
        else:
            made.append(re.escape(sign))
    return "".join(made)
