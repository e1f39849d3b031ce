"""A cell as a picture: bytes, a path under a stated folder, or a URL where those are allowed. Nothing else is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from qwennb.client import Options
from qwennb.errors import BadInput, MediaError
from qwennb.request import Image


def check_image_column(dtype: pl.DataType, name: str, *, root: Path | None, urls: bool) -> None:
    """Refuse, before anything runs, a column whose cells are no pictures as it stands."""
    if dtype == pl.Binary or (dtype == pl.String and (root is not None or urls)):
        return
    if dtype == pl.String:
        raise BadInput(
            f"Column `{name}` holds text, and text in a cell is never opened by itself. For paths, give the folder that "
            'they are in: root="photos/"; for URLs, allow_urls=True.'
        )
    raise BadInput(f"Column `{name}` is {dtype}; pictures are Binary, or paths under root=.")


def image_of(cell: Any, *, root: Path | None, options: Options) -> Image:
    """The picture that a *cell* holds or names."""
    if isinstance(cell, bytes):
        return Image(cell, max_pixels=options.max_pixels)
    if options.allow_urls and str(cell).startswith(("https://", "http://")):
        return Image(cell, max_pixels=options.max_pixels)
    if root is None:
        raise MediaError(
            f"{str(cell)[:60]!r} is not a URL, and no folder is given as root=; it is not opened"
        )
    return Image.under(root, cell, max_pixels=options.max_pixels)
