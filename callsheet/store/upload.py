"""Deliver a production: its files under keys that people and other systems read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from callsheet import keys
from callsheet.recipe import Ref
from callsheet.recipes import UploadRecipe
from callsheet.store.base import Outcome, Room, media_type_of, sha256_of
from callsheet.store.delivery import Delivery


def upload(recipe: UploadRecipe, room: Room, delivery: Delivery, made_at: Callable[[Ref], datetime]) -> Outcome:
    """Put every file that is not there yet. Facts: delivered {key: sha256}, keys {planned key: key}.

    Raises UploadFailed; what was put before stays and is not put again.
    """
    delivered: dict[str, str] = {}
    stamped: dict[str, str] = {}
    for n, file in enumerate(recipe.files):
        room.progress(n / len(recipe.files), file.key)
        path = room.fetch(file.source)
        key = keys.stamped(file.key, made_at(file.source))
        sha256 = sha256_of(path)
        if not delivery.holds(key, sha256):
            delivery.put(key, path, media_type_of(key))
        delivered[key] = sha256
        stamped[file.key] = key
    return Outcome(facts={"delivered": delivered, "keys": stamped}, made_by=delivery.url.partition(":")[0])
