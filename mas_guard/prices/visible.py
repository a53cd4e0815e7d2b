"""What of a request a guard can read, and what is held for the rest: media, and tokens that are given as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PER_MESSAGE = 16  # tokens; role, name and delimiters around a message
PER_MEDIA = 4_096  # tokens held for an image, audio or file part: above published figures for high detail

_MEDIA = {
    "image_url", "image", "input_image", "audio", "input_audio", "file", "input_file", "video_url", "input_video",
    "computer_screenshot",
}  # fmt: skip


def visible(value: Any) -> tuple[Any, int, int]:
    """*value* without its media and its token numbers, and how many of each there are."""
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            return None, 1, 0
        items = [(key, visible(part)) for key, part in value.items()]
        return (
            {key: part[0] for key, part in items},
            sum(part[1] for _, part in items),
            sum(part[2] for _, part in items),
        )
    if isinstance(value, list | tuple):
        if value and all(isinstance(part, int) for part in value):
            return None, 0, len(value)
        parts = [visible(part) for part in value]
        return [part[0] for part in parts], sum(part[1] for part in parts), sum(part[2] for part in parts)
    return value, 0, 0
