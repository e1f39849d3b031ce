"""The content parts that a medium becomes, as each kind of server spells them."""

from __future__ import annotations

from typing import Any

from qwennb.catalog import Images
from qwennb.endpoints.media.film import Film, encoded_video
from qwennb.endpoints.media.limits import MediaLimits
from qwennb.endpoints.media.paper import chosen_pages, page_pictures
from qwennb.endpoints.media.picture import prepare_image
from qwennb.errors import MediaError
from qwennb.request import Image, Pdf, Video

__all__ = ["prepare"]

Part = dict[str, Any]


def prepare(medium: Image | Video | Pdf, limits: MediaLimits) -> list[Part]:
    """The content parts that *medium* is sent as; a `MediaError` in one sentence where it can't be sent."""
    if isinstance(medium, Image):
        return [_image(medium, limits)]
    return _video(medium, limits) if isinstance(medium, Video) else _pdf(medium, limits)
