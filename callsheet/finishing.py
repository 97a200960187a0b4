"""The end of a film as recipes: mix, check and upload, once its reel, voices and captions are planned. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from callsheet import keys
from callsheet.cues import wordless
from callsheet.models import CaptionMode, CaptionStyle, Cue, Order, SourceFile
from callsheet.persona import digest_of
from callsheet.recipe import Ref
from callsheet.recipes import (
    CheckRecipe,
    DeliveredFile,
    IntakeRecipe,
    MixRecipe,
    PlacedEffect,
    PlacedVoice,
    PosterRecipe,
    Sitter,
    SpliceRecipe,
    TakeRecipe,
    UploadRecipe,
)
from callsheet.timeline import Timeline


def mix(
    order: Order, time: Timeline, splice: SpliceRecipe, voices: tuple[PlacedVoice, ...], cues: tuple[Cue, ...]
) -> MixRecipe:
    """Reel and sound. `voices` and `cues` are in seconds of the film."""
    sound, off = order.sound, order.captions.mode is CaptionMode.OFF
    return MixRecipe(
        label=order.title,
        reel=splice.ref(),
        seconds=round(time.seconds, 6),
        voices=voices,
        music=_source(sound.music) if sound.music else None,
        ambience=_source(sound.ambience) if sound.ambience else None,
        ambience_volume=sound.ambience_volume,
        effects=tuple(
            PlacedEffect(audio=_source(effect.file), start=effect.start, volume=effect.volume)
            for effect in sound.effects
        ),
        ducking=sound.ducking,
        loudness_lufs=sound.loudness.lufs,
        true_peak_dbtp=sound.loudness.true_peak_dbtp,
        cues=() if off else wordless(cues),
        captions=order.captions.mode,
        language=order.scenes[0].language,
        stems=sound.stems,
    )


def check(
    order: Order, time: Timeline, film: MixRecipe, voices: tuple[PlacedVoice, ...], cues: tuple[Cue, ...],
    posters: tuple[PosterRecipe, ...],
) -> CheckRecipe:
    """What the finished film has to be. `posters` are those of the cast, in its order, or none."""
    burned = order.captions.mode is CaptionMode.BURNED and bool(cues)
    sitters = tuple(_sitters(order, time, posters)) if order.check.identity is not None else ()
    return CheckRecipe(
        label=order.title,
        film=film.ref(),
        frames=time.frames,
        fps=time.fps,
        width=order.delivered.width,
        height=order.delivered.height,
        scenes=tuple(scene.start for scene in time.scenes),
        windows=tuple(_windows(time)),
        still=tuple(
            (when.start, when.start + when.frames)
            for scene, when in zip(order.scenes, time.scenes, strict=True)
            if scene.still
        ),
        voices=voices,
        heard=bool(voices) or _is_heard(film),
        loudness_lufs=film.loudness_lufs,
        true_peak_dbtp=film.true_peak_dbtp,
        cues=film.cues if burned else (),
        style=drawn(order.captions.style) if burned else None,
        sitters=sitters,
        identity=order.check.identity if sitters else None,
    )


def _sitters(order: Order, time: Timeline, posters: tuple[PosterRecipe, ...]) -> Iterator[Sitter]:
    """Each actor of each scene, while no transition shows another scene too."""
    known = {actor.id: poster for actor, poster in zip(order.cast, posters, strict=bool(posters))}
    windows = list(_windows(time))
    for scene, when in zip(order.scenes, time.scenes, strict=True):
        first, end = when.start, when.start + when.frames
        first = max([first, *(over for _, over in windows if first < over < end)])
        end = min([end, *(begin for begin, _ in windows if first < begin < end)])
        for actor in (order.actor(who) for who in scene.cast or tuple(known)):
            if actor.id in known and first < end:
                yield Sitter(
                    scene=when.index, actor=actor.display_name, poster=known[actor.id].ref(), first=first, end=end)


def _is_heard(film: MixRecipe) -> bool:
    """Whether anything beside voices has a volume."""
    return bool(
        (film.music and film.ducking.base_volume > 0)
        or (film.ambience and film.ambience_volume > 0)
        or any(effect.volume > 0 for effect in film.effects)
    )


def drawn(style: CaptionStyle) -> CaptionStyle:
    """What of a style is in the picture: without karaoke nothing is highlighted."""
    return style if style.karaoke else style.model_copy(update={"highlight_color": CaptionStyle().highlight_color})


def upload(
    order: Order,
    job_id: str,
    destination: str,
    posters: tuple[PosterRecipe, ...],
    takes: Mapping[tuple[str, int], TakeRecipe],
    film: MixRecipe,
) -> UploadRecipe:
    """Every file of the film under its key."""
    files = [
        DeliveredFile(source=film.ref(), key=keys.video(job_id)),
        DeliveredFile(source=film.ref("thumbnail"), key=keys.thumbnail(job_id)),
    ]
    if film.cues:
        files += [DeliveredFile(source=film.ref(kind), key=keys.captions(job_id, kind)) for kind in ("srt", "vtt")]
    if film.stems:
        files += [DeliveredFile(source=film.ref(stem), key=keys.stem(job_id, stem)) for stem in keys.STEMS]
    files += [
        DeliveredFile(source=recipe.ref(), key=keys.poster(actor.id, actor.user_id, recipe.fingerprint))
        for actor, recipe in zip(order.cast, posters, strict=bool(posters))
    ]
    leads = {actor.id for actor in order.cast[:1]}    # a guest's takes are delivered with the guest's own film
    files += [
        DeliveredFile(source=recipe.ref(), key=keys.take(who, n))
        for (who, n), recipe in takes.items()
        if who in leads
    ]
    return UploadRecipe(label=order.title, destination=destination, files=tuple(files))


def _source(file: SourceFile) -> Ref:
    return IntakeRecipe(sha256=digest_of(file), kind="audio").ref()


def _windows(time: Timeline) -> Iterator[tuple[int, int]]:
    """Frames of the film that belong to a transition: first, and end (excluded)."""
    for part in time.segments:
        if part.head:
            yield part.film_frame, part.film_frame + part.head
