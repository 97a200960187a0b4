"""The picture that a clip starts from, as a server gets it."""

from __future__ import annotations

from pathlib import Path

from callsheet.engines.frames import fitted, read_picture, write_still
from callsheet.recipes import ClipRecipe
from callsheet.store.base import Room


def first_frame(recipe: ClipRecipe, room: Room) -> Path | None:
    """A PNG of our own making in the clip's size, so that its name is true and it is no larger than it needs to be.

    None where the recipe has none. Raises MediaUnreadable.
    """
    if recipe.first_frame is None:
        return None
    path = room.path("first_frame.png")
    write_still(fitted(read_picture(room.fetch(recipe.first_frame)), recipe.width, recipe.height), path)
    return path
