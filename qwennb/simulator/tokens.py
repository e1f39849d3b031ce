"""How many tokens a question and an answer have, by one simple rule.

Four characters are a token. A message costs 5 more, the header of the answer 3, and the think tags 2 (on) or 4 (off), as
in Qwen 3.5's chat template. A picture is counted from its size; a film as 16 frames in pairs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .pictures import HARD_MAX_PIXELS, MAX_PIXELS, MIN_PIXELS, UNSEEN, image_tokens, look

__all__ = ["Counts", "count_prompt", "count_text"]

FRAMES = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one question and its answer. `completion` includes `reasoning`."""

    prompt: int
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    image: int = 0
    video: int = 0
    cost: float | None = None

    @property
    def total(self) -> int:
        """Everything."""
        return self.prompt + self.completion


def count_text(text: str) -> int:
    """Four characters are a token."""
    return (len(text) + 3) // 4


def count_prompt(body: dict[str, Any], thinking: bool) -> Counts:
    """The tokens of the messages and tools of a chat request."""
    text = image = video = 0
    messages = body.get("messages")
    messages = messages if isinstance(messages, list) else []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            text += count_text(content)
        elif isinstance(content, list):
            for part in content:
                words, picture, film = _count_part(part, bool(body.get("vl_high_resolution_images")))
                text, image, video = text + words, image + picture, video + film
        if isinstance(message, dict) and message.get("tool_calls"):
            text += count_text(json.dumps(message["tool_calls"]))
    if body.get("tools"):
        text += count_text(json.dumps(body["tools"]))
    frame = 5 * len(messages) + 3 + (2 if thinking else 4)
    return Counts(prompt=text + image + video + frame, image=image, video=video)


def _count_part(part: Any, high_resolution: bool) -> tuple[int, int, int]:
    if not isinstance(part, dict):
        return 0, 0, 0
    kind = part.get("type")
    if kind in ("image_url", "input_image"):
        picture = look(url_of(part))
        if picture is None:
            return 0, 0, 0
        least = part.get("min_pixels") or MIN_PIXELS
        most = HARD_MAX_PIXELS if high_resolution else part.get("max_pixels") or MAX_PIXELS
        return 0, image_tokens(picture.width, picture.height, least, min(most, HARD_MAX_PIXELS)), 0
    if kind in ("video", "video_url", "input_video"):
        frames = len(part["video"]) if isinstance(part.get("video"), list) else FRAMES
        return 0, 0, (frames + 1) // 2 * (image_tokens(UNSEEN, UNSEEN) - 2) + 2
    return (count_text(part["text"]), 0, 0) if isinstance(part.get("text"), str) else (0, 0, 0)


def url_of(part: dict[str, Any]) -> str:
    """The address or data URI in an image or video part, however deep it lies."""
    for name in ("image_url", "video_url", "input_image", "input_video", "url", "data"):
        value = part.get(name)
        if isinstance(value, dict):
            value = value.get("url") or value.get("data")
        if isinstance(value, str):
            return value
    return ""
