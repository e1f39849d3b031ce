"""The pictures, videos and PDFs that recorded requests were asked with, in a folder beside the pack, each under its hash.

    9f86….png     a file as it was sent, called by the sha256 that stands in the request
    names         which file of the notebook's each one was: the sha256 of the file's name, and the file here

So whoever has notebook, pack and folder needs none of the notebook's own files: one that is missing is taken from here.
The names are hashed because a column's may say what is nobody's business; whoever looks for a file knows its name.

A folder may come from a stranger. Only what the pack's own requests were asked with is taken, only from a plain file,
never through a link, and only if its bytes have the hash. Nothing is decoded for that.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from qwennb.config import Secret
from qwennb.errors import MediaError, PackRefused
from qwennb.files import replace_file
from qwennb.request import Medium, Request, Text, Video, read_file
from qwennb.secrets import SecretScanner

NAMES = "names"
LONGEST_NAMES = 32 * 2**20  # bytes; some two hundred thousand files
LARGEST = 2**30  # bytes of one file that is copied
_OURS = re.compile(r"names|[0-9a-f]{64}\.[a-z0-9]{1,8}")
_LINE = re.compile(rb"([0-9a-f]{64})  ([0-9a-f]{64}\.[a-z0-9]{1,8})")


class PackMedia:
    """One such folder. It is made with the first file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: set[tuple[str, str]] = set()
        self._named: dict[str, list[str]] | None = None  # what stood in `names` when the first was put there
        self._read: tuple[tuple[int, int], dict[str, list[str]]] = ((0, 0), {})

    @classmethod
    def beside(cls, pack: Path) -> PackMedia:
        """Name the folder of the pack in the file *pack*: `analysis.qwenpack.media`, compressed or not."""
        return cls(pack.with_name(pack.name.removesuffix(".zst") + ".media"))

    # ------------------------------------------------------------------ putting there

    def keep(self, media: Iterable[Medium]) -> None:
        """Put these there, those of a video that is a list of pictures one by one. What has no bytes is passed over."""
        for item in media:
            if isinstance(item, Video) and item.frames:
                self.keep(item.frames)
            elif item.data is not None and item.url is None:
                if (item.digest, "") not in self._kept:
                    self._write(item)
                    self._kept.add((item.digest, ""))
                if (file := item.source.file) and (item.digest, file) not in self._kept:
                    self._name(file, f"{item.digest}.{item.kind}")
                    self._kept.add((item.digest, file))

    def _write(self, item: Medium) -> None:
        ending, content = item.as_file()
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{item.digest}.{ending}", content, private=False)

    def _name(self, file: str, kept: str) -> None:
        if self._named is None:
            self._names_of(file)
            self._named = self._read[1]
        if kept in self._named.get(_hash_name(file), ()):
            return
        with os.fdopen(self._open_names(), "ab") as names:
            names.write(f"{_hash_name(file)}  {kept}\n".encode())

    def _open_names(self) -> int:
        flags = (
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        )
        return os.open(self.folder / NAMES, flags, 0o666)

    def take_over(self, made: PackMedia) -> None:
        """Hold exactly what *made* holds, which is another folder of this kind, and of our own making."""
        self._refuse_link()
        for old in self._files():
            old.unlink()
        for file in made._files():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, self.folder / file.name, follow_symlinks=False)

    def add(self, made: PackMedia) -> None:
        """Hold what *made* holds too, which is another folder of this kind."""
        self._refuse_link()
        made._refuse_link()
        for file in made._files():
            self.folder.mkdir(parents=True, exist_ok=True)
            content = made._content(file.name, LARGEST)
            if file.name == NAMES:
                with os.fdopen(self._open_names(), "ab") as names:
                    names.write(content)
                continue
            with suppress(FileExistsError), (self.folder / file.name).open("xb") as copy:
                copy.write(content)

    def check(self, environ: Mapping[str, str]) -> None:
        """Raise PackRefused where a file holds the value of a key, of *environ* or in use here."""
        leaks = SecretScanner.from_environ(environ, Secret.in_use())
        for file in self._files():
            if (kind := leaks.find(file.read_bytes(), by_value_only=True)) is not None:
                raise PackRefused(
                    f"A {file.suffix[1:].upper()} that is asked about (sha256 {file.stem[:12]}…) holds {kind}. Nothing was "
                    "written. Take it out and ask again, or leave --media out."
                )

    @property
    def count(self) -> int:
        """How many pictures, videos and PDFs are here."""
        return sum(file.name != NAMES for file in self._files())

    def _files(self) -> list[Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return [file for file in found if _OURS.fullmatch(file.name)]

    # ------------------------------------------------------------------ taking from there

    def find(self, file: str, cap: int, digests: Collection[str]) -> bytes | None:
        """Read what the *file* of that name was, if it is here and one of *digests*; MediaError where it is not what it should be."""
        found = [kept for kept in self._names_of(file) if kept[:64] in digests]
        if not found:
            return None
        if len(found) > 1:
            raise MediaError(
                f"there is no file {file}, and it stood for {len(found)} different files when the pack was made, so "
                f"{self.folder.name} can't tell which is meant; put the file where the notebook looks for it"
            )
        content = self._content(found[0], cap)
        if sha256(content).hexdigest() != found[0][:64]:
            raise MediaError(
                f"there is no file {file}, and what {self.folder.name} has for it was changed: it is not of sha256 "
                f"{found[0][:64]}; get the folder again, or put the file where the notebook looks for it"
            )
        return content

    def has(self, file: str, digest: str) -> bool:
        """Tell whether a *file* of that name was of that sha256."""
        return any(kept.startswith(digest) for kept in self._names_of(file))

    def read(self, digest: str) -> bytes | None:
        """Read the file of that sha256, if it is here. Whether it is what it should be is for whoever takes it."""
        found = [file.name for file in self._files() if file.stem == digest]
        return self._content(found[0], LARGEST) if found else None

    def fill(self, request: Request) -> Request:
        """Give *request* the pictures, videos and PDFs that lie here."""
        if not request.media:
            return request

        def fill(part: Any) -> Any:
            if isinstance(part, Video) and part.frames:
                return Video([fill(frame) for frame in part.frames], fps=part.fps, max_pixels=part.max_pixels)
            if isinstance(part, Text) or part.kind != "record" or (content := self.read(part.digest)) is None:
                return part
            return type(part).from_json(part.to_json(), content)

        messages = [replace(message, parts=tuple(map(fill, message.parts))) for message in request.messages]
        return replace(request, messages=tuple(messages))

    def _names_of(self, file: str) -> list[str]:
        """List the files here that a *file* of that name was, as `names` tells."""
        names = self.folder / NAMES
        try:
            self._refuse_link()
            status = names.lstat()
        except OSError:
            return []
        state = status.st_mtime_ns, status.st_size
        if self._read[0] != state:
            written = b""
            if status.st_size:
                written = self._content(NAMES, LONGEST_NAMES)
            self._read = state, self._read_names(written)
        return self._read[1].get(_hash_name(file), [])

    def _refuse_link(self) -> None:
        if self.folder.is_symlink():
            raise MediaError(
                f"{self.folder.name} is a link, and nothing is read through one; get the folder itself"
            )

    def _content(self, name: str, cap: int) -> bytes:
        path, shown = self.folder / name, f"{self.folder.name}/{name}"
        if path.is_symlink():
            raise MediaError(f"{shown} is a link, and nothing is read through one; get the folder again")
        return read_file(path, cap, shown=shown, file="", follow=False)

    def _read_names(self, written: bytes) -> dict[str, list[str]]:
        made: dict[str, list[str]] = {}
        for line in written.splitlines():
            if (match := _LINE.fullmatch(line)) is None:
                raise MediaError(
                    f"{self.folder.name}/{NAMES} is not as qwennb writes it; get the folder again"
                )
            kept = made.setdefault(match[1].decode(), [])
            if (one := match[2].decode()) not in kept:
                kept.append(one)
        return made


def _hash_name(file: str) -> str:
    return sha256(file.encode("utf-8", "surrogateescape")).hexdigest()
