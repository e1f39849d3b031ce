"""What an endpoint takes of pictures, videos and PDFs, and by which names.

How much and which formats is data of the catalogue. How the parts are spelled is here, one row a kind of server:
what a server does not read is never sent, since most drop an unknown field in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from qwennb.catalog import Abilities, Images, Videos


@dataclass(frozen=True, slots=True)
class Spelling:
    """The fields that a server reads beside those of plain OpenAI chat.

    `image_detail`: `detail` in `image_url`. `pixel_budget`: `max_pixels` beside `image_url` and `video_url`.
    `fps`: frames a second, "beside" `video_url` or "inside" it. `input_video`: videos are `input_video` parts.
    """

    image_detail: bool = False
    pixel_budget: bool = False
    fps: Literal["beside", "inside"] | None = None
    input_video: bool = False


SPELLINGS = {
    "openai": Spelling(image_detail=True),
    "openrouter": Spelling(image_detail=True),
    "dashscope": Spelling(image_detail=True, pixel_budget=True, fps="beside"),
    "sglang": Spelling(fps="inside"),
    "llama.cpp": Spelling(input_video=True),
    "local": Spelling(input_video=True),  # the embedded server is llama.cpp
}


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What one model takes at one endpoint. `endpoint` is how errors call the two.

    `images` is `None` where it sees no pictures, `videos` where it takes no video: frames are then sent as pictures.
    A document goes as text, and a page without text as a picture; no more than `most_pages` are drawn. `pdf` tells whether a
    PDF may go as a file `part`, or only as its `pages`. `most_frames` bounds the frames of a video that travel inside one request.
    """

    endpoint: str
    images: Images | None
    videos: Videos | None
    pdf: Literal["part", "pages"] | None
    spelling: Spelling = Spelling()
    most_pages: int = 100
    most_frames: int = 250

    @classmethod
    def of(cls, abilities: Abilities, kind: str | None = None) -> Self:
        """The limits in *abilities*; *kind* of server where the endpoint's own name does not begin with it."""
        named = kind or abilities.endpoint
        spelling = next((row for name, row in SPELLINGS.items() if named.startswith(name)), Spelling())
        sees, watches = "image" in abilities.modalities, "video" in abilities.modalities
        images = abilities.images if sees else None
        made = cls(
            endpoint=f"{abilities.model} at {abilities.endpoint}",
            images=images,
            videos=abilities.videos if watches else None,
            pdf=abilities.pdf,
            spelling=spelling,
        )
        most = images.base64_most if images else None
        return made if most is None else replace(made, most_frames=most)
