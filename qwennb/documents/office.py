"""What an office file is made of: a zip archive of XML, read with the standard library in a bounded time and memory.

Measured for .docx: python-docx brings 14 MB (lxml) and knows neither footnotes nor the numbers of lists; mammoth is light (1 MB) and
takes eleven times as long; for .pptx python-pptx brings 34 MB. markitdown wants onnxruntime (174 MB in all) and can fetch addresses.
Text, headings, lists, tables and notes are few elements of either format, so they are read here, as a stream, without an extra.
"""

from __future__ import annotations

import io
import posixpath
import time
import zipfile
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

from qwennb.errors import MediaError

MOST_FILES = 20_000
MOST_BYTES = 100 << 20  # of XML that is read of one document, unpacked
_SECONDS = 4  # of the processor's time; a megabyte of XML takes some 0.1
_CHECK = 20_000  # elements between two looks at the clock

Attributes = dict[str, str]


class OfficeFile:
    """The archive, opened; `name` is what an error calls it."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self._room = MOST_BYTES
        self._until = time.thread_time() + _SECONDS
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(content))
            self._files = {entry.filename: entry for entry in self._archive.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise self.make_error(error) from None
        if len(self._files) > MOST_FILES:
            raise MediaError(f"{name} holds {len(self._files):,} files; at most {MOST_FILES:,} are looked at")

    def make_error(self, why: object) -> MediaError:
        """Make the error of a file that is damaged."""
        return MediaError(f"{self.name} is damaged ({why}); open it in its program and save it anew")

    def has(self, part: str) -> bool:
        """Tell whether there is such a *part*."""
        return part in self._files

    def read(self, part: str) -> bytes:
        """Unpack a *part*."""
        entry = self._files.get(part)
        if entry is None:
            raise self.make_error(f"{part} is missing")
        self._room -= entry.file_size
        if self._room < 0:
            raise MediaError(
                f"{self.name} unpacks to more than {MOST_BYTES >> 20} MB of XML, which no document needs; save it anew, in parts"
            )
        try:
            return self._archive.read(entry)  # never more than `file_size`, whatever the packed bytes hold
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
            EOFError,
        ) as error:
            raise self.make_error(error) from None
        except Exception as error:  # zlib.error, lzma.LZMAError: each packing has its own
            raise self.make_error(error) from None

    def walk(
        self,
        part: str,
        start: Callable[[str, Attributes], None],
        end: Callable[[str], None] = lambda name: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Go through the XML of *part*; names are without their prefix, an attribute's too."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        seen = 0

        def begin(name: str, attributes: Attributes) -> None:
            nonlocal seen
            seen += 1
            if seen % _CHECK == 0 and time.thread_time() > self._until:
                raise MediaError(
                    f"{self.name} can't be read within {_SECONDS} s: it holds more than a document does; save it anew, in parts"
                )
            start(
                name.rpartition(" ")[2], {key.rpartition(" ")[2]: value for key, value in attributes.items()}
            )

        def refuse(*_: Any) -> None:
            raise self.make_error("its XML declares a document type")  # where entities are defined that grow

        parser.StartElementHandler = begin
        parser.EndElementHandler = lambda name: end(name.rpartition(" ")[2])
        parser.CharacterDataHandler = say
        parser.StartDoctypeDeclHandler = refuse
        try:
            parser.Parse(self.read(part), True)
        except expat.ExpatError as error:
            raise self.make_error(f"{part}: {error}") from None

    def links(self, part: str) -> dict[str, tuple[str, str]]:
        """Read what *part* refers to, by the name it uses for it: the kind of link, and the part."""
        folder, file = posixpath.split(part)
        named = f"{folder}/_rels/{file}.rels"
        found: dict[str, tuple[str, str]] = {}

        def start(name: str, attributes: Attributes) -> None:
            if name == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
                kind = attributes.get("Type", "").rpartition("/")[2]
                found[attributes.get("Id", "")] = kind, target.lstrip("/")

        if self.has(named):
            self.walk(named, start)
        return found
