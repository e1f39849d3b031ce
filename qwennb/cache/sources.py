"""The pictures, videos and PDFs that recorded requests were asked with, put beside a pack, each under its hash."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from qwennb.request import Image, Pdf, Video

__all__ = ["Sources"]


class Sources:
    """A folder of files called by the sha256 that stands in the request: `9f86….png`. What has no bytes is passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: set[str] = set()

    def keep(self, media: Iterable[Image | Video | Pdf]) -> None:
        """Put these there, those of a video that is a list of pictures one by one."""
        for item in media:
            if isinstance(item, Video) and item.frames:
                self.keep(item.frames)
            elif item.digest not in self._kept and item.data is not None and item.url is None:
                self._write(item)
                self._kept.add(item.digest)

    def _write(self, item: Image | Video | Pdf) -> None:
        ending, content = item.as_file()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{item.digest}.{ending}"
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
