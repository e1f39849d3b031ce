"""What the user gave among `files=`, or what a record tells, as the medium that it is."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from qwennb.documents import kind_of_document
from qwennb.errors import MediaError
from qwennb.request.document import Document, Pdf, shown_name
from qwennb.request.media import Image, Medium, Video
from qwennb.request.source import (
    CAPS,
    HEAD,
    IMAGES,
    VIDEOS,
    document_source,
    file_name,
    inside,
    kind_of,
    medium_at_url,
    read_file,
    read_given,
    source_of,
)

_MEDIA: dict[str, type[Medium]] = {one.TYPE: one for one in (Image, Video, Pdf, Document)}


def recognise(anything: object) -> Medium:
    """Tell what the user gave among `files=` apart by its first bytes; a URL, which is not fetched, by its ending."""
    if isinstance(anything, Medium):
        return anything
    if isinstance(anything, (list, tuple)):
        return Video(anything)
    if (read := read_given(anything, max(CAPS.values()))) is None:
        return _at_url(anything) if isinstance(anything, str) else Image(anything)
    return medium_of(*read)


def recognise_under(root: str | os.PathLike[str], name: str) -> Medium:
    """Tell what the file *name* in the folder *root* holds, for names the user did not type (the cells of a column).

    What lies outside the folder, by `..`, by a link or by an absolute path, is refused unopened.
    """
    found, file = inside(root, name), file_name(os.path.join(root, name))  # noqa: PTH118
    return medium_of(read_file(found, max(CAPS.values()), shown=name, file=file, follow=False), name, file)


def medium_of(data: bytes, name: str, file: str, shown: str | None = None) -> Medium:
    """Tell what a file holds by its first bytes; *name* is how an error calls it, *shown* what a model is to see as its name.

    A PDF is shown no name unless one is given: it had none in 0.1, and its key must stay.
    """
    kind = kind_of(data)
    if kind in VIDEOS:
        return Video(source_of(data, "video", name, file))
    if kind in IMAGES or kind == "SVG":  # a drawing, though it is written as text
        return Image(source_of(data, "image", name, file))
    named = shown_name(shown or file.rpartition("/")[2] or "document")
    known = kind_of_document(data[:HEAD], named)  # code that speaks of PDFs is text
    if kind == "pdf" and known in ("pdf", None) and shown is None:
        return Pdf(source_of(data, "pdf", name, file))
    if known is None:
        raise MediaError(
            f"{name} is nothing that can be read here (it starts like {kind}); give a picture, a video, a PDF, a text or an "
            "office file"
        )
    return Document(document_source(data, named, name, file), name=named)


def _at_url(url: str) -> Medium:
    """Tell the medium that stands at *url* by the ending of its path."""
    try:
        urlsplit(url)
    except ValueError:
        return Image(url)  # which says what is wrong with it
    if (medium := medium_at_url(url)) is not None:
        return _MEDIA[medium](url)  # type: ignore[call-arg]
    shown = url.partition("?")[0]
    raise MediaError(
        f"whether {shown} is a picture, a video or a PDF can't be told from its ending, and it is not fetched; give it as "
        "Image(url), Video(url) or Pdf(url)"
    )


def media_from_json(data: dict[str, Any], content: bytes | None = None) -> Medium:
    """Read the medium that one of the four `to_json` wrote."""
    return _MEDIA[data["type"]].from_json(data, content)
