"""Images and videos as values, and what they share with documents (document.py): what the user gave, read once, and a digest
that stands for it in the key.

    Image("chart.png")   Image(figure, max_pixels=500_000)   Video("clip.mp4", fps=1)

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

import io
import math
import operator
import os
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

from qwennb.errors import MediaError
from qwennb.request.source import (
    CAPS,
    NOUNS,
    MediaSource,
    amount,
    file_name,
    file_source,
    from_url,
    image_source,
    inside,
    medium_at_url,
    read_file,
    recorded_source,
    sha256,
    size_of,
    source_of,
)
from qwennb.terminal import flatten

Detail = Literal["auto", "low", "high"]


class Medium:
    """What pictures, videos and documents share."""

    __slots__ = ()
    TYPE: ClassVar[str]
    source: MediaSource
    max_pixels: int | None

    @classmethod
    def of(cls, anything: object) -> Self:
        """Make one of *anything*; what is one already is given back as it is.

        Parameters
        ----------
        anything : object
            What the class itself takes, or one of its own.

        Returns
        -------
        Image, Video, Pdf or Document
            One of the class that it is called on.

        Raises
        ------
        MediaError
            If it is no such thing, or a URL says by its ending that it is something else.

        Examples
        --------
        >>> picture = Image("chart.png", max_pixels=50_000)
        >>> Image.of(picture) is picture
        True
        >>> Image.of("https://example.org/report.pdf")
        Traceback (most recent call last):
            ...
        qwennb.errors.MediaError: https://example.org/report.pdf is no Image by its ending; ...
        """
        if isinstance(anything, cls):
            return anything
        if isinstance(anything, str) and (other := medium_at_url(anything)) not in (None, cls.TYPE):
            option = {"image": "images", "video": "videos"}.get(str(other), "files")
            raise MediaError(
                f"{anything.partition('?')[0]} is no {cls.__name__} by its ending; give it in {option}=, or where it is one "
                f"all the same as {cls.__name__}(url)"
            )
        return cls(anything)  # type: ignore[call-arg]

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
        """Give the bytes, or a `MediaError` naming the digest."""
        return self.source.content()

    def as_file(self) -> tuple[str, bytes]:
        """Give the ending and bytes of a file that `from_json` takes back."""
        return self.kind, self.content()

    def to_json(self) -> dict[str, Any]:
        """Write the form that goes into the request's key: what it is made from, and the options that were set."""
        identity = {"url": self.url} if self.url else {"sha256": self.digest}
        return {"type": self.TYPE, **identity, **self._options()}

    def _options(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes | None = None) -> Self:
        """Read the value that `to_json` wrote. Without *content* it can be compared and named, not asked with."""
        # Records come from other people: nothing in one may be taken for a path.
        if data.get("url") is not None:
            source = from_url(str(data["url"]), cls.TYPE)
        else:
            source = recorded_source(cls.TYPE, str(data.get("sha256")), content)
        return cls(source, **options_of(cls, data))  # type: ignore[call-arg]

    def __repr__(self) -> str:
        what = self.url.partition("?")[0] if self.url else f"sha256:{self.digest[:8]}…"
        return flatten(" ".join(["<" + type(self).__name__, *self._looks(), what]) + ">")

    def _looks(self) -> list[str]:
        return [] if self.kind in ("url", "record") else [self.kind, amount(len(self.data or b""))]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Image(Medium):
    """A picture to ask about.

    It is read when it is made, so that what is asked and its key agree however the file changes later. In the key stands
    its content, never its path.

    Parameters
    ----------
    source : path, bytes, URL, Pillow picture, matplotlib figure, numpy array or Image
        A URL is passed on to the endpoint, and never fetched here.
    max_pixels : int, optional
        The most that is sent of it, instead of the model's own limit.
    detail : {"auto", "low", "high"}, optional
        How closely to look, for endpoints that know it.

    Attributes
    ----------
    size : tuple of int or None
        Width and height as stored; None where the header does not tell.
    kind : str
        What it is by its first bytes: "png", "jpeg" …; or "pixels", "url", "record".
    data : bytes or None
        The bytes; None for a URL.
    url : str or None
        The URL, where that is all there is.
    digest, name : str
        The sha256 that stands for it in the key, and how an error calls it.
    source : MediaSource
        All of that together.

    Raises
    ------
    MediaError
        If the file is missing, is too large, or is no picture.

    Examples
    --------
    >>> picture = Image("chart.png", max_pixels=50_000)
    >>> picture.kind, picture.size
    ('png', (640, 480))
    >>> answer = qwen.ask("What is wrong in this chart?", images=[picture])
    >>> Image("missing.png")
    Traceback (most recent call last):
        ...
    qwennb.errors.MediaError: ...
    """

    TYPE: ClassVar[str] = "image"
    source: MediaSource
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
        set_field(self, "source", image_source(source))
        set_field(self, "max_pixels", pixel_count("max_pixels", max_pixels))
        set_field(self, "detail", detail)

    @classmethod
    def under(cls, root: str | os.PathLike[str], name: str, **options: Any) -> Self:
        """Open the image *name* in the folder *root*, for names the user did not type (the cells of a column).

        What lies outside the folder, by `..`, by a link or by an absolute path, is refused unopened.
        """
        found, file = inside(root, name), file_name(os.path.join(root, name))  # noqa: PTH118
        data = read_file(found, CAPS["image"], shown=name, file=file, follow=False)
        return cls(source_of(data, "image", name, file), **options)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as stored (not turned upright), read from the header; `None` if it does not tell."""
        return self.source.pixels or (size_of(self.kind, self.data) if self.data else None)

    def as_file(self) -> tuple[str, bytes]:
        """Give the ending and bytes of a file that `from_json` takes back; pixels become a PNG that keeps them all."""
        if self.kind != "pixels" or self.size is None:
            return Medium.as_file(self)
        from PIL import Image as Pillow

        png = io.BytesIO()
        Pillow.frombytes("RGBA", self.size, self.content()).save(png, "PNG")
        return "png", png.getvalue()

    def _options(self) -> dict[str, Any]:
        return without_none(max_pixels=self.max_pixels, detail=self.detail)

    def _looks(self) -> list[str]:
        if self.kind in ("url", "record"):
            return []
        return [self.kind, "{}×{}".format(*self.size)] if self.size else [self.kind]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Video(Medium):
    """A video to ask about.

    Parameters
    ----------
    source : path, bytes, URL, list of images or Video
        The images of a list are its frames. A URL is passed on to the endpoint, and never fetched here.
    fps : float, optional
        How many frames a second the model is to see; for a list, how many a second were taken.
    max_pixels : int, optional
        The most that a frame is scaled down to.

    Attributes
    ----------
    frames : tuple of Image
        The frames, where it was made of a list.
    kind : str
        What it is by its first bytes: "mp4", "webm" …; or "frames", "url", "record".
    data : bytes or None
        The bytes; None for a URL and for frames.
    url : str or None
        The URL, where that is all there is.
    digest, name : str
        The sha256 that stands for it in the key, and how an error calls it.
    source : MediaSource
        All of that together.

    Raises
    ------
    MediaError
        If the file is missing, is too large, or is no video; if `fps` is no rate.

    Examples
    --------
    >>> Video("clip.mp4", fps=1).kind
    'mp4'
    >>> clip = Video(["chart.png", "chart.png"], fps=2)
    >>> len(clip.frames)
    2
    >>> answer = qwen.ask("What changes?", videos=[clip])
    """

    TYPE: ClassVar[str] = "video"
    source: MediaSource
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
            source = MediaSource(sha256(identity.encode()), "frames", f"a video of {len(frames)} images")
        set_field(self, "source", file_source(source, "video"))
        set_field(self, "frames", frames)
        set_field(self, "fps", _rate(fps))
        set_field(self, "max_pixels", pixel_count("max_pixels", max_pixels))

    def to_json(self) -> dict[str, Any]:
        """Write the form that goes into the request's key; a list of frames stands there frame by frame."""
        if not self.frames:
            return Medium.to_json(self)
        return {"type": self.TYPE, "frames": [f.to_json() for f in self.frames], **self._options()}

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes | None = None) -> Self:
        """Read the value that `to_json` wrote. Without *content* it can be compared and named, not asked with."""
        if "frames" not in data:
            return super(Video, cls).from_json(data, content)
        return cls([Image.from_json(frame) for frame in data["frames"]], **options_of(cls, data))

    def _options(self) -> dict[str, Any]:
        return without_none(fps=self.fps, max_pixels=self.max_pixels)

    def _looks(self) -> list[str]:
        return [f"{len(self.frames)} frames"] if self.frames else Medium._looks(self)


# Options and words


def set_field(value: object, name: str, content: object) -> None:
    """Set a field of a value that is being made."""
    object.__setattr__(value, name, content)  # how a frozen value fills its own fields


def options_of(medium: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    """Take the options out of a record of *medium*."""
    options = {k: v for k, v in data.items() if k not in ("type", "sha256", "url", "frames")}
    if strange := options.keys() - {f.name for f in fields(medium)} | options.keys() & {"source"}:
        raise MediaError(f"a record of {NOUNS[medium.TYPE]} has {min(strange)!r}, which is no option of it")
    return options


def without_none(**options: object) -> dict[str, Any]:
    """Leave out what was left alone."""
    return {name: value for name, value in options.items() if value is not None}


def pixel_count(name: str, value: Any) -> int | None:
    """Read a number of pixels."""
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
