"""An order as recipes: the whole plan of a film, known before anything runs.

Pure: what engines were chosen, how long the lines are spoken and what the files' digests are comes in as
values. The length of a scene can follow its speech, so a film is planned exactly once its lines are made, and
with estimates before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callsheet import keys
from callsheet.cues import cues_for, shifted
from callsheet.film import Film, order_fingerprint
from callsheet.models import CaptionMode, Cue, Line, Order, Scene, SourceFile
from callsheet.persona import digest_of, first_picture, lora_use, nearest_take, poster, seed_for, take, train_complete
from callsheet.presets import DELIVER, ENCODE, GENERATE, generation_size
from callsheet.prompts import negative_prompt, segment_prompt
from callsheet.recipe import Recipe, Ref
from callsheet.recipes import (
    Choices,
    ClipRecipe,
    ConformRecipe,
    DeliveredFile,
    EncodeSettings,
    IntakeRecipe,
    LipsyncRecipe,
    MixRecipe,
    PlacedEffect,
    PlacedVoice,
    PosterRecipe,
    SegmentRecipe,
    SpeechRecipe,
    SpliceRecipe,
    TakeRecipe,
    UploadRecipe,
)
from callsheet.timeline import SceneTime, SegmentTime, Timeline, timeline

ESTIMATED_WORDS_PER_SECOND = 2.6


def lines(order: Order, choices: Choices) -> tuple[tuple[SpeechRecipe, ...], ...]:
    """The recipes of each scene's lines. They depend on nothing that is made."""
    return tuple(tuple(_speech(order, scene, line, choices) for line in scene.lines) for scene in order.scenes)


def film(order: Order, choices: Choices, spoken: Mapping[str, float]) -> Film:
    """Plan an admitted order. `spoken` has the seconds of each line that is made, by recipe fingerprint.

    While some are not made, scenes grow with the estimates: only what is known to be too long is refused.
    Raises SceneTooShort.
    """
    said = lines(order, choices)
    seconds = [[spoken.get(line.fingerprint, _estimated(line)) for line in scene] for scene in said]
    exact = all(line.fingerprint in spoken for scene in said for line in scene)
    laid = order if exact else order.model_copy(update={"fit": "grow"})
    return _Planner(order, choices, said, timeline(laid, seconds)).film(exact)


def sources(order: Order) -> tuple[IntakeRecipe, ...]:
    """The sound files of an order, once each."""
    sound = order.sound
    files = [sound.music, sound.ambience, *(effect.file for effect in sound.effects)]
    named = {digest_of(file): file.path for file in files if file is not None}
    return tuple(
        IntakeRecipe(label=path.rpartition("/")[2], path=path, sha256=sha256, kind="audio")
        for sha256, path in named.items()
    )


def _speech(order: Order, scene: Scene, line: Line, choices: Choices) -> SpeechRecipe:
    voice = order.actor(line.speaker).voice
    return SpeechRecipe(
        label=f"{order.actor(line.speaker).display_name}: {line.text[:40]}",
        engine=choices.speech,
        voice=choices.voices[line.speaker],
        words_per_minute=voice.words_per_minute,
        pitch=voice.pitch,
        language=scene.language,
        text=line.text,
    )


def _estimated(line: SpeechRecipe) -> float:
    return max(0.6, len(line.text.split()) / ESTIMATED_WORDS_PER_SECOND)


@dataclass(frozen=True)
class _Planner:
    """Carries what all recipes of one film share."""

    order: Order
    choices: Choices
    said: tuple[tuple[SpeechRecipe, ...], ...]
    time: Timeline

    def film(self, exact: bool) -> Film:
        order, choices = self.order, self.choices
        job_id = order.job_id or order_fingerprint(order)
        takes = {
            (actor.id, n): take(order, actor, n, spec, choices)
            for actor in order.cast
            for n, spec in enumerate(order.takes)
        }
        raw, synced, conformed = self._clips(takes)
        splice = self._splice(conformed)
        mix = self._mix(splice)
        posters = tuple(poster(order, actor, choices) for actor in order.cast) if order.poster else ()
        return Film(
            order=order,
            job_id=job_id,
            timeline=self.time,
            exact=exact,
            loras=tuple(train_complete(actor) for actor in order.cast),
            sources=sources(order),
            speech=tuple(dict.fromkeys(line for scene in self.said for line in scene)),
            posters=posters,
            takes=tuple(takes.values()),
            segments=tuple(raw),
            lipsync=tuple(synced),
            conform=tuple(conformed),
            splice=splice,
            mix=mix,
            upload=self._upload(job_id, posters, takes, mix),
        )

    def _clips(
        self, takes: Mapping[tuple[str, int], TakeRecipe]
    ) -> tuple[list[SegmentRecipe], list[LipsyncRecipe], list[ConformRecipe]]:
        raw: list[SegmentRecipe] = []
        synced: list[LipsyncRecipe] = []
        conformed: list[ConformRecipe] = []
        for scene, when in zip(self.order.scenes, self.time.scenes, strict=True):
            previous: ClipRecipe | None = None
            for part in when.segments:
                segment = self._segment(scene, when, part, takes, previous)
                raw.append(segment)
                lipsync = self._lipsync(segment, when, part)
                synced += [lipsync] if lipsync else []
                conformed.append(self._conform(lipsync or segment, part))
                previous = segment
        return raw, synced, conformed

    def _segment(
        self,
        scene: Scene,
        when: SceneTime,
        part: SegmentTime,
        takes: Mapping[tuple[str, int], TakeRecipe],
        previous: ClipRecipe | None,
    ) -> SegmentRecipe:
        order = self.order
        actors = tuple(order.actor(who) for who in scene.cast) or order.cast
        profile = GENERATE[order.quality]
        width, height = generation_size(
            order.generate.px or profile.px, order.delivered.width, order.delivered.height
        )
        start = previous or takes.get((actors[0].id, nearest_take(scene, order.takes) if order.takes else 0))
        return SegmentRecipe(
            label=f"scene {when.index + 1}, segment {part.index + 1}",
            engine=self.choices.clips,
            scene=scene.prompt,
            prompt=segment_prompt(scene, actors),
            negative=negative_prompt(actors),
            width=width,
            height=height,
            num_frames=part.raw_frames,
            steps=order.generate.steps or profile.steps,
            cfg=profile.cfg if order.generate.cfg is None else order.generate.cfg,
            loras=tuple(lora_use(actor) for actor in actors),
            first_frame=start.ref("last_frame") if start else first_picture(order, actors[0], self.choices),
            start_frame=part.raw_start,
            emotion=scene.emotion,
            angle=scene.angle,
            intensity=scene.intensity,
            seed=seed_for(order.seed, "scene", when.index),
        )

    def _lipsync(self, segment: SegmentRecipe, when: SceneTime, part: SegmentTime) -> LipsyncRecipe | None:
        begins = self.time.seconds_at(part.film_frame - when.start)
        ends = begins + self.time.seconds_at(part.frames)
        scene = self.order.scenes[when.index]
        voices = tuple(
            PlacedVoice(audio=recipe.ref(), speaker=line.speaker, start=round(spoken.start - begins, 3))
            for recipe, line, spoken in zip(self.said[when.index], scene.lines, when.lines, strict=True)
            if spoken.start < ends and spoken.end > begins
        )
        if not voices:
            return None
        return LipsyncRecipe(
            label=segment.label,
            engine=self.choices.lipsync,
            clip=segment.ref(),
            mouths=segment.ref("mouths") if self.choices.clips_have_mouths else None,
            voices=voices,
            quality=self.order.quality,
        )

    def _conform(self, clip: Recipe, part: SegmentTime) -> ConformRecipe:
        order = self.order
        burned = order.captions.mode is CaptionMode.BURNED
        start, end = (self.time.seconds_at(n) for n in (part.film_frame, part.film_frame + part.frames))
        cues = shifted(self.cues(), start, end) if burned else ()
        return ConformRecipe(
            label=clip.label,
            clip=clip.ref(),
            width=order.delivered.width,
            height=order.delivered.height,
            fps=order.delivered.fps,
            frames=part.frames,
            head=part.head,
            tail=part.tail,
            encode=self._encode(),
            cues=cues,
            style=order.captions.style if cues else None,
        )

    def _encode(self) -> EncodeSettings:
        profile, tier = ENCODE[self.order.quality], DELIVER[self.order.quality]
        own = self.order.delivered
        is_tier = own.fps == tier.fps and {own.width, own.height} == {tier.width, tier.height}
        return EncodeSettings(crf=profile.crf, preset=profile.preset, max_kbit=tier.kbit if is_tier else None)

    def _splice(self, clips: list[ConformRecipe]) -> SpliceRecipe:
        return SpliceRecipe(
            label=self.order.title,
            clips=tuple(clip.ref() for clip in clips),
            clip_frames=tuple(clip.frames for clip in clips),
            joins=self.time.joins,
            fps=self.time.fps,
            encode=self._encode(),
        )

    def _mix(self, splice: SpliceRecipe) -> MixRecipe:
        sound = self.order.sound

        def source(file: SourceFile | None) -> Ref | None:
            return IntakeRecipe(sha256=digest_of(file), kind="audio").ref() if file else None

        def source_of(file: SourceFile) -> Ref:
            return IntakeRecipe(sha256=digest_of(file), kind="audio").ref()

        off = self.order.captions.mode is CaptionMode.OFF
        return MixRecipe(
            label=self.order.title,
            reel=splice.ref(),
            seconds=round(self.time.seconds, 6),
            voices=tuple(self._voices()),
            music=source(sound.music),
            ambience=source(sound.ambience),
            ambience_volume=sound.ambience_volume,
            effects=tuple(
                PlacedEffect(audio=source_of(effect.file), start=effect.start, volume=effect.volume)
                for effect in sound.effects
            ),
            ducking=sound.ducking,
            loudness_lufs=sound.loudness_lufs,
            true_peak_dbtp=sound.true_peak_dbtp,
            cues=() if off else self.cues(),
            captions=self.order.captions.mode,
            language=self.order.scenes[0].language,
        )

    def _voices(self) -> Iterator[PlacedVoice]:
        for scene, recipes, when in zip(self.order.scenes, self.said, self.time.scenes, strict=True):
            for line, recipe, spoken in zip(scene.lines, recipes, when.lines, strict=True):
                start = round(self.time.seconds_at(when.start) + spoken.start, 3)
                yield PlacedVoice(audio=recipe.ref(), speaker=line.speaker, start=start)

    def cues(self) -> tuple[Cue, ...]:
        """Every line as captions, in seconds of the film."""
        cues: list[Cue] = []
        for scene, when in zip(self.order.scenes, self.time.scenes, strict=True):
            offset = self.time.seconds_at(when.start)
            for line, spoken in zip(scene.lines, when.lines, strict=True):
                cues += cues_for(line.text, offset + spoken.start, offset + spoken.end)
        return tuple(cues)

    def _upload(
        self,
        job_id: str,
        posters: tuple[PosterRecipe, ...],
        takes: Mapping[tuple[str, int], TakeRecipe],
        mix: MixRecipe,
    ) -> UploadRecipe:
        files = [
            DeliveredFile(source=mix.ref(), key=keys.video(job_id)),
            DeliveredFile(source=mix.ref("thumbnail"), key=keys.thumbnail(job_id)),
        ]
        if mix.cues:
            files += [DeliveredFile(source=mix.ref(kind), key=keys.captions(job_id, kind)) for kind in ("srt", "vtt")]
        files += [
            DeliveredFile(source=recipe.ref(), key=keys.poster(actor.id, actor.user_id, recipe.fingerprint))
            for actor, recipe in zip(self.order.cast, posters, strict=bool(posters))
        ]
        lead = self.order.cast[0].id                  # a guest's takes are delivered with the guest's own film
        files += [
            DeliveredFile(source=recipe.ref(), key=keys.take(who, n))
            for (who, n), recipe in takes.items()
            if who == lead
        ]
        return UploadRecipe(label=self.order.title, destination=self.choices.destination, files=tuple(files))

