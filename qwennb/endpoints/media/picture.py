"""One image made ready for one endpoint.

A file goes through undecoded when the endpoint reads its format, it is upright, and it is within the budgets of pixels
and bytes; only its metadata is cut out. Else it is decoded, scaled down as far as the budget says and no further,
turned upright and encoded anew without metadata. A JPEG is decoded straight to a half, a quarter or an eighth of its
size where that is still enough, which is where the time goes with photographs.

Pillow is given the one format that the file's first bytes say, and only after the size in the header has been checked.

A few of what was prepared are kept in memory (`Remembered`), so that each turn of a chat does not encode its pictures again.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

from qwennb.catalog import Images, Videos
from qwennb.endpoints.media.metadata import orientation, without_metadata
from qwennb.errors import MediaError
from qwennb.remembered import Remembered
from qwennb.request import MOST_PIXELS, Image

_GRID = 32  # what the model sees of a picture is a grid of squares with this side
_URI_HEAD = 32  # the words before the base64 count towards a limit on the string
_QUALITIES = (90, 80, 70, 60)
_SMALLER = 0.75  # of each side, when even the lowest quality is too large
_MOST_COLOURS_DRAWN = 4096  # with more, it is taken for a photograph
_LARGE = 3840 * 2160  # above this only JPEG and PNG are sure to be read
_DECODED = ("png", "jpeg", "webp", "gif", "bmp", "tiff", "avif")
_UPRIGHT_ALREADY = ("pixels", "tiff", "avif")  # the last two are turned by Pillow's own decoder


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """An image as it is sent."""

    mime: str
    data: bytes

    def __len__(self) -> int:
        return len(self.data)

    @property
    def uri(self) -> str:
        """The data: URI."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


_remembered = Remembered[PreparedPicture](64 << 20, len)  # bytes


def scale_size(width: int, height: int, budget: int) -> tuple[int, int]:
    """The size at which a picture is sent: its own when that is within *budget* pixels, else the largest on the
    model's grid. A side that would be shorter than the grid stays off it; none is ever longer than it was.
    """
    if width * height <= budget:
        return width, height
    shrink = math.sqrt(budget / (width * height))
    wide, high = (
        int(side * shrink) // _GRID * _GRID or max(1, int(side * shrink)) for side in (width, height)
    )
    return min(wide, max(1, budget // high)), min(high, budget)


def prepare_image(image: Image, taken: Images, endpoint: str, budget: int | None = None) -> PreparedPicture:
    """Prepare *image* as *endpoint* takes it, within *budget* pixels or the image's own `max_pixels`."""
    budget = min(image.max_pixels or budget or taken.max_pixels, taken.hard_pixels)
    room, content = room_in(taken), image.content()
    if image.size:
        _check_shape(image.size, image.name, taken, endpoint)
    if (
        image.kind in taken.formats
        and (as_it_is := _without_metadata(image, content, budget, room)) is not None
    ):
        return PreparedPicture(f"image/{image.kind}", as_it_is)
    if image.kind not in (*_DECODED, "pixels"):
        raise MediaError(
            f"{image.name} is {image.kind.upper()}, which {endpoint} does not take at this size and which can't be "
            "converted here; save it as JPEG"
        )
    key = (image.digest, budget, room, taken)

    def make() -> PreparedPicture:
        try:
            return encode(*_decode(image, content, budget), taken, room, image.name, endpoint)
        except MediaError:
            raise
        except Exception as error:  # a broken file makes Pillow's decoders raise almost anything
            raise MediaError(f"{image.name} can't be decoded ({error}); open it and save it anew") from None

    return _remembered.get(key, make)


def _without_metadata(image: Image, content: bytes, budget: int, room: int | None) -> bytes | None:
    """Strip the file of its metadata, where it needs nothing else."""
    if image.size is not None:
        pixels = math.prod(image.size)
        if pixels > budget or (pixels > _LARGE and image.kind not in ("png", "jpeg")):
            return None
    if orientation(image.kind, content) != 1 or (room is not None and len(content) > room):
        return None
    return without_metadata(image.kind, content)


def _check_shape(size: tuple[int, int], name: str, taken: Images, endpoint: str) -> None:
    if math.prod(size) > MOST_PIXELS:
        raise MediaError(
            f"{name} is {size[0]}×{size[1]}, {math.prod(size) / 1e6:,.0f} megapixels; at most {MOST_PIXELS // 10**6} "
            "are opened, so scale it down first"
        )
    if min(size) < taken.min_side:
        raise MediaError(
            f"{name} is {size[0]}×{size[1]}; {endpoint} wants at least {taken.min_side} pixels a side"
        )
    if max(size) > taken.max_aspect * min(size):
        raise MediaError(
            f"{name} is {size[0]}×{size[1]}; {endpoint} takes a long side of at most {taken.max_aspect} short ones, "
            "so cut it into pieces"
        )


def _decode(image: Image, content: bytes, budget: int) -> tuple[Any, bool]:
    """Decode the upright picture within *budget*; tell whether it is drawn rather than photographed."""
    from PIL import Image as Pillow

    if image.kind == "pixels":
        size = image.size or (0, 0)
        picture: Any = Pillow.frombuffer("RGBA", size, content, "raw", "RGBA", 0, 1)
    else:
        picture = Pillow.open(io.BytesIO(content), formats=(image.kind.upper(),))
        if math.prod(picture.size) > MOST_PIXELS:
            raise MediaError(f"{image.name} is {picture.size[0]}×{picture.size[1]}, too large to be opened")
    width, height = picture.size
    target = scale_size(width, height, budget)
    if image.kind == "jpeg":
        picture.draft(None, target)
    picture.load()
    if image.kind in _UPRIGHT_ALREADY:  # and may have been lying on its side before
        target = scale_size(picture.width, picture.height, budget)
    picture = _plain(picture, image.name)
    # A JPEG has its noise already: as PNG it would only grow.
    drawn = image.kind not in ("jpeg", "avif") and is_drawn(picture)
    if picture.size != target:
        # What is drawn has edges that LANCZOS keeps best. A photograph does not show the difference to HAMMING, which
        # needs half the time, the larger part of all that is left to do after a JPEG was decoded small.
        sharp, quick = Pillow.Resampling.LANCZOS, Pillow.Resampling.HAMMING
        picture = picture.resize(target, sharp if drawn else quick, reducing_gap=2.0)
    turned = 1 if image.kind in _UPRIGHT_ALREADY else orientation(image.kind, content)
    if turned != 1:
        turn = Pillow.Transpose
        picture = picture.transpose(
            (turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_270,
             turn.TRANSVERSE, turn.ROTATE_90)[turned - 2]
        )  # fmt: skip
    return picture, drawn


def is_drawn(picture: Any) -> bool:
    """Whether it is a chart, a screenshot or text rather than a photograph.

    What is drawn has few colours, and as PNG its edges stay sharp at a small size. Transparency needs PNG anyway.
    """
    return picture.mode == "RGBA" or picture.getcolors(_MOST_COLOURS_DRAWN) is not None


def room_in(taken: Images | Videos) -> int | None:
    """The bytes of a file whose base64 is within the limit."""
    return (taken.base64_bytes - _URI_HEAD) // 4 * 3 if taken.base64_bytes else None


def _plain(picture: Any, name: str) -> Any:
    """Convert the picture to L, RGB or, where something of it is really transparent, RGBA."""
    if picture.mode in ("I", "F"):
        raise MediaError(
            f"{name} holds measurements, not shades (mode {picture.mode}); save it as an 8-bit picture"
        )
    if picture.mode.startswith("I;16"):  # Pillow's own conversion would clip instead of scaling
        return picture.convert("I").point(lambda level: level / 256).convert("L")
    if picture.mode == "1":
        return picture.convert("L")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return picture if picture.getextrema()[3][0] < 255 else picture.convert("RGB")
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def encode(
    picture: Any, drawn: bool, taken: Images, room: int | None, name: str, endpoint: str
) -> PreparedPicture:
    """The picture as PNG if *drawn*, else as JPEG; smaller in quality, then in size, until it has *room*."""
    from PIL import Image as Pillow

    profile = picture.info.get("icc_profile") if picture.mode != "L" else None
    picture.info = {}  # comments and the like would be written again
    drawn = drawn and "png" in taken.formats
    while min(picture.size) >= 1:
        if drawn:
            made = _save(picture, "PNG", icc_profile=profile)
            if room is None or len(made) <= room:
                return PreparedPicture("image/png", made)
            drawn = picture.mode == "RGBA"
        if not drawn:
            if picture.mode == "RGBA":
                white = Pillow.new("RGBA", picture.size, "white")
                picture = Pillow.alpha_composite(white, picture).convert("RGB")
            for quality in _QUALITIES:
                made = _save(picture, "JPEG", quality=quality, icc_profile=profile)
                if room is None or len(made) <= room:
                    return PreparedPicture("image/jpeg", made)
        smaller = tuple(int(side * _SMALLER) for side in picture.size)
        if min(smaller) < taken.min_side:
            break
        picture = picture.resize(smaller, Pillow.Resampling.LANCZOS)
    raise MediaError(
        f"{name} can't be made small enough for {endpoint}, which takes {room or 0:,} bytes; cut it down"
    )


def _save(picture: Any, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **{option: value for option, value in options.items() if value is not None})
    return file.getvalue()
