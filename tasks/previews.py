"""Unfinished work for people: the newest frame of each clip that is being made.

It lies as <home>/previews/<title>/<stage>-<label>.jpg, replaced at once each time, and stands as an image on the
run's page in the Prefect UI. Both go when the work ends, whichever way it ends. A preview is for looking only: one that
cannot be shown is told once in the log, and the work goes on.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_image_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import ObjectNotFound, PrefectException

from callsheet.recipe import Recipe
from callsheet.store.base import Show
from tasks.direct import is_direct, logger
from tasks.run import current
from tasks.show import page_key

EVERY_S = 2.0
"""A newer picture is shown at most so often, and none of what is over sooner."""

PIXELS = 480
"""Longer side of what is shown."""

_UNSHOWN = (OSError, ValueError, httpx.HTTPError, PrefectException)


@contextmanager
def previewing(recipe: Recipe) -> Iterator[Show]:
    """How the work on a recipe shows what it has so far, while the block runs."""
    preview = _Preview(recipe)
    try:
        yield preview.show
    finally:
        preview.end()


class _Preview:
    """One recipe's picture. Nothing is there before the first `show`."""

    def __init__(self, recipe: Recipe) -> None:
        run = current()
        self._what = f"{recipe.stage} {recipe.label}"
        self._key = f"preview-{page_key(self._what)}"
        self._file = run.settings.home / "previews" / page_key(run.title) / f"{page_key(self._what)}.jpg"
        self._page: UUID | None = None
        self._next: float | None = None
        self._broken = False

    def show(self, picture: Path, what: str) -> None:
        now = time.monotonic()
        if self._next is None:                        # from here on it is at work, and waits for nobody else
            self._next = now + EVERY_S
        if not self._broken and now >= self._next:
            self._next = now + EVERY_S
            self._try(lambda: self._show(_small(picture), what))

    def end(self) -> None:
        self._broken = False                          # what was shown goes, even if the rest could not be
        self._try(self._remove_file)
        self._try(self._remove_page)

    def _show(self, jpeg: bytes, what: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_suffix(".new")
        beside.write_bytes(jpeg)
        beside.replace(self._file)
        if is_direct():
            return
        address = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        words = f"{self._what}: {what}"
        if self._page is None:
            self._page = cast(UUID, create_image_artifact(address, key=self._key, description=words))
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._page, ArtifactUpdate(data=address, description=words))

    def _remove_file(self) -> None:
        self._file.unlink(missing_ok=True)
        folder = self._file.parent
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _remove_page(self) -> None:
        if self._page is not None:
            with get_client(sync_client=True) as client:
                client.delete_artifact(self._page)
            self._page = None

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (FileNotFoundError, ObjectNotFound):   # another clip's end took the folder, or a person the page
            return
        except _UNSHOWN as error:
            self._broken = True
            logger().warning("no preview of %s: %s", self._what, error)


def _small(picture: Path) -> bytes:
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((PIXELS, PIXELS))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()
