"""What a picture or a video costs in tokens, before it is sent.

The models see patches of 16 × 16 pixels, merged two by two: one token for every 32 × 32. Both sides are
rounded to multiples of 32; a picture over the pixel budget is shrunk, keeping its proportions, and one under
the minimum is enlarged. Two tokens mark where it begins and ends. The frames of a video are taken in pairs.
"""

from __future__ import annotations

import math

_GRID = 32
_MARKS = 2


def image_size(
    width: int, height: int, *, min_pixels: int = 65_536, max_pixels: int = 2_621_440
) -> tuple[int, int]:
    """Width and height as the model will see them."""
    if width < 1 or height < 1:
        msg = f"A picture of {width} × {height} pixels has no content."
        raise ValueError(msg)
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


def video_frames(seconds: float, *, fps: float = 2.0, least: int = 4, most: int = 8000) -> int:
    """How many frames are looked at."""
    return min(most, max(least, math.floor(seconds * fps)))


def video_tokens(
    width: int,
    height: int,
    frames: int,
    *,
    min_pixels: int = 65_536,
    max_pixels: int = 655_360,
    total_pixels: int = 819_200_000,
) -> int:
    """Tokens of a video of this many frames. How a host bills the pairs is not documented: an estimate."""
    pairs = math.ceil(max(1, frames) / 2)
    budget = max(_GRID**2, min(max_pixels, total_pixels // pairs))
    w, h = image_size(width, height, min_pixels=min(min_pixels, budget), max_pixels=budget)
    return pairs * (w * h // _GRID**2) + _MARKS
