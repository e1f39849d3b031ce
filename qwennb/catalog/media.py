"""Pictures and videos: in which forms they travel to an endpoint, how large they may be, what a picture costs in tokens.

The models see patches of 16 × 16 pixels, merged two by two: one token for every 32 × 32. Both sides are
rounded to multiples of 32; a picture over the pixel budget is shrunk, keeping its proportions, and one under
the minimum is enlarged. Two tokens mark where it begins and ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_GRID = 32
_MARKS = 2


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures. `base64_bytes` limits the encoded string; `None` means that no limit is documented.

    A picture above `max_pixels` is scaled down by the server (the default pixel budget) and can be granted
    up to `hard_pixels`; the defaults are those of the models' own preprocessor.
    """

    forms: tuple[str, ...]
    formats: tuple[str, ...]
    url_bytes: int | None = None
    base64_bytes: int | None = None
    url_most: int | None = None
    base64_most: int | None = None
    min_side: int = 1
    max_aspect: int = 200
    min_pixels: int = 65_536
    max_pixels: int = 16_777_216
    hard_pixels: int = 16_777_216


@dataclass(frozen=True, slots=True)
class Videos:
    """Videos: as a file (`url`, `base64`) or as a list of pictures (`frames`)."""

    forms: tuple[str, ...]
    formats: tuple[str, ...]
    url_bytes: int | None = None
    base64_bytes: int | None = None
    most: int | None = None
    min_seconds: float = 0.0
    max_seconds: float | None = None
    min_fps: float = 0.1
    max_fps: float | None = None
    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 8000
    min_pixels: int = 65_536
    max_pixels: int = 655_360
    hard_pixels: int = 2_048_000
    total_pixels: int = 819_200_000


def image_size(
    width: int, height: int, *, min_pixels: int = 65_536, max_pixels: int = 2_621_440
) -> tuple[int, int]:
    """Width and height as the model will see them."""
    if width < 1 or height < 1:
        raise ValueError(f"A picture of {width} × {height} pixels has no content.")
    w, h = (max(_GRID, round(side / _GRID) * _GRID) for side in (width, height))
    if w * h > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        w, h = (max(_GRID, math.floor(side / shrink / _GRID) * _GRID) for side in (width, height))
    elif w * h < min_pixels:
        enlarge = math.sqrt(min_pixels / (width * height))
        w, h = (math.ceil(side * enlarge / _GRID) * _GRID for side in (width, height))
    return w, h


def image_tokens(width: int, height: int, *, min_pixels: int = 65_536, max_pixels: int = 2_621_440) -> int:
    """Tokens of a picture of this size."""
    w, h = image_size(width, height, min_pixels=min_pixels, max_pixels=max_pixels)
    return w * h // _GRID**2 + _MARKS
