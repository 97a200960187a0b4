"""The engine called `diffusers`: posters and clips by base models on this machine's GPU.

Covers what is able here, which models an order gets, and the way from a recipe to its files. How a model is loaded is
loading.py's, how it makes pictures is its maker's. It never decides what follows a failure.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image

from callsheet.base_models import MODELS, BaseModel, base_model, models_of
from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.diffusers import casting, loading, samplers
from callsheet.engines.diffusers.loading import ENGINE, Loaded
from callsheet.engines.diffusers.memory import work_gib
from callsheet.engines.diffusers.sketch import sketch
from callsheet.engines.diffusers.stack import mount, slots_of
from callsheet.engines.diffusers.warm import WARM, Warm
from callsheet.engines.diffusers.work import Job, Tell
from callsheet.engines.frames import fitted, read_clip, read_picture, write_clip, write_poster, write_still
from callsheet.errors import EngineNotHere, EngineUnable
from callsheet.models import Family
from callsheet.recipes import ClipRecipe, EngineId, PosterRecipe, SegmentRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors")
SHOW_EVERY = 5
"""Steps between two pictures of unfinished work."""
_STEPS_FROM, _STEPS_TO = 0.05, 0.9
"""Share of the work at which the first step begins, and at which the last one ends."""

log = logging.getLogger(__name__)


class DiffusersEngine:
    """Makes posters and clips with the library's pipelines. `warm` is the process's own unless a test has another."""

    def __init__(self, settings: Settings, warm: Warm = WARM) -> None:
        self._settings, self._warm = settings, warm

    @property
    def id(self) -> EngineId:
        return EngineId(name=ENGINE, version=1)

    @property
    def has_mouths(self) -> bool:
        """A model does not tell where it puts them."""
        return False

    @property
    def loads_files(self) -> bool:
        return True

    def able(self) -> Ability:
        """The extra is installed, the weights of a model are here, and there is a device to run it on."""
        absent = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
        if absent:
            return Ability(False, f"{', '.join(absent)} not installed", "pip install 'callsheet[models]'")
        if not self.models():
            return Ability(False, f"no model's weights are whole in {self._settings.models}",
                           "callsheet models download, with flux-dev or sdxl for posters and wan-5b for clips")
        if not loading.device_of(self._settings.device):
            return Ability(False, f"no device for CALLSHEET_DEVICE={self._settings.device} is here",
                           "run it where there is a GPU, or set CALLSHEET_DEVICE=cpu: slow, and made for trying it out")
        return Ability(True)

    def models(self) -> tuple[BaseModel, ...]:
        """Those whose weights are whole on this machine, best first."""
        return tuple(each for each in MODELS
                     if each.name in loading.LOADERS and not loading.missing(each, self._settings.models))

    def cast(self, asked: Asked) -> Casting:
        """The models of an order (casting.py). Raises WrongFamily, EngineUnable."""
        return casting.cast(asked)

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster: a JPEG of exactly width x height.

        Raises WrongFamily, LoraUnfit, EngineUnable for a sampler that the model does not have, OutOfMemory.
        """
        return self.paint_all((recipe,), (room,))[0]

    def paint_all(self, recipes: Sequence[PosterRecipe], rooms: Sequence[Room]) -> list[Outcome]:
        """Posters that share model, LoRAs, size and steps, made together: faster, and each as if it were made alone,
        but for the rounding of a batch. So what goes into the store is made by `paint`.

        Progress is told in the first room. Raises as `paint` does, and EngineUnable when they do not belong together.
        """
        one, room = recipes[0], rooms[0]
        if len({_shared(recipe) for recipe in recipes}) != 1:
            raise EngineUnable(engine=ENGINE, what="these posters together",
                               detail="they differ in more than words and seeds", remedy="make them one by one")
        model = self._model(one.engine.model, "picture")
        samplers.check(one.sampler_name, one.scheduler_name, flows=model.family is Family.FLUX)
        slots = slots_of(one.loras, model, room)
        jobs = [_poster_job(recipe, model) for recipe in recipes]
        with self._ready(model, work_gib(one.width, one.height, together=len(jobs)), room) as loaded:
            partly = mount(loaded, slots, self._warm.stacks)
            tell = self._tell(loaded, jobs[0], room)
            made = loaded.maker.pictures(loaded.pipe, jobs, tell)
            told = [getattr(loaded.maker, "warnings", _nothing)(loaded.pipe, job) for job in jobs]
            facts = self._facts(loaded, one.width, one.height)
        outcomes = []
        for recipe, own, image, words in zip(recipes, rooms, made, told, strict=True):
            path = own.path("poster.jpg")
            write_poster(image, path)
            outcomes.append(Outcome(files={"main": path}, facts=facts, made_by=ENGINE,
                                    warnings=(*partly, *words, *_poster_warnings(recipe, model))))
        room.progress(1.0, "poster made" if len(made) == 1 else f"{len(made)} posters made")
        return outcomes

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip. Files: main, last_frame.

        Raises WrongFamily, LoraUnfit, MediaUnreadable for a first frame that is no picture, OutOfMemory, EngineUnable
        for what the model cannot do.
        """
        model = self._model(recipe.engine.model, "clip")
        slots = slots_of(recipe.loras, model, room)
        job = _clip_job(recipe, model, room)
        main, last = room.path("clip.mp4"), room.path("last_frame.png")
        with self._ready(model, work_gib(recipe.width, recipe.height, recipe.num_frames), room) as loaded:
            partly = mount(loaded, slots, self._warm.stacks)
            frames = loaded.maker.frames(loaded.pipe, job, self._tell(loaded, job, room))
            told = getattr(loaded.maker, "warnings", _nothing)(loaded.pipe, job)
            facts = self._facts(loaded, recipe.width, recipe.height)
        if len(frames) != recipe.num_frames:
            raise EngineUnable(engine=ENGINE, what=recipe.label or "a clip", remedy="report it with the recipe",
                               detail=f"{model.name} made {len(frames)} frames of {recipe.num_frames}")
        room.progress(_STEPS_TO, "encoding")
        what = f"encode {recipe.label or 'a clip'}"
        write_still(write_clip(frames, recipe.width, recipe.height, recipe.fps, main, what), last)
        room.progress(1.0, "clip made")
        facts |= {"frames": recipe.num_frames, "fps": str(recipe.fps),
                  "duration": float(recipe.num_frames / recipe.fps)}
        return Outcome(files={"main": main, "last_frame": last}, facts=facts, made_by=ENGINE,
                       warnings=(*partly, *told, *_clip_warnings(recipe, model)))

    def _model(self, name: str, kind: str) -> BaseModel:
        try:
            model = base_model(name)
        except KeyError:
            model = None
        if model is None or model.kind != kind or model.name not in loading.LOADERS:
            known = ", ".join(each.name for each in models_of(kind))
            raise EngineUnable(engine=ENGINE, what=f"a {kind} with the model {name!r}",
                               detail=f"it has no such {kind} model", remedy=f"choose one of {known}")
        return model

    @contextmanager
    def _ready(self, model: BaseModel, work: float, room: Room) -> Iterator[Loaded]:
        device = loading.device_of(self._settings.device)
        if not device:
            ability = self.able()
            raise EngineNotHere(engine=ENGINE, what=model.name, detail=ability.reason, remedy=ability.remedy)
        with self._warm.using(model, self._settings.models, device, work, room.progress) as loaded:
            yield loaded

    def _facts(self, loaded: Loaded, width: int, height: int) -> dict[str, Any]:
        counts = self._warm.counts()
        log.info("%s %s; %s", loaded.model.name, loaded.plan, ", ".join(f"{name} {n}" for name, n in counts.items()))
        return {"width": width, "height": height, "model": loaded.model.name, "plan": str(loaded.plan),
                "pipeline": counts}

    def _tell(self, loaded: Loaded, job: Job, room: Room) -> Tell:
        """Progress at every step, and a picture at every fifth, where the pipeline's parts stay on the device."""
        def tell(step: int, steps: int, latents: Any) -> None:
            share = _STEPS_FROM + (_STEPS_TO - _STEPS_FROM) * step / max(1, steps)
            room.progress(min(share, _STEPS_TO), f"step {step} of {steps}")
            if step % SHOW_EVERY == 0 and step < steps:
                picture = _looked_at(loaded, job, latents)
                if picture is not None:
                    path = room.path("unfinished.jpg")
                    picture.save(path, "JPEG", quality=80)
                    room.show(path, f"step {step} of {steps}")
                    path.unlink(missing_ok=True)

        return tell


def _looked_at(loaded: Loaded, job: Job, latents: Any) -> Image.Image | None:
    """A picture of unfinished work, None where there is none: what is for looking only ends no work."""
    try:
        return sketch(loaded, job, latents)
    except (RuntimeError, ValueError, MemoryError) as error:
        log.warning("no picture of the unfinished work: %s", " ".join(str(error).split())[:200])
        return None


def _nothing(pipe: Any, job: Job) -> tuple[str, ...]:
    return ()


def _shared(recipe: PosterRecipe) -> PosterRecipe:
    """What posters that are made together have in common."""
    return recipe.model_copy(update={"prompt": "", "negative": "", "seed": 0, "label": ""})


def _poster_job(recipe: PosterRecipe, model: BaseModel) -> Job:
    return Job(
        prompt=recipe.prompt, negative="" if model.family is Family.FLUX else recipe.negative,
        width=recipe.width, height=recipe.height, frames=1, steps=recipe.steps, guidance=recipe.flux_guidance,
        seed=recipe.seed, sampler=recipe.sampler_name, scheduler=recipe.scheduler_name,
    )


def _poster_warnings(recipe: PosterRecipe, model: BaseModel) -> tuple[str, ...]:
    if model.family is Family.FLUX and recipe.negative.strip():
        return (f"{model.name} takes no negative words: {recipe.negative.strip()!r} is left out",)
    return ()


def _clip_job(recipe: ClipRecipe, model: BaseModel, room: Room) -> Job:
    first = read_picture(room.fetch(recipe.first_frame)) if recipe.first_frame else None
    if first is not None:
        first = fitted(first, recipe.width, recipe.height) if model.from_picture else None
    return Job(
        prompt=recipe.prompt, negative=recipe.negative, width=recipe.width, height=recipe.height,
        frames=recipe.num_frames, steps=recipe.steps, guidance=recipe.cfg, seed=recipe.seed, first=first,
        goes_on=first is not None and recipe.start_frame > 0, **_led(recipe, room),
    )


def _led(recipe: ClipRecipe, room: Room) -> dict[str, Any]:
    """The clips that a segment is made after, or keeps to."""
    if not isinstance(recipe, SegmentRecipe) or not (recipe.follows or recipe.control):
        return {}
    size = (recipe.width, recipe.height, recipe.fps, recipe.num_frames)
    return {
        "video": read_clip(room.fetch(recipe.follows), *size) if recipe.follows else (),
        "control": read_clip(room.fetch(recipe.control), *size) if recipe.control else (),
        "freedom": recipe.freedom,
    }


def _clip_warnings(recipe: ClipRecipe, model: BaseModel) -> tuple[str, ...]:
    if recipe.first_frame is not None and not model.from_picture:
        return (f"starts from its words: {model.name} takes no first picture",)
    return ()
