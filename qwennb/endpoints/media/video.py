"""Frames out of a video, for servers that take no video, not of this kind, or not at this size.

The frames are spread evenly, each from the middle of its share of the time, as many as the frame rate asks for. Where
the next one lies far ahead, the file is searched instead of decoded through, so that an hour costs little more than a
minute. ffmpeg is given the bytes, and told which container their beginning says, so nothing else can be opened.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwennb.catalog import Images, Videos
from qwennb.endpoints.media.picture import PreparedPicture, encode, room_in, scale_size
from qwennb.errors import MediaError
from qwennb.remembered import Remembered
from qwennb.request import MOST_PIXELS, Video

_DEMUXERS = {"mp4": "mov", "mov": "mov", "webm": "matroska", "mkv": "matroska", "mpeg": "mpeg", "avi": "avi"}
_WORTH_SEARCHING = 8.0  # seconds ahead


@dataclass(frozen=True, slots=True)
class Film:
    """Frames as they are sent, and how many of them make a second."""

    frames: tuple[PreparedPicture, ...]
    fps: float


_remembered = Remembered[Film](64 << 20, lambda film: sum(map(len, film.frames)))  # bytes


def sample(video: Video, takes: Videos, images: Images, endpoint: str, least: int, most: int) -> Film:
    """From *least* to *most* frames of *video*, each within the pixels that *takes* grants it."""
    content = video.content()
    key = (video.digest, video.fps, video.max_pixels, takes, images, least, most)
    return _remembered.get(key, lambda: _Reel(video, content, takes, endpoint).sample(images, least, most))


def check_length(video: Video, takes: Videos, endpoint: str) -> None:
    """Refuse what is too short or too long for *endpoint*. Without PyAV the server is left to say so."""
    with contextlib.suppress(_NoPyAV):
        _Reel(video, video.content(), takes, endpoint).check_length()


class _NoPyAV(MediaError):
    """PyAV is not installed."""


class _Reel:
    """One video opened for reading."""

    def __init__(self, video: Video, content: bytes, takes: Videos, endpoint: str) -> None:
        try:
            import av
        except ImportError:
            raise _NoPyAV(
                f"{video.name} has to be cut into frames for {endpoint}, and PyAV is not installed; type: "
                'pip install "qwennb[video]"'
            ) from None
        self._av, self._video, self._content, self._takes, self._endpoint = (
            av,
            video,
            content,
            takes,
            endpoint,
        )

    def check_length(self) -> None:
        with self._open() as (container, stream):
            self._seconds(container, stream)

    def sample(self, images: Images, least: int, most: int) -> Film:
        with self._open() as (container, stream):
            seconds = self._seconds(container, stream)
            count = self._count(seconds, least, most)
            start = float((stream.start_time or 0) * stream.time_base)
            times = [start + (i + 0.5) * seconds / count for i in range(count)]
            budget = min(self._video.max_pixels or self._takes.max_pixels, self._takes.hard_pixels)
            budget = max(1, min(budget, self._takes.total_pixels // count))
            made: list[PreparedPicture] = []
            last: Any = None
            for frame in self._frames(container, stream, times):
                # A slow video shows the same frame at several times.
                made.append(made[-1] if frame is last else self._picture(frame, budget, images))
                last = frame
        if not made:
            raise MediaError(f"{self._video.name} has no frame that can be decoded; save it anew as MP4")
        made += made[-1:] * (count - len(made))
        return Film(tuple(made), round(min(count / seconds, self._takes.max_fps or math.inf), 3))

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        name = self._video.name
        try:
            demuxer = _DEMUXERS[self._video.kind]
            with self._av.open(
                io.BytesIO(self._content), format=demuxer, metadata_errors="ignore"
            ) as container:
                if not container.streams.video:
                    raise MediaError(f"{name} has sound only; give a video with a picture")
                stream = container.streams.video[0]
                _check_frame(stream.width, stream.height, name)
                stream.thread_type = "AUTO"
                yield container, stream
        except (self._av.FFmpegError, EOFError, ValueError) as error:
            if isinstance(error, MediaError):
                raise
            said = getattr(error, "strerror", None) or error
            raise MediaError(f"{name} can't be decoded ({said}); save it anew as MP4") from None

    def _seconds(self, container: Any, stream: Any) -> float:
        name, takes, endpoint = self._video.name, self._takes, self._endpoint
        if container.duration:
            seconds = container.duration / 1_000_000
        else:  # recorded by a browser: only the last packet tells
            ends = [
                float((packet.pts + (packet.duration or 0)) * stream.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None
            ]
            seconds = max(ends, default=0.0) - float((stream.start_time or 0) * stream.time_base)
            container.seek(0)
        if seconds <= 0:
            raise MediaError(f"{name} has no length that can be told; save it anew as MP4")
        if seconds < takes.min_seconds:
            raise MediaError(
                f"{name} lasts {seconds:.1f} s; {endpoint} takes videos of at least {takes.min_seconds:g} s"
            )
        if takes.max_seconds is not None and seconds > takes.max_seconds:
            raise MediaError(
                f"{name} lasts {seconds:,.0f} s; {endpoint} takes at most {takes.max_seconds:,.0f} s, so cut it"
            )
        return float(seconds)

    def _count(self, seconds: float, least: int, most: int) -> int:
        wanted = max(least, math.floor(seconds * (self._video.fps or self._takes.fps)))
        if wanted > most and self._video.fps is not None:
            raise MediaError(
                f"{self._video.name} at fps={self._video.fps:g} gives {wanted:,} frames; {self._endpoint} takes {most:,} "
                f"inside a request, so give fps={math.floor(most / seconds * 1000) / 1000:g} or less"
            )
        return min(wanted, most)

    def _frames(self, container: Any, stream: Any, times: list[float]) -> Iterator[Any]:
        """Decode the frame at each of *times*, which ascend; fewer where the video ends early."""
        step = 1 / float(stream.average_rate or 25)
        wanted, now, searching = 0, 0.0, True
        while searching and wanted < len(times):
            searching = False
            for frame in container.decode(stream):
                now = frame.time if frame.time is not None else now + step
                while wanted < len(times) and now + step > times[wanted]:
                    yield frame
                    wanted += 1
                if wanted == len(times):
                    return
                if times[wanted] - now > _WORTH_SEARCHING and self._search(container, stream, times[wanted]):
                    searching = True
                    break

    def _search(self, container: Any, stream: Any, time: float) -> bool:
        try:
            container.seek(int(time / stream.time_base), stream=stream)
        except self._av.FFmpegError:
            return False
        return True

    def _picture(self, frame: Any, budget: int, images: Images) -> PreparedPicture:
        _check_frame(frame.width, frame.height, self._video.name)
        size = scale_size(frame.width, frame.height, budget)
        picture = frame.reformat(*size, format="rgb24", interpolation="AREA").to_image()
        if turned := round(frame.rotation) % 360:
            picture = picture.rotate(turned, expand=True)
        return encode(picture, False, images, room_in(images), self._video.name, self._endpoint)


def _check_frame(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        raise MediaError(
            f"{name} has frames of {width}×{height}, too large to be opened; scale it down first"
        )
