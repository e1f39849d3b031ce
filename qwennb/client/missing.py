"""A picture, video or PDF that is not where the notebook says, where an answer was recorded: told by file and hash.

The question is made with a stand-in for what is missing. The recorded request that is nearest to it says which hash the
file had.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwennb.client.options import Options
from qwennb.request import Image, Pdf, Video
from qwennb.text import join_some

STAND_IN = "0" * 64
MOST_TOLD = 3


def without_missing(options: Options) -> Options | None:
    """*options* with a stand-in for each file that is not there; None where all are."""
    given = {name: _several(getattr(options, name)) for name in ("images", "videos", "files")}
    made: dict[str, Any] = {
        name: [_stand_in(name, one) for one in several] for name, several in given.items()
    }
    return None if made == given else replace(options, **made)


def hashes_told(nearest: Sequence[tuple[str, Sequence[str]]], asked: Options) -> str:
    """A sentence on the hashes that *nearest*, recorded requests with their media, have where *asked* has stand-ins."""
    media = [one for name in ("images", "videos", "files") for one in _several(getattr(asked, name))]
    places = [-len(media) + i for i, one in enumerate(media) if getattr(one, "digest", None) == STAND_IN]
    # The options' media stand behind those of the prompt.
    hashes = [(key, [known[p] for p in places if -p <= len(known)]) for key, known in nearest]
    hashes = [(key, known) for key, known in hashes if all(known) and known]
    if not hashes:
        return ". No request is recorded that is near to this one and came with a file"
    told = [f"{key[:12]} with sha256 {' and '.join(known)}" for key, known in hashes]
    return f". The nearest that is recorded: {join_some(told, MOST_TOLD, '; ')}"


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _stand_in(option: str, given: Any) -> Any:
    if not isinstance(given, str | os.PathLike):
        return given
    typed = os.fsdecode(given)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://|data:", typed) or Path(typed).expanduser().exists():
        return given
    kind: type[Image | Video | Pdf] = {"images": Image, "videos": Video}.get(option, Image)
    if option == "files":
        ending = Path(typed).suffix.lower()
        kind = Pdf if ending == ".pdf" else Video if ending in _VIDEOS else Image
    return kind.from_json({"type": kind.TYPE, "sha256": STAND_IN})


_VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".mpeg", ".mpg", ".avi")
