"""The content parts that a medium becomes, as each kind of server spells them.

What a server can't be told is refused with what to do instead; an option is never dropped in silence.
"""

from __future__ import annotations

import base64
from typing import Any, NoReturn

from qwennb.catalog import Images, Videos
from qwennb.endpoints.media.document import is_read, write_pages
from qwennb.endpoints.media.limits import MediaLimits
from qwennb.endpoints.media.pdf import pages_of, pdf_bytes
from qwennb.endpoints.media.picture import PreparedPicture, prepare_image, room_in
from qwennb.endpoints.media.video import check_length, sample
from qwennb.errors import MediaError
from qwennb.request import Document, Image, Medium, Pdf, Video

Part = dict[str, Any]
_VIDEO_MIME = {"mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mpeg": "video/mpeg"}


def prepare(medium: Medium, limits: MediaLimits, label: str = "") -> list[Part]:
    """The content parts that *medium* is sent as; a `MediaError` in one sentence where it can't be sent.

    *label* is what a PDF without a name is called, where there are several.
    """
    if isinstance(medium, Image):
        return [_image(medium, limits)]
    if isinstance(medium, Video):
        return _video(medium, limits)
    assert isinstance(medium, Pdf | Document)
    return _read(medium, limits, label) if is_read(medium) else _pdf(medium, limits)


# Images


def _image(image: Image, limits: MediaLimits, budget: int | None = None) -> Part:
    taken, spelling = _image_limits(image.name, limits), limits.spelling
    if image.detail is not None and not spelling.image_detail:
        raise MediaError(f"{limits.endpoint} does not read detail=; leave it out of {image.name}")
    if image.url is not None:
        url = _as_url(image, "url" in taken.forms, limits, {"max_pixels": spelling.pixel_budget})
    else:
        url = prepare_image(image, taken, limits.endpoint, budget).uri
    part = _image_url(url, image.detail)
    if spelling.pixel_budget and image.max_pixels is not None:
        part["max_pixels"] = min(image.max_pixels, taken.hard_pixels)
    return part


def _image_url(url: str, detail: str | None = None) -> Part:
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}


def _pictures(pictures: tuple[PreparedPicture, ...]) -> list[Part]:
    return [_image_url(picture.uri) for picture in pictures]


def _image_limits(name: str, limits: MediaLimits) -> Images:
    if limits.images is None:
        raise MediaError(
            f"{limits.endpoint} sees no pictures, so {name} can't be sent; choose a model that does"
        )
    return limits.images


def _as_url(medium: Medium, taken: bool, limits: MediaLimits, options: dict[str, bool]) -> str:
    """Take the URL as it is, where the server fetches URLs and can be told what goes with it."""
    if medium.url is None or not taken:
        _no_url(medium.name, limits)
    for option, spelled in options.items():
        if getattr(medium, option) is not None and not spelled:
            raise MediaError(
                f"{limits.endpoint} can't be told {option}= for a URL; leave it out, or download {medium.name} and give "
                "the path"
            )
    return medium.url


def _no_url(name: str, limits: MediaLimits) -> NoReturn:
    raise MediaError(
        f"{limits.endpoint} does not fetch {name}, and neither does qwennb; download it and give the path"
    )


# Videos


def _video(video: Video, limits: MediaLimits) -> list[Part]:
    takes, spelling = limits.videos, limits.spelling
    if takes is not None and video.fps is not None:
        _check_fps(video.fps, takes, limits.endpoint)
    if video.url is not None:
        spelled = {"fps": spelling.fps is not None, "max_pixels": spelling.pixel_budget}
        return [
            _whole(video, _as_url(video, takes is not None and "url" in takes.forms, limits, spelled), limits)
        ]
    if video.frames:
        return _frames_given(video, limits)
    if takes is not None and _goes_whole(video, takes, limits):
        check_length(video, takes, limits.endpoint)
        return [_whole(video, None, limits)]
    return _frames_cut(video, limits)


def _goes_whole(video: Video, takes: Videos, limits: MediaLimits) -> bool:
    room = room_in(takes)
    return (
        "base64" in takes.forms
        and video.kind in takes.formats
        and video.kind in _VIDEO_MIME
        and (room is None or len(video.content()) <= room)
        and (video.fps is None or limits.spelling.fps is not None)
        and (video.max_pixels is None or limits.spelling.pixel_budget)
    )


def _whole(video: Video, url: str | None, limits: MediaLimits) -> Part:
    """Make one part of a video: by its URL, or the bytes."""
    spelling = limits.spelling
    if spelling.input_video:
        given = {"url": url} if url else {"data": base64.b64encode(video.content()).decode()}
        return {"type": "input_video", "input_video": given}
    if url is None:
        url = PreparedPicture(_VIDEO_MIME[video.kind], video.content()).uri
    part: Part = {"type": "video_url", "video_url": {"url": url}}
    if video.fps is not None:
        (part if spelling.fps == "beside" else part["video_url"])["fps"] = video.fps
    if video.max_pixels is not None and limits.videos is not None:
        part["max_pixels"] = min(video.max_pixels, limits.videos.hard_pixels)
    return part


def _frames_cut(video: Video, limits: MediaLimits) -> list[Part]:
    taken = _image_limits(video.name, limits)
    # Where a server takes no video at all, its frames are pictures like any other, cut as the models like it.
    takes = limits.videos or Videos(forms=(), formats=())
    listed = "frames" in takes.forms
    least, most = takes.min_frames if listed else 1, min(limits.most_frames, takes.max_frames)
    film = sample(video, takes, taken, limits.endpoint, least, most)
    if listed:
        return [_frame_list([frame.uri for frame in film.frames], film.fps)]
    return [_note_frames(len(film.frames), film.fps), *_pictures(film.frames)]


def _frames_given(video: Video, limits: MediaLimits) -> list[Part]:
    takes, count = limits.videos or Videos(forms=(), formats=()), len(video.frames)
    budget = min(video.max_pixels or takes.max_pixels, takes.hard_pixels)
    most = min(
        takes.max_frames, limits.most_frames if any(f.url is None for f in video.frames) else takes.max_frames
    )
    parts = [_image(frame, limits, budget) for frame in video.frames[: most + 1]]
    if count > most:
        raise MediaError(
            f"{video.name} is too long for {limits.endpoint}, which takes {most:,} in a request; leave some out"
        )
    if "frames" not in takes.forms:
        return [_note_frames(count, video.fps), *parts]
    if count < takes.min_frames:
        raise MediaError(
            f"{limits.endpoint} takes a video of at least {takes.min_frames} images; {video.name} is too short"
        )
    if any(frame.detail or frame.max_pixels for frame in video.frames if frame.url):
        raise MediaError(
            f"{limits.endpoint} reads no options of a video's single images; give them to Video(…) instead"
        )
    return [_frame_list([part["image_url"]["url"] for part in parts], video.fps)]


def _frame_list(urls: list[str], fps: float | None) -> Part:
    return {"type": "video", "video": urls} | ({"fps": fps} if fps is not None else {})


def _note_frames(count: int, fps: float | None) -> Part:
    """Pictures in a row don't say that they are a video; words do."""
    pace = f", {fps:g} a second" if fps is not None else ""
    words = f"{count} frames of a video in their order{pace}:" if count > 1 else "1 frame of a video:"
    return {"type": "text", "text": words}


def _check_fps(fps: float, takes: Videos, endpoint: str) -> None:
    if fps < takes.min_fps or (takes.max_fps is not None and fps > takes.max_fps):
        upper = f" to {takes.max_fps:g}" if takes.max_fps is not None else " up"
        raise MediaError(f"fps={fps:g} is out of range for {endpoint}, which takes {takes.min_fps:g}{upper}")


# Documents


def _read(medium: Pdf | Document, limits: MediaLimits, label: str) -> list[Part]:
    parts: list[Part] = []
    for page in write_pages(medium, limits, label):
        parts.append({"type": "text", "text": "\n".join(filter(None, (page.heading, page.text)))})
        if page.picture is not None:
            parts.append(_image_url(page.picture.uri))
    return parts


def _pdf(pdf: Pdf | Document, limits: MediaLimits) -> list[Part]:
    if pdf.as_ == "file" or (pdf.as_ == "auto" and limits.pdf == "part"):
        return [_file(pdf, limits)]
    if pdf.url is not None:
        _no_url(pdf.name, limits)
    return _pictures(pages_of(pdf, _image_limits(pdf.name, limits), limits.endpoint, limits.most_pages))


def _file(pdf: Pdf | Document, limits: MediaLimits) -> Part:
    if limits.pdf != "part":
        raise MediaError(
            f"{limits.endpoint} takes no PDF as a file, so {pdf.name} can't be sent as one; leave as_= out, and its text is sent"
        )
    if pdf.max_pixels is not None:
        raise MediaError(
            f"{limits.endpoint} takes a PDF as a file and can't be told max_pixels=; leave it out"
        )
    if pdf.url is not None:
        data = _as_url(pdf, True, limits, {"pages": False})
    else:
        data = PreparedPicture("application/pdf", pdf_bytes(pdf)).uri
    # Not the file's own name, unless it was given to be shown: it may say who or what it is about.
    name = pdf.name.rpartition("/")[2] if isinstance(pdf, Document) else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": data}}
