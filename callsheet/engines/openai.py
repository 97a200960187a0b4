"""Engine `openai`: single pictures over OpenAI's Images API, one paid request each.

It makes posters, and clips of one frame. What it is told is words alone: it loads no LoRA and takes no seed, steps,
sampler or guidance, and every picture says so in its warnings. It is taken where an order or CALLSHEET_ENGINE names it,
never by `auto`. The key is a secret: it is in the request's header and nowhere else. Not covered: money. No budget
counts these pictures; what the API says it used is in the facts.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import SecretStr

from callsheet.download import Hosts, fetch
from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.frames import fitted, read_picture, write_clip, write_poster, write_still
from callsheet.engines.openai_api import ImagesApi
from callsheet.errors import (
    AnswerLost,
    DownloadFailed,
    DownloadGone,
    EngineError,
    EngineUnable,
    FrameFailed,
    MediaUnreadable,
    SettingMissing,
)
from callsheet.presets import Quality
from callsheet.recipes import ClipRecipe, EngineId, LoraUse, PosterRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

ENGINE = "openai"
MODEL = "gpt-image-1.5"
MODELS = re.compile(r"(gpt-image-[a-z0-9][a-z0-9.-]{0,40}?)(?:/(low|medium|high))?")
"""A model's name, and after a slash the quality it works in: both enter the recipe."""

QUALITIES = {Quality.DRAFT: "low", Quality.STANDARD: "medium"}
"""Of the API by tier; the others are high."""

SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
MAX_PROMPT = 32_000
"""Characters."""

_FLUX = ("", "flux1-dev", "flux1-dev-fp8")
"""What orders say that leave the poster's model to the engine."""
_KEY = re.compile(r"[!-~]{8,512}")
_FETCHES = 3
_ASKED, _HERE = 0.1, 0.9
"""Shares that are told: the API says nothing of its steps."""


class OpenAIEngine:
    """Pictures with an OpenAI account. Pictures that come by address may also lead to `allowed` hosts."""

    def __init__(
        self, api_key: SecretStr | None, api: ImagesApi | None = None, allowed: Hosts = frozenset()
    ) -> None:
        key = api_key.get_secret_value().strip() if api_key else ""
        self._key = SecretStr(key) if key else None
        self._api, self._allowed = api or ImagesApi(), allowed

    @classmethod
    def of(cls, settings: Settings) -> OpenAIEngine:
        return cls(settings.openai_api_key, ImagesApi(settings.openai_url), settings.allowed_hosts)

    @property
    def id(self) -> EngineId:
        return EngineId(name=ENGINE, version=1)

    @property
    def has_mouths(self) -> bool:
        return False

    @property
    def loads_files(self) -> bool:
        """It has no LoRAs at all."""
        return False

    def able(self) -> Ability:
        """Whether there is a key. Whether the account accepts it only a paid picture can tell."""
        try:
            self._secret()
        except SettingMissing as error:
            return Ability(False, error.what, error.fix)
        return Ability(True)

    def cast(self, asked: Asked) -> Casting:
        """A model of the API for the poster. Raises EngineUnable for clips, and for models of others."""
        if asked.clips:
            raise EngineUnable(
                engine=ENGINE, what="clips", detail="it makes single pictures",
                remedy="choose another engine for this order, or ask for a poster alone",
            )
        return Casting(poster=_model(asked.poster_model, asked.quality), unloaded=frozenset(asked.families))

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Raises PromptRefused, EngineUnable, EngineError, SettingMissing, DownloadFailed, ProviderErrors."""
        picture, facts = self._picture(recipe, recipe.prompt, room)
        target = room.path("poster.jpg")
        write_poster(fitted(picture, recipe.width, recipe.height), target)
        return Outcome(
            files={"main": target}, facts={"width": recipe.width, "height": recipe.height} | facts, made_by=ENGINE,
            warnings=_warnings(recipe, picture, "seed, steps, sampler and guidance"),
        )

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip of one frame. Raises as `paint`, FrameFailed, and EngineUnable for more frames or a first picture."""
        if recipe.num_frames != 1 or recipe.first_frame is not None:
            detail = "it makes single pictures, from words alone"
            raise EngineUnable(engine=ENGINE, what=recipe.label or "a clip", detail=detail)
        try:
            picture, facts = self._picture(recipe, recipe.prompt or recipe.scene, room)
        except EngineUnable:
            raise
        except EngineError as error:
            raise FrameFailed(what=recipe.label or "a frame", detail=error.facts["detail"]) from error
        main, last = room.path("clip.mp4"), room.path("last_frame.png")
        frame = fitted(picture, recipe.width, recipe.height)
        write_still(frame, last)
        write_clip([np.asarray(frame)], recipe.width, recipe.height, recipe.fps, main, "encode a frame")
        return Outcome(
            files={"main": main, "last_frame": last},
            facts={"frames": 1, "fps": str(recipe.fps), "duration": float(1 / recipe.fps), "width": recipe.width,
                   "height": recipe.height} | facts,
            made_by=ENGINE,
            warnings=_warnings(recipe, picture, "seed, steps and guidance"),
        )

    def _secret(self) -> SecretStr:
        if self._key is None:
            raise SettingMissing(subject="OpenAI API key", variable="OPENAI_API_KEY")
        if not _KEY.fullmatch(self._key.get_secret_value()):
            raise SettingMissing(subject="an OpenAI API key without spaces and line ends", variable="OPENAI_API_KEY")
        return self._key

    def _picture(
        self, recipe: PosterRecipe | ClipRecipe, prompt: str, room: Room
    ) -> tuple[Image.Image, dict[str, Any]]:
        """What came back, in the API's own size, and what it said about it."""
        key, body = self._secret(), _body(recipe, prompt)
        room.progress(_ASKED, f"{body['model']} is asked for a picture of {body['size']}")
        answer = self._api.generate(
            body, key, recipe.label, lambda: room.progress(_ASKED, f"{body['model']} is at work")
        )
        what = recipe.label or "a picture"
        try:
            said = json.loads(answer)
            entry = dict(said["data"][0])
            picture = self._opened(entry, room)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            detail = f"no picture is in its answer: {answer[:80].decode(errors='replace')!r}"
            raise AnswerLost(engine=ENGINE, what=what, detail=detail) from error
        except MediaUnreadable as error:
            raise AnswerLost(engine=ENGINE, what=what, detail=f"what it sent is no picture: {error.what}") from error
        room.progress(_HERE, "the picture is here")
        return picture, _facts(said, entry)

    def _opened(self, entry: dict[str, Any], room: Room) -> Image.Image:
        """The picture of an answer's entry, inline or by address. Raises AddressRefused and DownloadFailed too."""
        path = room.path("openai.picture")
        if entry.get("b64_json"):
            try:
                path.write_bytes(base64.b64decode(entry["b64_json"], validate=True))
            except binascii.Error as error:
                raise ValueError("broken base64") from error
        else:
            path = self._fetched(str(entry["url"]), room)
        try:
            return read_picture(path)
        finally:
            path.unlink()

    def _fetched(self, url: str, room: Room) -> Path:
        """A picture that is paid: its address is tried again, and never the order for it."""
        for left in range(_FETCHES - 1, -1, -1):
            try:
                return fetch(url, room.folder, "picture", allowed=self._allowed)
            except DownloadFailed as error:
                if not error.retryable:
                    raise
                if not left:
                    raise DownloadGone(
                        url=error.facts["url"],
                        detail=f"{error.facts['detail']}, {_FETCHES} times; the picture is paid",
                        remedy="run again, which pays for another one",
                    ) from error
        raise AssertionError("unreachable")


def _model(asked: str, quality: Quality) -> str:
    """The name that enters the recipe: model and quality. Raises EngineUnable."""
    named = MODELS.fullmatch(asked)
    if named is None and asked not in _FLUX:
        raise EngineUnable(
            engine=ENGINE, what="a poster", detail=f"it has no model {asked!r}",
            remedy=f"set the poster's model to {MODEL}, or choose another engine",
        )
    name, level = named.groups() if named else (MODEL, None)
    return f"{name}/{level or QUALITIES.get(quality, 'high')}"


def _body(recipe: PosterRecipe | ClipRecipe, prompt: str) -> dict[str, Any]:
    """The request as JSON. Raises EngineUnable for words it cannot take."""
    words = f"{prompt}\n\nAvoid: {recipe.negative}" if recipe.negative else prompt
    if not prompt.strip() or len(words) > MAX_PROMPT:
        raise EngineUnable(
            engine=ENGINE, what=recipe.label or "a picture", detail=f"its prompt has {len(words)} characters",
            remedy=f"describe it in 1 to {MAX_PROMPT} characters",
        )
    model, quality = _model(recipe.engine.model, Quality.HIGH).split("/")
    width, height = min(SIZES, key=lambda size: abs(math.log(size[0] / size[1] * recipe.height / recipe.width)))
    return {"model": model, "prompt": words, "n": 1, "size": f"{width}x{height}", "quality": quality,
            "output_format": "png", "background": "opaque"}


def _warnings(recipe: PosterRecipe | ClipRecipe, picture: Image.Image, unused: str) -> tuple[str, ...]:
    what = recipe.label or "a picture"
    said = [f"{what}: {recipe.engine.model or MODEL} made it from words alone: {unused} have no effect"]
    if names := _names(recipe.loras):
        said.append(f"{what}: {ENGINE} loads no LoRA, so it does not show who is meant by {names}")
    if recipe.width > picture.width or recipe.height > picture.height:
        said.append(f"{what}: {picture.width}x{picture.height} was enlarged to {recipe.width}x{recipe.height}")
    return tuple(said)


def _names(loras: Sequence[LoraUse]) -> str:
    return ", ".join(use.display_name or use.name for use in loras if use.strength)


def _facts(said: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """What the API tells about a picture that people may want to know."""
    told = {"usage": said.get("usage"), "revised_prompt": entry.get("revised_prompt")}
    return {name: value for name, value in told.items() if value}
