"""Prompts become a video, a scene each.

    callsheet job manifests/examples/jobs/frames.json
"""

from __future__ import annotations

from prefect import flow

from callsheet.film import Film
from callsheet.jobs.frames import Frames, FramesJob, Maker, frames_order
from callsheet.jobs.reply import Reply
from callsheet.recipes import SegmentRecipe
from flows.shoot import footage, prepared
from tasks.conform import conform
from tasks.fallback import drawn_for_want, fallbacks, insist_on_engine, insist_on_generated
from tasks.mix import mix
from tasks.reply import answering, random_seed
from tasks.run import current
from tasks.splice import splice
from tasks.upload import upload


@flow(name="frames", flow_run_name="{request.title}")
def frames(request: Frames) -> Reply:
    """Make `videos/{job_id}/final.mp4` and its thumbnail.

    Args:
        request: The prompts, quality, transition, seconds a scene, and whether pictures are generated or drawn.
    """
    with answering(request) as job:
        request = request.settled(random_seed)
        film = clips(request)
        conform.each(film.conform)
        splice.one(film.splice)
        mix.one(film.mix)
        insist_on_generated(film)
        made = FramesJob(request, film, makers(film))
        return job.reply(made, upload.one(film.upload), [*map(str, fallbacks(film)), *drawn_for_want(film)])


def clips(request: Frames) -> Film:
    """The raw clips of a settled request, made. Raises NoImageModels where nothing that generates is able here."""
    film = prepared(frames_order(request))
    if request.use_ai_generation:
        insist_on_engine(film)
    return footage(film)                # segments


def makers(film: Film) -> list[Maker]:
    """Who made each scene's clips, by their records."""
    segments = map(_maker, film.segments)
    scenes = [dict.fromkeys(next(segments) for _ in when.segments) for when in film.timeline.scenes]
    return [
        Maker(*(" and ".join(dict.fromkeys(filter(None, names))) for names in zip(*made, strict=True)))
        for made in scenes
    ]


def _maker(recipe: SegmentRecipe) -> tuple[str, str]:
    record = current().records.find(recipe.stage, recipe.fingerprint)
    assert record is not None, f"{recipe.label} is made"
    return record.made_by or recipe.engine.name, str(record.facts.get("model", recipe.engine.model))
