"""An order as recipes: the whole plan of a film, known before anything runs.

Pure: what engines were chosen, how long the lines are spoken and what the files' digests are comes in as
values. The length of a scene can follow its speech, so a film is planned exactly once its lines are made, and
with estimates before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from callsheet import cutting, finishing
from callsheet.cues import cues_for
from callsheet.fallback import DRAWN, Picture, settled
from callsheet.film import Film, order_fingerprint
from callsheet.models import Actor, Cue, Line, Order, Scene, SpokenWord
from callsheet.persona import (
    clip_cfg,
    clip_loras,
    clip_steps,
    digest_of,
    first_picture,
    margin,
    nearest_take,
    seed_for,
    settled_poster,
    settled_take,
    trained,
)
from callsheet.presets import GENERATE, generation_size
from callsheet.prompts import negative_prompt, segment_prompt
from callsheet.recipe import Recipe, Ref
from callsheet.recipes import (
    AlignRecipe,
    Choices,
    ClipRecipe,
    ConformRecipe,
    IntakeRecipe,
    LipsyncRecipe,
    PlacedVoice,
    RestoreRecipe,
    SegmentRecipe,
    SpeechRecipe,
    TakeRecipe,
    UpscaleRecipe,
)
from callsheet.timeline import SceneTime, SegmentTime, Timeline, timeline

ESTIMATED_WORDS_PER_SECOND = 2.6


def lines(order: Order, choices: Choices) -> tuple[tuple[SpeechRecipe, ...], ...]:
    """The recipes of each scene's lines. They depend on nothing that is made."""
    return tuple(tuple(_speech(order, scene, line, choices) for line in scene.lines) for scene in order.scenes)


def film(
    order: Order,
    choices: Choices,
    spoken: Mapping[str, float],
    aligned: Mapping[str, Sequence[SpokenWord]] = MappingProxyType({}),
) -> Film:
    """Plan an admitted order. `spoken` has the seconds of each line that is made, `aligned` its words' times
    in seconds of the line, both by fingerprint of the line's speech recipe.

    While some are not made, scenes grow with the estimates: only what is known to be too long is refused.
    Raises SceneTooShort.
    """
    said = lines(order, choices)
    seconds = [[spoken.get(line.fingerprint, _estimated(line)) for line in scene] for scene in said]
    exact = all(line.fingerprint in spoken and line.fingerprint in aligned for scene in said for line in scene)
    laid = order if exact else order.model_copy(update={"fit": "grow"})
    return _Planner(order, choices, said, timeline(laid, seconds), aligned).film(exact)


def sources(order: Order) -> tuple[IntakeRecipe, ...]:
    """The sound files of an order, once each."""
    sound = order.sound
    files = [sound.music, sound.ambience, *(effect.file for effect in sound.effects)]
    named = {digest_of(file): file.path for file in files if file is not None}
    return tuple(
        IntakeRecipe(label=path.rpartition("/")[2], path=path, sha256=sha256, kind="audio")
        for sha256, path in named.items()
    )


def alignment(line: SpeechRecipe) -> AlignRecipe:
    """When the words of a line are heard: for its captions, and for mouths."""
    return AlignRecipe(label=line.label, audio=line.ref(), text=line.text, language=line.language)


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
    aligned: Mapping[str, Sequence[SpokenWord]]

    def film(self, exact: bool) -> Film:
        order, choices = self.order, self.choices
        job_id = order.job_id or order_fingerprint(order)
        painted = [settled_poster(order, actor, choices) for actor in order.cast] if order.poster else []
        posters = tuple(planned for _, planned in painted)
        shot = {
            (actor.id, n): settled_take(order, actor, n, spec, choices)
            for actor in order.cast
            for n, spec in enumerate(order.takes)
        }
        takes = {who: planned for who, (_, planned) in shot.items()}
        cues = self._cues()
        filmed, synced, restored, enlarged, conformed = self._clips(takes, cues)
        pairs: list[tuple[Picture, Picture]] = [*painted, *shot.values(), *filmed]
        splice = cutting.splice(order, self.time, conformed)
        voices = tuple(self._voices())
        mix = finishing.mix(order, self.time, splice, voices, cues)
        return Film(
            order=order,
            job_id=job_id,
            timeline=self.time,
            exact=exact,
            loras=trained(order, choices),
            sources=sources(order),
            speech=tuple(dict.fromkeys(line for scene in self.said for line in scene)),
            align=tuple(dict.fromkeys(alignment(line) for scene in self.said for line in scene)),
            posters=posters,
            takes=tuple(takes.values()),
            segments=tuple(planned for _, planned in filmed),
            lipsync=tuple(synced),
            restore=tuple(restored),
            upscale=tuple(enlarged),
            conform=tuple(conformed),
            splice=splice,
            mix=mix,
            check=finishing.check(order, self.time, mix, voices, cues, posters),
            upload=finishing.upload(order, job_id, choices.destination, posters, takes, mix),
            choices=choices,
            asked={planned.fingerprint: asked for asked, planned in pairs if planned is not asked},
        )

    def _clips(
        self, takes: Mapping[tuple[str, int], TakeRecipe], cues: tuple[Cue, ...]
    ) -> tuple[
        list[tuple[SegmentRecipe, SegmentRecipe]], list[LipsyncRecipe], list[RestoreRecipe], list[UpscaleRecipe],
        list[ConformRecipe],
    ]:
        filmed: list[tuple[SegmentRecipe, SegmentRecipe]] = []
        synced: list[LipsyncRecipe] = []
        restored: list[RestoreRecipe] = []
        enlarged: list[UpscaleRecipe] = []
        conformed: list[ConformRecipe] = []
        for scene, when in zip(self.order.scenes, self.time.scenes, strict=True):
            previous: ClipRecipe | None = None
            for part in when.segments:
                filmed.append(self._settled(scene, when, part, takes, previous))
                segment = filmed[-1][1]
                lipsync = self._lipsync(segment, when, part)
                synced += [lipsync] if lipsync else []
                restore = self._restore(lipsync or segment, segment)
                restored += [restore] if restore else []
                upscale = self._upscale(restore or lipsync or segment, segment)
                enlarged += [upscale] if upscale else []
                finished = upscale or restore or lipsync or segment
                conformed.append(cutting.conform(self.order, self.time, finished, part, cues))
                previous = segment
        return filmed, synced, restored, enlarged, conformed

    def _settled(
        self,
        scene: Scene,
        when: SceneTime,
        part: SegmentTime,
        takes: Mapping[tuple[str, int], TakeRecipe],
        previous: ClipRecipe | None,
    ) -> tuple[SegmentRecipe, SegmentRecipe]:
        """The segment that is asked, and the one that is planned."""

        def make(order: Order, choices: Choices) -> SegmentRecipe:
            return replace(self, order=order, choices=choices)._segment(scene, when, part, takes, previous)

        return settled(make, self.order, self.choices)

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
        first_frame = previous.ref("last_frame") if previous else self._first_picture(scene, actors, takes)
        return SegmentRecipe(
            label=f"scene {when.index + 1}, segment {part.index + 1}",
            engine=self.choices.clips,
            scene=scene.prompt,
            prompt=segment_prompt(scene, actors) if actors else scene.prompt,    # nobody has a face or a side
            negative=negative_prompt(actors),
            width=width,
            height=height,
            num_frames=part.raw_frames,
            steps=clip_steps(order, self.choices),
            cfg=clip_cfg(order, self.choices),
            loras=clip_loras(actors, self.choices),
            first_frame=first_frame,
            start_frame=part.raw_start,
            emotion=scene.emotion,
            angle=scene.angle,
            intensity=scene.intensity,
            margin=margin(order, self.choices),
            seed=seed_for(order.seed, "scene", when.index, *((scene.retake,) if scene.retake else ())),
        )

    def _first_picture(
        self, scene: Scene, actors: Sequence[Actor], takes: Mapping[tuple[str, int], TakeRecipe]
    ) -> Ref | None:
        """What a scene starts from: the nearest take of its first actor, else the poster; None: from its words."""
        if not actors:
            return None
        take = takes.get((actors[0].id, nearest_take(scene, self.order.takes) if self.order.takes else 0))
        return take.ref("last_frame") if take else first_picture(self.order, actors[0], self.choices)

    def _lipsync(self, segment: SegmentRecipe, when: SceneTime, part: SegmentTime) -> LipsyncRecipe | None:
        begins = self.time.seconds_at(part.film_frame - when.start)
        ends = begins + self.time.seconds_at(part.frames)
        scene = self.order.scenes[when.index]
        voices = tuple(
            PlacedVoice(
                audio=recipe.ref(), speaker=line.speaker, start=round(spoken.start - begins, 3),
                alignment=alignment(recipe).ref(),
            )
            for recipe, line, spoken in zip(self.said[when.index], scene.lines, when.lines, strict=True)
            if spoken.start < ends and spoken.end > begins
        )
        if not voices:
            return None
        return LipsyncRecipe(
            label=segment.label,
            engine=(self._drawn_instead(segment) and self.choices.drawn_lipsync) or self.choices.lipsync,
            clip=segment.ref(),
            mouths=segment.ref("mouths") if self._has_mouths(segment) else None,
            voices=voices,
            quality=self.order.quality,
        )

    def _drawn_instead(self, segment: SegmentRecipe) -> bool:
        return segment.engine.name == DRAWN != self.choices.clips.name

    def _has_mouths(self, segment: SegmentRecipe) -> bool:
        return self.choices.clips_have_mouths or self._drawn_instead(segment)

    def _restore(self, clip: Recipe, segment: SegmentRecipe) -> RestoreRecipe | None:
        if self.choices.restore is None or self._drawn_instead(segment):
            return None
        return RestoreRecipe(label=clip.label, engine=self.choices.restore, clip=clip.ref())

    def _upscale(self, clip: Recipe, segment: SegmentRecipe) -> UpscaleRecipe | None:
        """Where the delivery is larger than what was generated, and an engine for it was asked."""
        wanted = max(
            Fraction(self.order.delivered.width, segment.width), Fraction(self.order.delivered.height, segment.height)
        )
        if self.choices.upscale is None or wanted <= 1:
            return None
        factor = min(4, max(2, math.ceil(wanted)))
        return UpscaleRecipe(label=clip.label, engine=self.choices.upscale, clip=clip.ref(), factor=factor)

    def _voices(self) -> Iterator[PlacedVoice]:
        for scene, recipes, when in zip(self.order.scenes, self.said, self.time.scenes, strict=True):
            for line, recipe, spoken in zip(scene.lines, recipes, when.lines, strict=True):
                start = round(self.time.seconds_at(when.start) + spoken.start, 3)
                yield PlacedVoice(audio=recipe.ref(), speaker=line.speaker, start=start)

    def _cues(self) -> tuple[Cue, ...]:
        """Every line as captions, in seconds of the film."""
        cues: list[Cue] = []
        for scene, when in zip(self.order.scenes, self.time.scenes, strict=True):
            offset = self.time.seconds_at(when.start)
            for line, recipe, spoken in zip(scene.lines, self.said[when.index], when.lines, strict=True):
                words = self.aligned.get(recipe.fingerprint, ())
                cues += cues_for(line.text, offset + spoken.start, offset + spoken.end, words)
        return tuple(cues)
