"""Images, videos and PDFs as values: what the user gave, read once, and a digest that stands for it in the key.

    Image("chart.png")   Image(figure, max_pixels=500_000)   Video("clip.mp4", fps=1)   Pdf("a.pdf", pages=[1, 2])

A value is built from whatever the user has (a path, bytes, a URL, a picture, a figure, an array) and holds a
`Source`: the bytes, what they are by their first bytes (never by the file's name), and a digest. Bytes are read
when the value is built, so that key and upload agree however the file changes later. For pixels that never were
a file (a picture, a figure, an array) the digest is over the upright RGBA pixels and their size: the same chart
has the same key whatever would encode it. A URL is kept as text and never fetched. Getting the bytes ready for an
endpoint is not done here, so nothing of an endpoint can leak into a key.

Pillow, matplotlib and numpy are never imported to find out whether something is theirs: an object of a library
that was not loaded can't exist.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import ipaddress
import math
import operator
import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from qwennb.errors import MediaError

__all__ = ["MOST_PIXELS", "Detail", "Image", "Pdf", "Source", "Video", "media_from_json", "recognise"]

Detail = Literal["auto", "low", "high"]

# More is never decoded. Just under where Pillow begins to warn of a bomb, so that its warning never shows.
MOST_PIXELS = 89_000_000

IMAGES = ("png", "jpeg", "webp", "gif", "bmp", "tiff", "heic", "avif")
VIDEOS = ("mp4", "mov", "webm", "mkv", "mpeg", "avi")

_MIB = 1 << 20
_WHOLE = re.compile(r"[\x21-\x7e]+")  # a URL as it may stand on the wire: no blanks, no control characters
_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """What a medium was made from. Two are equal when their digests are.

    `kind` is what the bytes are ("png", "mp4", "pdf"), or "pixels" (raw upright RGBA, `pixels` being width and
    height), "url", "frames", or "record" (only the digest is known). `name` is how errors call it, never in a key.
    """

    digest: str
    kind: str = field(compare=False)
    name: str = field(compare=False)
    data: bytes | None = field(default=None, compare=False, repr=False)
    url: str | None = field(default=None, compare=False)
    pixels: tuple[int, int] | None = field(default=None, compare=False)

    def content(self) -> bytes:
        """The bytes; a `MediaError` naming the digest where only that is known."""
        if self.data is None:
            why = "is a URL, which is never fetched here" if self.url else "has no bytes here"
            raise MediaError(f"{self.name} {why} (sha256 {self.digest}); give the file itself to ask with it")
        return self.data


class _Media:
    """What the three kinds of media share."""

    __slots__ = ()
    TYPE: ClassVar[str]
    source: Source

    @classmethod
    def of(cls, anything: object) -> Self:
        """*anything* as it is when it is one already, else one made from it."""
        return anything if isinstance(anything, cls) else cls(anything)  # type: ignore[call-arg]

    @property
    def digest(self) -> str:
        """The sha256 that stands for it in the key."""
        return self.source.digest

    @property
    def kind(self) -> str:
        """What it is by its first bytes: "png", "mp4", "pdf"; or "pixels", "url", "frames", "record"."""
        return self.source.kind

    @property
    def data(self) -> bytes | None:
        """The bytes, or `None` for a URL, for frames, and for what was rebuilt from a record."""
        return self.source.data

    @property
    def url(self) -> str | None:
        """The URL, where that is all there is."""
        return self.source.url

    @property
    def name(self) -> str:
        """How an error calls it: the path as typed, or a few words."""
        return self.source.name

    def content(self) -> bytes:
        """The bytes, or a `MediaError` naming the digest."""
        return self.source.content()

    def as_file(self) -> tuple[str, bytes]:
        """The ending and bytes of a file that `from_json` takes back."""
        return self.kind, self.content()

    def to_json(self) -> dict[str, Any]:
        """The form that goes into the request's key: what it is made from, and the options that were set."""
        identity = {"url": self.url} if self.url else {"sha256": self.digest}
        return {"type": self.TYPE, **identity, **self._options()}

    def _options(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes | None = None) -> Self:
        """The value that `to_json` wrote. Without *content* it can be compared and named, not asked with."""
        # Records come from other people: nothing in one may be taken for a path.
        if data.get("url") is not None:
            source = _from_url(str(data["url"]), cls.TYPE)
        else:
            source = _recorded(cls.TYPE, str(data.get("sha256")), content)
        return cls(source, **_options_of(cls, data))  # type: ignore[call-arg]

    def __repr__(self) -> str:
        what = self.url.partition("?")[0] if self.url else f"sha256:{self.digest[:8]}…"
        return " ".join(["<" + type(self).__name__, *self._looks(), what]) + ">"

    def _looks(self) -> list[str]:
        return [] if self.kind in ("url", "record") else [self.kind, _amount(len(self.data or b""))]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Image(_Media):
    """A picture: from a path, bytes, an https URL, a Pillow picture, a matplotlib figure or a numpy array.

    `max_pixels` is the most that is sent of it, instead of the model's own budget; `detail` goes to endpoints that
    know it.
    """

    TYPE: ClassVar[str] = "image"
    source: Source
    max_pixels: int | None
    detail: Detail | None

    def __init__(
        self, source: object, *, max_pixels: int | None = None, detail: Detail | None = None
    ) -> None:
        if isinstance(source, Image):
            max_pixels, detail = max_pixels or source.max_pixels, detail or source.detail
            source = source.source
        if detail not in (None, "auto", "low", "high"):
            raise MediaError(f"detail={detail!r} is not a level of detail; use 'auto', 'low' or 'high'")
        _set(self, "source", _image_source(source))
        _set(self, "max_pixels", _count("max_pixels", max_pixels))
        _set(self, "detail", detail)

    @classmethod
    def under(cls, root: str | os.PathLike[str], name: str, **options: Any) -> Self:
        """The image *name* in the folder *root*, for names the user did not type (the cells of a column).

        What lies outside the folder, by `..`, by a link or by an absolute path, is refused unopened.
        """
        return cls(
            _source(_read_file(_inside(root, name), CAPS["image"], shown=name, follow=False), "image", name),
            **options,
        )

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as stored (not turned upright), read from the header; `None` if it does not tell."""
        return self.source.pixels or (_size(self.kind, self.data) if self.data else None)

    def as_file(self) -> tuple[str, bytes]:
        """The ending and bytes of a file that `from_json` takes back; pixels become a PNG that keeps them all."""
        if self.kind != "pixels" or self.size is None:
            return _Media.as_file(self)
        from PIL import Image as Pillow

        png = io.BytesIO()
        Pillow.frombytes("RGBA", self.size, self.content()).save(png, "PNG")
        return "png", png.getvalue()

    def _options(self) -> dict[str, Any]:
        return _given(max_pixels=self.max_pixels, detail=self.detail)

    def _looks(self) -> list[str]:
        if self.kind in ("url", "record"):
            return []
        return [self.kind, "{}×{}".format(*self.size)] if self.size else [self.kind]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Video(_Media):
    """A video: from a path, bytes, an https URL, or a list of images that are its frames.

    `fps` is how many frames a second the model is to see (for a list: how many a second were taken),
    `max_pixels` the most that a frame is scaled down to.
    """

    TYPE: ClassVar[str] = "video"
    source: Source
    frames: tuple[Image, ...]
    fps: float | None
    max_pixels: int | None

    def __init__(self, source: object, *, fps: float | None = None, max_pixels: int | None = None) -> None:
        frames: tuple[Image, ...] = ()
        if isinstance(source, Video):
            fps, max_pixels, frames = fps or source.fps, max_pixels or source.max_pixels, source.frames
            source = source.source
        elif isinstance(source, (list, tuple)):
            frames = tuple(Image.of(frame) for frame in source)
            if not frames:
                raise MediaError("a video from a list of images needs at least one image")
            identity = "\n".join(frame.url or frame.digest for frame in frames)
            source = Source(_sha256(identity.encode()), "frames", f"a video of {len(frames)} images")
        _set(self, "source", _file_source(source, "video"))
        _set(self, "frames", frames)
        _set(self, "fps", _rate(fps))
        _set(self, "max_pixels", _count("max_pixels", max_pixels))

    def to_json(self) -> dict[str, Any]:
        """The form that goes into the request's key; a list of frames stands there frame by frame."""
        if not self.frames:
            return _Media.to_json(self)
        return {"type": self.TYPE, "frames": [f.to_json() for f in self.frames], **self._options()}

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes | None = None) -> Self:
        """The value that `to_json` wrote. Without *content* it can be compared and named, not asked with."""
        if "frames" not in data:
            return super(Video, cls).from_json(data, content)
        return cls([Image.from_json(frame) for frame in data["frames"]], **_options_of(cls, data))

    def _options(self) -> dict[str, Any]:
        return _given(fps=self.fps, max_pixels=self.max_pixels)

    def _looks(self) -> list[str]:
        return [f"{len(self.frames)} frames"] if self.frames else _Media._looks(self)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Pdf(_Media):
    """A PDF: from a path, bytes or an https URL.

    `pages` picks pages, counted from 1: `Pdf("a.pdf", pages=range(1, 20))`. `max_pixels` is the most that a page has
    where pages are sent as pictures.
    """

    TYPE: ClassVar[str] = "pdf"
    source: Source
    pages: tuple[int, ...] | None
    max_pixels: int | None

    def __init__(
        self, source: object, *, pages: Iterable[int] | None = None, max_pixels: int | None = None
    ) -> None:
        if isinstance(source, Pdf):
            pages, max_pixels = source.pages if pages is None else pages, max_pixels or source.max_pixels
            source = source.source
        _set(self, "source", _file_source(source, "pdf"))
        _set(self, "pages", None if pages is None else _pages(pages))
        _set(self, "max_pixels", _count("max_pixels", max_pixels))

    def _options(self) -> dict[str, Any]:
        return _given(pages=self.pages and list(self.pages), max_pixels=self.max_pixels)


def recognise(anything: object) -> Image | Video | Pdf:
    """What the user gave among `files=`, told apart by its first bytes."""
    if isinstance(anything, (Image, Video, Pdf)):
        return anything
    if isinstance(anything, (list, tuple)):
        return Video(anything)
    if (read := _given_bytes(anything, max(CAPS.values()))) is None:
        return Image(anything)
    data, name = read
    kind = _kind(data)
    medium = Video if kind in VIDEOS else Pdf if kind == "pdf" else Image
    return medium(_source(data, medium.TYPE, name))


def media_from_json(data: dict[str, Any], content: bytes | None = None) -> Image | Video | Pdf:
    """The medium that one of the three `to_json` wrote."""
    medium: type[Image | Video | Pdf] = {"image": Image, "video": Video, "pdf": Pdf}[data["type"]]
    return medium.from_json(data, content)


# Reading what the user gave. CAPS are on what is read into memory; what an endpoint takes is another matter.

CAPS = {"image": 128 * _MIB, "pdf": 256 * _MIB, "video": 1024 * _MIB}
_ACCEPTED = {
    "image": "a path, bytes, an https URL, a Pillow picture, a matplotlib figure or a numpy array",
    "video": "a path, bytes, an https URL or a list of images",
    "pdf": "a path, bytes or an https URL",
}
_NOUNS = {"image": "an image", "video": "a video", "pdf": "a PDF"}
_HINTS = {"SVG": "; no endpoint takes SVG, save it as PNG"}
_KINDS = {"image": IMAGES, "video": VIDEOS, "pdf": ("pdf",)}


def _image_source(source: object) -> Source:
    if (picture := _theirs(source, "PIL.Image", "Image")) is not None:
        return _from_picture(picture, "a picture")
    if (figure := _theirs(source, "matplotlib.figure", "Figure")) is not None:
        return _from_figure(figure)
    if (axes := _theirs(source, "matplotlib.axes", "Axes")) is not None:
        return _from_figure(axes.figure.figure)  # the outer one, where figures are nested
    if (array := _theirs(source, "numpy", "ndarray")) is not None:
        return _from_array(array)
    return _file_source(source, "image")


def _file_source(source: object, wanted: str) -> Source:
    if isinstance(source, Source):
        return source
    if isinstance(source, str) and _is_url(source):
        return _from_url(source, wanted)
    if (read := _given_bytes(source, CAPS[wanted])) is None:
        typed = type(source).__name__
        raise MediaError(f"`{typed}` can't be used as {_NOUNS[wanted]}; give {_ACCEPTED[wanted]}")
    return _source(read[0], wanted, read[1])


def _given_bytes(source: object, cap: int) -> tuple[bytes, str] | None:
    """The bytes that a path, a data: URI or a buffer stands for, and what to call them."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        if (length := memoryview(source).nbytes) > cap:
            raise MediaError(f"{_amount(length)} given as bytes is too much; at most {_amount(cap)} is read")
        return bytes(source), "what was given as bytes"
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _from_data_uri(source, cap), "the data: URI"
    if isinstance(source, str) and _is_url(source):
        return None
    if isinstance(source, (str, os.PathLike)):
        typed = os.fsdecode(source)
        return _read_file(_home(typed), cap, shown=typed), typed
    return None


def _source(data: bytes, wanted: str, name: str) -> Source:
    kind, name = _kind(data), _short(name)
    if kind not in _KINDS[wanted]:
        better = next((medium for medium, kinds in _KINDS.items() if kind in kinds), None)
        hint = f"; give it as {better.capitalize()}(…)" if better else _HINTS.get(kind, "")
        starts = kind.upper() if better else kind
        raise MediaError(f"{name} is not {_NOUNS[wanted]} that can be read (it starts like {starts}){hint}")
    if len(data) > CAPS[wanted]:
        raise MediaError(f"{name} has {_amount(len(data))}; at most {_amount(CAPS[wanted])} is read")
    return Source(_sha256(data), kind, name, data)


def _home(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # no such user: then it is a file of that name
        return Path(typed)


def _read_file(path: Path, cap: int, *, shown: str, follow: bool = True) -> bytes:
    """The bytes of a regular file of at most *cap* bytes; anything odd is refused in one sentence."""
    shown = _short(shown)
    # Without waiting: what was a file a moment ago may be a pipe by now, which would never open.
    wanted = ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", *(() if follow else ("O_NOFOLLOW",)))
    flags = functools.reduce(operator.or_, (getattr(os, flag, 0) for flag in wanted), os.O_RDONLY)
    try:
        _check_file(path.stat(), cap, shown)  # before opening: to open a device or a pipe can do something
        with os.fdopen(os.open(path, flags), "rb") as file:
            _check_file(os.fstat(file.fileno()), cap, shown)
            data = file.read(cap + 1)
    except MediaError:
        raise
    except FileNotFoundError:
        raise MediaError(f"there is no file {shown}; check the path and the current folder") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MediaError(f"{shown} can't be read: {reason}; give a path that can") from None
    if len(data) > cap:
        raise MediaError(f"{shown} has more than {_amount(cap)}; no more is read")
    if not data:
        raise MediaError(f"{shown} is empty; give a file with something in it")
    return data


def _check_file(status: os.stat_result, cap: int, shown: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{shown} is a folder; give one file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{shown} is a pipe or a device, not a file; give a file or the bytes")
    if status.st_size > cap:
        raise MediaError(f"{shown} has {_amount(status.st_size)}; at most {_amount(cap)} is read")


def _inside(root: str | os.PathLike[str], name: str) -> Path:
    top = os.path.realpath(root)
    found = os.path.realpath(os.path.join(top, name)) if "\0" not in name else "\0"  # noqa: PTH118
    if os.path.isabs(name) or not found.startswith(top.rstrip(os.sep) + os.sep):  # noqa: PTH117
        raise MediaError(f"{_short(name)} is outside the folder given as root; only files in it are opened")
    return Path(found)


def _is_url(text: str) -> bool:
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", text) is not None


def _from_url(text: str, wanted: str) -> Source:
    """A URL as it is, once it is sure that it may stand in a request that is kept and shared."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise MediaError(f"{_short(text)} is not a URL that can be read; give an https URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise MediaError(f"{_short(text)} can't be used; give an https URL, a path or bytes")
    if parts.username is not None or parts.password is not None:
        raise MediaError(
            f"a URL of {host} carries a user name; it would be kept with the request, so leave it out"
        )
    if not host or not _WHOLE.fullmatch(text):
        raise MediaError(
            f"{_short(text)} is not a URL as it is sent; write blanks and accents as %20 and the like"
        )
    return Source(_sha256(text.encode()), "url", f"the {wanted} {text.partition('?')[0]}", url=text)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_data_uri(text: str, cap: int) -> bytes:
    head = _DATA_URI.match(text[:256])
    if head is None or len(text) > cap * 4 // 3 + 256:
        raise MediaError(f"the data: URI is not base64 of at most {_amount(cap)}; give the bytes themselves")
    try:
        return base64.b64decode(text[head.end() :], validate=True)
    except binascii.Error:
        raise MediaError("the data: URI holds broken base64; give the bytes themselves") from None


def _recorded(wanted: str, digest: str, content: bytes | None) -> Source:
    """A source known by its digest, with its bytes where they were kept beside the record."""
    noun = _NOUNS[wanted]
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise MediaError(f"a record of {noun} has no sha256 that could be one; the record is damaged")
    if content is None:
        return Source(digest, "record", f"{noun} of this record")
    source = _source(content, wanted, f"the file kept for sha256 {digest[:12]}…")
    if source.digest != digest and source.kind == "png":  # pixels that never were a file are kept as a PNG
        source = _from_png(content, source.name)
    if source.digest != digest:
        raise MediaError(f"the file kept for {noun} is not the one that was asked about (sha256 {digest})")
    return source


# Pixels


def _theirs(thing: object, module: str, name: str) -> Any:
    """*thing* when it is an instance of a class of a library that is loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return thing if isinstance(kind, type) and isinstance(thing, kind) else None


def _from_pixels(rgba: bytes, size: tuple[int, int], name: str) -> Source:
    return Source(_sha256(b"rgba %d %d\n" % size, rgba), "pixels", name, rgba, pixels=size)


def _from_picture(picture: Any, name: str) -> Source:
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


def _from_png(data: bytes, name: str) -> Source:
    from PIL import Image as Pillow

    _check_pixels(_size(_kind(data), data) or (0, 0), name)
    try:
        with Pillow.open(io.BytesIO(data), formats=("PNG",)) as picture:
            return _from_picture(picture, name)
    except OSError:
        raise MediaError(f"{name} can't be decoded; it is damaged") from None


def _from_figure(figure: Any) -> Source:
    """What a notebook shows of the figure: cut to what is drawn, whatever rcParams say about saving."""
    _check_pixels(tuple(int(inches * figure.dpi) for inches in figure.get_size_inches()), "the figure")
    drawn = io.BytesIO()
    figure.savefig(
        drawn, format="png", dpi=figure.dpi, bbox_inches="tight", pad_inches=0.1, transparent=False,
        facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor(), pil_kwargs={"compress_level": 0},
    )  # fmt: skip
    return _from_png(drawn.getvalue(), "the figure")


def _from_array(array: Any) -> Source:
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


def _kind(data: bytes) -> str:
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
)


def _size(kind: str, data: bytes) -> tuple[int, int] | None:
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


# Options and words


def _set(value: object, name: str, content: object) -> None:
    object.__setattr__(value, name, content)  # how a frozen value fills its own fields


def _options_of(medium: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in data.items() if k not in ("type", "sha256", "url", "frames")}
    if strange := options.keys() - {f.name for f in fields(medium)} | options.keys() & {"source"}:
        raise MediaError(f"a record of {_NOUNS[medium.TYPE]} has {min(strange)!r}, which is no option of it")
    return options


def _given(**options: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 1:
        raise MediaError(f"{name}={value!r} is not a number of pixels; give a whole number such as 1_000_000")
    return operator.index(value)


def _rate(fps: Any) -> float | None:
    if fps is None:
        return None
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not (0 < fps < math.inf):
        raise MediaError(f"fps={fps!r} is not a number of frames a second; give one such as 2 or 0.5")
    return int(fps) if fps == int(fps) else float(fps)  # 2 and 2.0 are one key


def _pages(pages: Iterable[Any]) -> tuple[int, ...]:
    try:
        numbers = tuple(operator.index(page) for page in pages)
    except TypeError:
        numbers = ()
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise MediaError(
            f"pages={pages!r} is not a list of pages, counted from 1, such as range(1, 20) or [1, 3]"
        )
    return numbers


def _sha256(*pieces: bytes) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "…"


def _amount(size: int) -> str:
    return (
        f"{size / _MIB:,.1f} MB"
        if size >= _MIB
        else f"{size / 1024:,.0f} kB"
        if size >= 1024
        else f"{size} bytes"
    )
