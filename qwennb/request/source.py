"""What a medium is made from: the bytes a user gave, read once, with what they are and a digest.

A path, bytes, a `data:` URI, an https URL, a picture, a figure or an array becomes a `Source`. What bytes are is told by
the bytes themselves, never by a file's name; a file must be a plain file, of bounded size, and is opened once. A URL is
kept as text. Pixels that never were a file are kept as upright RGBA.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import io
import math
import operator
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from qwennb.documents import kind_of_document
from qwennb.errors import MediaError
from qwennb.machine import is_loopback
from qwennb.request.charts import draw_chart
from qwennb.text import amount as count_bytes

# More is never decoded. Just under where Pillow begins to warn of a bomb, so that its warning never shows.
MOST_PIXELS = 89_000_000

IMAGES = ("png", "jpeg", "webp", "gif", "bmp", "tiff", "heic", "avif")
VIDEOS = ("mp4", "mov", "webm", "mkv", "mpeg", "avi")

_MIB = 1 << 20
amount = functools.partial(count_bytes, kilo=1024)  # for what is read at most, those are round numbers
_WHOLE = re.compile(r"[\x21-\x7e]+")  # a URL as it may stand on the wire: no blanks, no control characters
_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)

FIGURE = "the figure"  # how errors call one


@dataclass(frozen=True, slots=True)
class MediaSource:
    """What a medium was made from. Two are equal when their digests are.

    `kind` is what the bytes are ("png", "mp4", "pdf"), or "pixels" (raw upright RGBA, `pixels` being width and
    height), "url", "frames", or "record" (only the digest is known). `name` is how errors call it, `file` the file that
    it was read from, as `file_name` calls it; neither is in a key.
    """

    digest: str
    kind: str = field(compare=False)
    name: str = field(compare=False)
    data: bytes | None = field(default=None, compare=False, repr=False)
    url: str | None = field(default=None, compare=False)
    pixels: tuple[int, int] | None = field(default=None, compare=False)
    file: str = field(default="", compare=False, repr=False)

    @property
    def is_figure(self) -> bool:
        """Whether it was drawn by matplotlib just now: another version of it draws other pixels."""
        return self.kind == "pixels" and self.name == FIGURE

    def content(self) -> bytes:
        """Give the bytes; a `MediaError` naming the digest where only that is known."""
        if self.data is None:
            why = "is a URL, which is never fetched here" if self.url else "has no bytes here"
            raise MediaError(f"{self.name} {why} (sha256 {self.digest}); give the file itself to ask with it")
        return self.data


# Reading what the user gave. CAPS are on what is read into memory; what an endpoint takes is another matter.

CAPS = {"image": 128 * _MIB, "pdf": 256 * _MIB, "document": 256 * _MIB, "video": 1024 * _MIB}
_ACCEPTED = {
    "image": "a path, bytes, an https URL, a Pillow picture, a figure of matplotlib, Altair or Plotly, or a numpy array",
    "video": "a path, bytes, an https URL or a list of images",
    "pdf": "a path, bytes or an https URL",
    "document": "a path or bytes",
}
NOUNS = {"image": "an image", "video": "a video", "pdf": "a PDF", "document": "a document"}
_HINTS = {"SVG": "; no endpoint takes SVG, save it as PNG"}
_KINDS = {"image": IMAGES, "video": VIDEOS, "pdf": ("pdf",)}


def image_source(source: object) -> MediaSource:
    """Make the source of an image, from anything that may be one."""
    if (picture := _theirs(source, "PIL.Image", "Image")) is not None:
        return _from_picture(picture, "a picture")
    if (figure := _theirs(source, "matplotlib.figure", "Figure")) is not None:
        return _from_figure(figure)
    if (axes := _theirs(source, "matplotlib.axes", "Axes")) is not None:
        return _from_figure(axes.figure.figure)  # the outer one, where figures are nested
    if (array := _theirs(source, "numpy", "ndarray")) is not None:
        return _from_array(array)
    if (drawn := draw_chart(source)) is not None:
        return _from_png(drawn, "a chart")
    return file_source(source, "image")


def file_source(source: object, wanted: str) -> MediaSource:
    """Make the source of a video or a PDF, which come as files, bytes or URLs."""
    if isinstance(source, MediaSource):
        return source
    if isinstance(source, str) and _is_url(source):
        return from_url(source, wanted)
    if (read := read_given(source, CAPS[wanted])) is None:
        typed = type(source).__name__
        raise MediaError(f"`{typed}` can't be used as {NOUNS[wanted]}; give {_ACCEPTED[wanted]}")
    data, name, file = read
    return source_of(data, wanted, name, file)


def read_given(source: object, cap: int) -> tuple[bytes, str, str] | None:
    """Read the bytes that a path, a data: URI or a buffer stands for, what to call them, and the file's name if it is one."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        if (length := memoryview(source).nbytes) > cap:
            raise MediaError(f"{amount(length)} given as bytes is too much; at most {amount(cap)} is read")
        return bytes(source), "what was given as bytes", ""
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _from_data_uri(source, cap), "the data: URI", ""
    if isinstance(source, str) and _is_url(source):
        return None
    if isinstance(source, (str, os.PathLike)):
        typed = os.fsdecode(source)
        file = file_name(typed)
        return read_file(_home(typed), cap, shown=typed, file=file), typed, file
    return None


def source_of(data: bytes, wanted: str, name: str, file: str = "") -> MediaSource:
    """Take *data* as a source, when its first bytes say that it is what was *wanted*."""
    kind, name = kind_of(data), _short(name)
    if kind not in _KINDS[wanted]:
        better = next((medium for medium, kinds in _KINDS.items() if kind in kinds), None)
        hint = f"; give it as {better.capitalize()}(…)" if better else _HINTS.get(kind, "")
        starts = kind.upper() if better else kind
        raise MediaError(f"{name} is not {NOUNS[wanted]} that can be read (it starts like {starts}){hint}")
    if len(data) > CAPS[wanted]:
        raise MediaError(f"{name} has {amount(len(data))}; at most {amount(CAPS[wanted])} is read")
    return MediaSource(sha256(data), kind, name, data, file=file)


def document_source(data: bytes, shown: str, name: str, file: str = "") -> MediaSource:
    """Take *data* as the source of a document; of its name, *shown*, only the ending is heard, and that only where it is text."""
    if len(data) > CAPS["document"]:
        raise MediaError(f"{name} has {amount(len(data))}; at most {amount(CAPS['document'])} is read")
    if not data:
        raise MediaError(f"{_short(name)} is empty; give a file with something in it")
    kind = kind_of(data)
    if (known := kind_of_document(data[:HEAD], shown)) is None or kind in (*IMAGES, *VIDEOS):
        better = "image" if kind in IMAGES else "video" if kind in VIDEOS else None
        hint = f"; give it as {better.capitalize()}(…)" if better else ""
        raise MediaError(
            f"{_short(name)} is no document that can be read (it starts like {kind.upper() if better else kind}){hint}"
        )
    return MediaSource(sha256(data), known, _short(name), data, file=file)


HEAD = 1 << 16  # bytes; enough for the names of the first files in an office file


def _home(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # no such user: then it is a file of that name
        return Path(typed)


def file_name(path: str | os.PathLike[str]) -> str:
    """Call *path* as on every machine: from the working folder on if it lies there, else as it was typed."""
    typed = os.path.normpath(path)
    if os.path.isabs(typed):  # noqa: PTH117
        with contextlib.suppress(OSError):  # the working folder is gone
            typed = typed.removeprefix(os.getcwd() + os.sep)  # noqa: PTH109
    return typed.replace(os.sep, "/")


# Who knows the content of a file that is not where it should be, by its `file_name`: the packs that are loaded. They
# stand above this room, so they come and say so.
_elsewhere: Callable[[str, int], bytes | None] | None = None
_folders_elsewhere: Callable[[str, str], list[str]] | None = None


def look_elsewhere(
    find: Callable[[str, int], bytes | None], list_folder: Callable[[str, str], list[str]] | None = None
) -> None:
    """Have *find* asked for a missing file: by its `file_name`, for at most so many bytes.

    *list_folder* is asked for the names in a missing folder, which stand in requests behind a prefix.
    """
    global _elsewhere, _folders_elsewhere
    _elsewhere, _folders_elsewhere = find, list_folder or _folders_elsewhere


def list_elsewhere(folder: str, prefix: str) -> list[str]:
    """List what is known elsewhere to have been in a missing *folder*: the names from it on, which requests have behind *prefix*."""
    return [] if _folders_elsewhere is None else _folders_elsewhere(folder, prefix)


def read_file(path: Path, cap: int, *, shown: str, file: str, follow: bool = True) -> bytes:
    """Read a regular file of at most *cap* bytes; anything odd is refused in one sentence.

    Where there is none, what is known elsewhere of a *file* of that name.
    """
    shown = _short(shown)
    try:
        _check_file(path.stat(), cap, shown)  # before opening: to open a device or a pipe can do something
        with os.fdopen(os.open(path, _open_flags(follow=follow)), "rb") as opened:
            _check_file(os.fstat(opened.fileno()), cap, shown)
            data = opened.read(cap + 1)
    except MediaError:
        raise
    except FileNotFoundError:
        found = None if _elsewhere is None else _elsewhere(file, cap)
        if found is None:
            raise MediaError(f"there is no file {shown}; check the path and the current folder") from None
        data = found
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MediaError(f"{shown} can't be read: {reason}; give a path that can") from None
    if len(data) > cap:
        raise MediaError(f"{shown} has more than {amount(cap)}; no more is read")
    if not data:
        raise MediaError(f"{shown} is empty; give a file with something in it")
    return data


def read_head(path: Path, size: int, *, shown: str) -> bytes:
    """Read the first *size* bytes of a regular file; through no link, and without waiting for what is none."""
    try:
        with os.fdopen(os.open(path, _open_flags(follow=False)), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise MediaError(f"{_short(shown)} is a pipe or a device, not a file")
            return opened.read(size)
    except OSError as error:
        raise MediaError(f"{_short(shown)} can't be read: {error.strerror}") from None


def _open_flags(*, follow: bool) -> int:
    """Flags to open a file with, without waiting: what was a file a moment ago may be a pipe by now, which would never open."""
    wanted = ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", *(() if follow else ("O_NOFOLLOW",)))
    return functools.reduce(operator.or_, (getattr(os, flag, 0) for flag in wanted), os.O_RDONLY)


def _check_file(status: os.stat_result, cap: int, shown: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{shown} is a folder; give one file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{shown} is a pipe or a device, not a file; give a file or the bytes")
    if status.st_size > cap:
        raise MediaError(f"{shown} has {amount(status.st_size)}; at most {amount(cap)} is read")


def inside(root: str | os.PathLike[str], name: str) -> Path:
    """Find the path of *name* in the folder *root*; refused where links or dots lead out of it."""
    top = os.path.realpath(root)
    found = os.path.realpath(os.path.join(top, name)) if "\0" not in name else "\0"  # noqa: PTH118
    if os.path.isabs(name) or not found.startswith(top.rstrip(os.sep) + os.sep):  # noqa: PTH117
        raise MediaError(f"{_short(name)} is outside the folder given as root; only files in it are opened")
    return Path(found)


def _is_url(text: str) -> bool:
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text) is not None


def from_url(text: str, wanted: str) -> MediaSource:
    """Take a URL as it is, once it is sure that it may stand in a request that is kept and shared."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise MediaError(f"{_short(text)} is not a URL that can be read; give an https URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(text)):
        raise MediaError(f"{_short(text)} can't be used; give an https URL, a path or bytes")
    if parts.username is not None or parts.password is not None:
        raise MediaError(
            f"a URL of {host} carries a user name; it would be kept with the request, so leave it out"
        )
    if not host or not _WHOLE.fullmatch(text):
        raise MediaError(
            f"{_short(text)} is not a URL as it is sent; write blanks and accents as %20 and the like"
        )
    return MediaSource(sha256(text.encode()), "url", f"the {wanted} {text.partition('?')[0]}", url=text)


def medium_at_url(url: str) -> str | None:
    """Tell the medium that stands at *url* by the ending of its path; None where that does not tell, or where it is no URL."""
    if not url.lower().startswith(("http://", "https://")):
        return None
    try:
        ending = urlsplit(url).path.rpartition("/")[2].rpartition(".")[2].lower()
    except ValueError:
        return None
    return next((medium for medium, endings in _ENDINGS.items() if ending in endings), None)


_ENDINGS = {
    "pdf": ("pdf",),
    "video": (*VIDEOS, "mpg", "m4v"),
    "image": (*IMAGES, "jpg", "jpe", "tif", "heif"),
}


def _from_data_uri(text: str, cap: int) -> bytes:
    head = _DATA_URI.match(text[:256])
    if head is None or len(text) > cap * 4 // 3 + 256:
        raise MediaError(f"the data: URI is not base64 of at most {amount(cap)}; give the bytes themselves")
    try:
        return base64.b64decode(text[head.end() :], validate=True)
    except binascii.Error:
        raise MediaError("the data: URI holds broken base64; give the bytes themselves") from None


def recorded_source(wanted: str, digest: str, content: bytes | None) -> MediaSource:
    """Make a source known by its digest, with its bytes where they were kept beside the record."""
    noun = NOUNS[wanted]
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise MediaError(f"a record of {noun} has no sha256 that could be one; the record is damaged")
    if content is None:
        return MediaSource(digest, "record", f"{noun} of this record")
    source = source_of(content, wanted, f"the file kept for sha256 {digest[:12]}…")
    if source.digest != digest and source.kind == "png":  # pixels that never were a file are kept as a PNG
        source = _from_png(content, source.name)
    if source.digest != digest:
        raise MediaError(f"the file kept for {noun} is not the one that was asked about (sha256 {digest})")
    return source


# Pixels


def _theirs(thing: object, module: str, name: str) -> Any:
    """Give *thing* when it is an instance of a class of a library that is loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return thing if isinstance(kind, type) and isinstance(thing, kind) else None


def _from_pixels(rgba: bytes, size: tuple[int, int], name: str) -> MediaSource:
    return MediaSource(sha256(b"rgba %d %d\n" % size, rgba), "pixels", name, rgba, pixels=size)


def _from_picture(picture: Any, name: str) -> MediaSource:
    from PIL import ImageOps

    _check_pixels(picture.size, name)
    if picture.mode in ("I", "F"):
        raise MediaError(
            f"{name} of mode {picture.mode} has no agreed white; convert it to 'L' or 'RGB' first"
        )
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I;16"):  # Pillow's own conversion would clip instead of scaling
            upright = upright.convert("I").point(lambda level: level / 256).convert("L")
        return _from_pixels(upright.convert("RGBA").tobytes(), upright.size, name)
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{name} can't be decoded: {error}") from None


def _from_png(data: bytes, name: str) -> MediaSource:
    from PIL import Image as Pillow

    _check_pixels(size_of(kind_of(data), data) or (0, 0), name)
    try:
        with Pillow.open(io.BytesIO(data), formats=("PNG",)) as picture:
            return _from_picture(picture, name)
    except OSError:
        raise MediaError(f"{name} can't be decoded; it is damaged") from None


def _from_figure(figure: Any) -> MediaSource:
    """Draw what a notebook shows of the figure: cut to what is drawn, whatever rcParams say about saving."""
    _check_pixels(tuple(int(inches * figure.dpi) for inches in figure.get_size_inches()), FIGURE)
    drawn = io.BytesIO()
    figure.savefig(
        drawn, format="png", dpi=figure.dpi, bbox_inches="tight", pad_inches=0.1, transparent=False,
        facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor(), pil_kwargs={"compress_level": 0},
    )  # fmt: skip
    return _from_png(drawn.getvalue(), FIGURE)


def _from_array(array: Any) -> MediaSource:
    numpy = sys.modules["numpy"]
    kind, shape = array.dtype.kind, array.shape
    fits = (kind in "bf" or array.dtype == numpy.uint8) and (
        len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    )
    if not fits or 0 in shape:
        raise MediaError(
            f"an array of shape {shape} and type {array.dtype} is not a picture; give height × width, "
            "with 3 or 4 channels or none, of uint8, of floats from 0 to 1, or of bool"
        )
    name = f"an array {shape[1]}×{shape[0]}"
    _check_pixels((shape[1], shape[0]), name)
    if kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # also false for NaN
            raise MediaError(f"{name} of floats must lie between 0 and 1; divide it by its maximum")
        array = (array * 255 + 0.5).astype(numpy.uint8)
    elif kind == "b":
        array = array.astype(numpy.uint8) * 255
    rgba = numpy.full((*shape[:2], 4), 255, numpy.uint8)
    rgba[..., : 3 if len(shape) == 2 else shape[2]] = array[..., None] if len(shape) == 2 else array
    return _from_pixels(rgba.tobytes(), (shape[1], shape[0]), name)


def _check_pixels(size: tuple[int, ...], name: str) -> None:
    if math.prod(size) > MOST_PIXELS or 0 in size:
        raise MediaError(
            f"{name} is {size[0]}×{size[1]} ({math.prod(size) / 1e6:,.0f} megapixels); from 1 pixel up to "
            f"{MOST_PIXELS // 10**6} megapixels can be opened, so give a smaller one"
        )


# What bytes are, and how large a picture is, from its first bytes


def kind_of(data: bytes) -> str:
    """One of IMAGES, VIDEOS or "pdf"; else a few words for what the bytes start like."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(data[8:12], "a RIFF file")
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return "bmp"
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            return "heic"
        return "avif" if brand in (b"avif", b"avis") else "mov" if brand == b"qt  " else "mp4"
    if data[4:8] in (b"moov", b"mdat", b"wide"):
        return "mov"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "webm" if b"webm" in data[:64] else "mkv"
    head = data[:1024]
    if b"%PDF-" in head:
        return "pdf"
    if b"\0" in head or not head.strip():
        return "nothing known"
    markup = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in markup:
        return "SVG"
    if markup.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    printable = sum(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
    return "text" if printable == len(head) else "nothing known"


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"%PDF-", "pdf"),
    (b"\0\0\1\xba", "mpeg"),
    (b"\0\0\1\xb3", "mpeg"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office file of before 2007, or one locked with a password"),
)


def size_of(kind: str, data: bytes) -> tuple[int, int] | None:
    """Width and height, read from the header of a picture of this *kind*."""

    def number(at: int, length: int, order: Literal["big", "little"] = "little") -> int:
        return int.from_bytes(data[at : at + length], order)

    size = None
    if kind == "png":
        size = number(16, 4, "big"), number(20, 4, "big")
    elif kind == "gif":
        size = number(6, 2), number(8, 2)
    elif kind == "bmp":
        wide = 2 if number(14, 4) == 12 else 4
        height = number(18 + wide, wide)
        size = (
            number(18, wide),
            min(height, (1 << 8 * wide) - height),
        )  # a negative height means top row first
    elif kind == "webp" and data[12:16] == b"VP8X":
        size = number(24, 3) + 1, number(27, 3) + 1
    elif kind == "webp" and data[12:16] == b"VP8L":
        bits = number(21, 4)
        size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == "webp":
        size = number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF
    elif kind == "jpeg":
        at = 2
        while at + 9 < len(data) and data[at] == 0xFF:
            marker = data[at + 1]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                size = number(at + 7, 2, "big"), number(at + 5, 2, "big")
                break
            at += 1 if marker == 0xFF else 2 + number(at + 2, 2, "big")
    elif kind == "tiff":
        order: Literal["big", "little"] = "little" if data[:2] == b"II" else "big"
        first = number(4, 4, order)
        tags = {
            number(at, 2, order): number(at + 8, 2 if number(at + 2, 2, order) == 3 else 4, order)
            for at in range(first + 2, first + 2 + 12 * number(first, 2, order), 12)
        }
        size = tags.get(256, 0), tags.get(257, 0)
    return size if size and all(size) else None


def sha256(*pieces: bytes) -> str:
    """Digest *pieces*, one after the other."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:19]}…{name[-60:]}"  # a host stands first, a file last
