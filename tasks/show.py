"""What a run shows in the Prefect UI: progress, the poster, the stages, the link to the video.

Without Prefect there is no page to show it on, and nothing is made.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from callsheet.film import Film
from callsheet.production import Production
from callsheet.recipe import Recipe, Ref
from callsheet.store.base import private_folder
from tasks.direct import is_direct
from tasks.run import Seen, current, watching

_PREVIEW_PIXELS = 360


@contextmanager
def progress(film: Film) -> Iterator[None]:
    """A progress artifact that follows the film's recipes while the block runs."""
    if is_direct():
        yield
        return
    # By what they are for: another recipe may stand in for one that was planned.
    every = {_part(recipe) for recipe in film.recipes()}
    done = {_part(recipe) for recipe in (*film.loras, *film.sources, *film.speech)}
    artifact = cast(UUID, create_progress_artifact(
        100 * len(done) / len(every), key="progress", description=f"{film.order.title}: files and speech are there"
    ))
    lock = threading.Lock()

    def watch(seen: Seen) -> None:
        with lock:
            if _part(seen.recipe) not in every - done:
                return
            done.add(_part(seen.recipe))
            share = 100 * len(done) / len(every)
            quiet = seen.cached and share < 100       # cached ones come in a burst; drawing each would cost more
        if not quiet:
            update_progress_artifact(artifact, share, f"{film.order.title}: {seen.recipe.stage} {seen.recipe.label}")

    with watching(watch):
        yield


def _part(recipe: Recipe) -> tuple[str, str]:
    return recipe.stage, recipe.label


def poster_picture(actor_id: str, ref: Ref) -> None:
    """The poster as an image artifact: a small copy inside the page, so that it shows with any store."""
    if is_direct():
        return
    from PIL import Image

    with private_folder() as folder, Image.open(current().records.open(ref, folder)) as picture:
        picture.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
        small = io.BytesIO()
        picture.convert("RGB").save(small, "JPEG", quality=80)
    address = "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
    create_image_artifact(address, key=f"poster-{page_key(actor_id)}", description=f"poster of {actor_id}")


def production_pages(production: Production) -> None:
    """The video's link and the table of stages."""
    if is_direct():
        return
    create_link_artifact(
        production.video,
        link_text=f"{production.title} ({production.duration:.2f} s, {production.format})",
        key=f"video-{page_key(production.actor_id)}",
        description="the finished film",
    )
    create_table_artifact(
        [
            {
                "stage": row.stage,
                "what": row.label,
                "": "cached" if row.cached else "made",
                "seconds": f"{row.seconds:.1f}" if row.seconds else "",
                "by": row.maker,
            }
            for row in production.stages
        ],
        key=f"stages-{page_key(production.actor_id)}",
        description=f"{production.title}: every stage, and whether it had to be made",
    )


def batch_pages(name: str, productions: Sequence[Production], sheet: str) -> None:
    """The batch at a glance, and the way to its contact sheet."""
    if is_direct():
        return
    create_table_artifact(
        [
            {
                "actor": p.actor_id,
                "status": p.status,
                "seconds": f"{p.seconds:.1f}",
                "cached": f"{sum(row.cached for row in p.stages)} of {len(p.stages)}" if p.stages else "",
                "video": p.video,
                "why": p.error,
            }
            for p in productions
        ],
        key=f"batch-{page_key(name)}",
        description=f"{name}: what was made, what failed, what waits",
    )
    create_link_artifact(sheet, link_text="contact sheet", key=f"contact-sheet-{page_key(name)}")


def page_key(text: str) -> str:
    """A text as it may stand in an artifact's key, and in a file's name."""
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower()).strip("-") or "x"
