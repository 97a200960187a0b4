"""persona_build: base clips of a persona from one picture, as recipes. Asking again finds them made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callsheet import keys
from callsheet.jobs.inputs import ClipEngines, Inputs
from callsheet.jobs.requests import PersonaBuild
from callsheet.models import TakeSpec
from callsheet.persona import TAKE_SECONDS
from callsheet.presets import GENERATE, GENERATION_RATE
from callsheet.prompts import persona_prompt
from callsheet.recipe import canonical, digest
from callsheet.recipes import DeliveredFile, TakeRecipe, UploadRecipe


@dataclass(frozen=True)
class Persona:
    """The takes of a persona, in the order they were asked for."""

    request: PersonaBuild
    takes: tuple[TakeRecipe, ...]
    upload: UploadRecipe

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """Empty, as in the source system: the takes are metadata."""
        return {}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        who = self.request.persona_id
        return {
            "persona_id": who,
            "archetype": self.request.archetype,
            "base_takes": [
                {
                    "id": f"{who}_take_{n}",
                    "emotion": spec.emotion,
                    "angle": spec.angle,
                    "intensity": spec.intensity,
                    "video_url": urls[keys.take(who, n)],
                    "duration": TAKE_SECONDS,
                }
                for n, spec in enumerate(self.request.takes_to_generate)
            ],
        }


def persona_build(request: PersonaBuild, inputs: Inputs, engines: ClipEngines) -> Persona:
    """One take of five seconds for each that was asked. Square, so that videos of every format share them."""
    takes = tuple(_take(request, n, spec, inputs, engines) for n, spec in enumerate(request.takes_to_generate))
    upload = UploadRecipe(
        label=request.title,
        destination=engines.destination,
        files=tuple(
            DeliveredFile(source=take.ref(), key=keys.take(request.persona_id, n)) for n, take in enumerate(takes)
        ),
    )
    return Persona(request, takes, upload)


def _take(request: PersonaBuild, number: int, spec: TakeSpec, inputs: Inputs, engines: ClipEngines) -> TakeRecipe:
    profile = GENERATE[request.tier]
    seed = digest(canonical([request.persona_id, "take", spec.emotion, spec.angle, spec.intensity]))
    return TakeRecipe(
        label=f"{request.persona_id} take {number}: {spec.emotion} {spec.angle}",
        engine=engines.clips,
        scene=f"{request.persona_id}, {spec.emotion}, {spec.angle.replace('_', ' ')}",
        prompt=persona_prompt(request.persona_id, request.archetype, spec),
        width=profile.px,
        height=profile.px,
        num_frames=int(TAKE_SECONDS * GENERATION_RATE),
        steps=engines.steps or profile.steps,
        cfg=profile.cfg if engines.cfg is None else engines.cfg,
        loras=(),
        first_frame=inputs.ref("primary_image"),
        emotion=spec.emotion,
        angle=spec.angle,
        intensity=spec.intensity,
        seed=int(seed[:8], 16),
    )
