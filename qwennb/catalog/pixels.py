"""What a picture costs in tokens, before it is sent.

The models see patches of 16 × 16 pixels, merged two by two: one token for every 32 × 32. Both sides are
rounded to multiples of 32; a picture over the pixel budget is shrunk, keeping its proportions, and one under
the minimum is enlarged. Two tokens mark where it begins and ends.
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
