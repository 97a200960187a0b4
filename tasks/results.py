"""A production's own result object, and the manifest's poster URLs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from callsheet import keys
from callsheet.contact_sheet import page
from callsheet.manifest import write_back as update
from callsheet.manifest import write_results
from callsheet.production import Production
from callsheet.store.base import private_folder
from tasks.run import current


def delivered(production: Production, write_back: str = "") -> Production:
    """Write production.json beside the video and, when asked, poster_frame_url into a manifest."""
    with private_folder() as folder:
        file = folder / "production.json"
        file.write_text(production.model_dump_json(indent=1))
        current().delivery.put(keys.production(production.job_id), file, "application/json")
    if write_back:
        update(Path(write_back), production.posters)
    return production


def contact_sheet(name: str, productions: Sequence[Production], only: Sequence[str] = ()) -> str:
    """Deliver the page with all productions of a batch; its URL. With `only` it is a page of its own."""
    delivery, key = current().delivery, keys.contact_sheet(name, part=bool(only))
    base = delivery.url_of(key).removesuffix(key)
    with private_folder() as folder:
        file = folder / "sheet.html"
        file.write_text(encoding="utf-8", data=page(name, productions, datetime.now(UTC), base, _captions(productions)))
        return delivery.put(key, file, "text/html")


def joined(manifest: Path, productions: Sequence[Production], write_back: bool, only: Sequence[str] = ()) -> Path:
    """Write the results manifest beside the input and, when asked, the posters into the input itself."""
    target = write_results(manifest, productions, only)
    if write_back:
        posters = {p.actor_id: p.posters[p.actor_id] for p in productions if p.actor_id in p.posters}
        update(manifest, posters)
    return target


def _captions(productions: Sequence[Production]) -> dict[str, str]:
    """WebVTT texts by URL, of films that were delivered into a folder."""
    urls = [url for p in productions for url in p.captions if url.startswith("file://") and url.endswith(".vtt")]
    paths = {url: Path(unquote(urlparse(url).path)) for url in urls}
    return {url: path.read_text() for url, path in paths.items() if path.is_file()}
