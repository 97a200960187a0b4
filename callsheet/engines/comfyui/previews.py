"""Pictures of unfinished work that a server sends between its steps, where it is set to make them."""

from __future__ import annotations

import io

from PIL import Image

from callsheet.store.base import Room

_PREVIEW = (1).to_bytes(4, "big")
_HEAD = 8
"""Bytes before the picture: the kind of message, and the kind of picture."""
_MAX_PIXELS = 4096 * 4096


def show(message: bytes, room: Room, words: str) -> bool:
    """Show the picture of a binary message; False for any other message, which is let be."""
    image = picture(message)
    if image is None:
        return False
    path = room.path("preview.jpg")
    image.save(path, "JPEG", quality=85)
    room.show(path, words)
    return True


def picture(message: bytes) -> Image.Image | None:
    """RGB; None for what is no preview, or a broken one."""
    if message[:4] != _PREVIEW:
        return None
    try:
        with Image.open(io.BytesIO(message[_HEAD:]), formats=("JPEG", "PNG")) as image:
            return image.convert("RGB") if image.width * image.height <= _MAX_PIXELS else None
    except Exception:                                 # each of Pillow's formats breaks in its own ways
        return None
