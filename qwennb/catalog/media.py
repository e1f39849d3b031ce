"""In which forms pictures and videos travel to an endpoint, and how large they may be."""

from __future__ import annotations

from dataclasses import dataclass


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
