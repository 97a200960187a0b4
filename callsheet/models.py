"""The words of the domain as values: actors, scripts, orders.

Every model is frozen and refuses unknown fields. Times are seconds, sizes are pixels, rates are frames a
second as Fractions; a suffix says any other unit. Covers what a user says and what a run answers; what
determines a single artifact is in recipes.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from callsheet.presets import (
    DEFAULT_PLATFORM,
    DELIVER,
    LOUDNESS,
    LoudnessTarget,
    Platform,
    Quality,
    TransitionKind,
    delivery_size,
)
from callsheet.units import Colour, Frozen, Pixels, Rate, Seconds, Sha256, Slug, Volume


class Family(StrEnum):
    """The base models whose LoRAs callsheet tells apart."""

    FLUX = "flux"
    SDXL = "sdxl"
    SD15 = "sd15"
    WAN = "wan"


class SourceFile(Frozen):
    """A file the user names. Once admitted it is known by its digest, and the path is only a label."""

    path: str
    """Local path or s3:// URL."""
    sha256: Sha256 | None = None
    """Digest of its bytes; None until the order is admitted."""

    @model_validator(mode="before")
    @classmethod
    def _from_plain_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class CharacterSheet(Frozen):
    """How a character looks, applied to every segment it is in."""

    appearance: str = ""
    clothing: str = ""
    style: str = ""
    negative: str = ""


class Voice(Frozen):
    """Who speaks. Empty `name` lets the engine choose one that differs between the characters of a cast."""

    name: str = ""
    """An engine's own voice name, such as `en-us+f3` or an ElevenLabs voice id."""
    words_per_minute: int = Field(165, ge=80, le=400)
    pitch: int = Field(50, ge=0, le=99)


class Actor(Frozen):
    """A trained character."""

    id: Slug
    name: str = ""
    """As spoken and shown; the id stands in when it is empty."""
    lora: SourceFile
    lora_strength: float = Field(0.7, ge=0, le=2)
    base_model: Family | None = None
    """The family the LoRA must be of; None accepts what its header says."""
    description: str = Field("", max_length=2000)
    sheet: CharacterSheet = CharacterSheet()
    voice: Voice = Voice()
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Of the actor's poster and takes, so that they are the same in every film."""
    user_id: Slug | None = None

    @property
    def display_name(self) -> str:
        return self.name or self.id


class Transition(Frozen):
    """How a scene becomes the next one."""

    kind: TransitionKind = TransitionKind.CROSSFADE
    seconds: float = Field(0.5, ge=0, le=4, allow_inf_nan=False)
    """Rounded to whole frames of the delivery; a cut has none. Fits into one segment of 5 s."""


class Line(Frozen):
    """One thing said by one character."""

    speaker: Slug
    """Actor id."""
    text: str = Field(min_length=1, max_length=1000)


class Scene(Frozen):
    """What is seen and said without a cut of the story."""

    prompt: str = Field(min_length=1, max_length=4000)
    seconds: float = Field(5.0, ge=0.2, le=4 * 3600, allow_inf_nan=False)
    """Of the finished film; grows with its dialogue when the order says fit: grow."""
    cast: tuple[Slug, ...] = ()
    """Ids of the actors seen; empty means the whole cast of the order."""
    lines: tuple[Line, ...] = ()
    emotion: Slug = "neutral"
    angle: Slug = "front"
    intensity: float = Field(0.5, ge=0, le=1)
    language: str = Field("en-us", pattern=r"^[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{2,8})*$")
    transition: Transition = Transition()
    """Into the next scene; the last scene's is not used."""
    retake: int = Field(0, ge=0, le=100)
    """How often the scene was shot anew: each retake has another seed, and nothing else changes."""
    still: bool = False
    """Whether the picture is meant to stand still, as a title or a photograph does: it is not told as frozen."""


class TakeSpec(Frozen):
    """A base clip of a persona. Emotions and angles are open sets: new ones are data, not code."""

    emotion: Slug = "neutral"
    angle: Slug = "front"
    intensity: float = Field(0.5, ge=0, le=1)


DEFAULT_TAKES: tuple[TakeSpec, ...] = (
    TakeSpec(emotion="neutral", angle="front", intensity=0.5),
    TakeSpec(emotion="neutral", angle="three_quarter", intensity=0.5),
    TakeSpec(emotion="happy", angle="three_quarter", intensity=0.7),
    TakeSpec(emotion="intense", angle="closeup", intensity=0.9),
)


class Effect(Frozen):
    """A sound at a moment of the film."""

    file: SourceFile
    start: Seconds
    volume: Volume = 1.0


class Ducking(Frozen):
    """How far the music bed goes down while somebody speaks."""

    base_volume: Volume = 0.15
    """Level of music while nobody speaks."""
    duck_db: float = Field(-8.0, ge=-60, le=0)
    """Further change under speech, in dB."""
    attack_ms: float = Field(50, ge=1, le=5000)
    release_ms: float = Field(300, ge=1, le=10000)


class Sound(Frozen):
    """Everything heard beside the voices."""

    music: SourceFile | None = None
    ambience: SourceFile | None = None
    ambience_volume: Volume = 0.1
    effects: tuple[Effect, ...] = Field((), max_length=100)
    ducking: Ducking = Ducking()
    platform: Platform | None = None
    """Whose loudness the film is brought to; None is -14 LUFS, -1 dBTP."""
    loudness_lufs: float | None = Field(None, ge=-40, le=-5)
    """Integrated loudness of the finished film; beats the platform's."""
    true_peak_dbtp: float | None = Field(None, ge=-9, le=0)
    """Highest true peak; beats the platform's."""
    stems: bool = False
    """Whether voice, music-and-effects and full mix are exported as files of their own too."""

    @property
    def loudness(self) -> LoudnessTarget:
        """What the film is brought to."""
        target = LOUDNESS[self.platform or DEFAULT_PLATFORM]
        return LoudnessTarget(
            target.lufs if self.loudness_lufs is None else self.loudness_lufs,
            target.true_peak_dbtp if self.true_peak_dbtp is None else self.true_peak_dbtp,
        )


class CaptionMode(StrEnum):
    OFF = "off"
    BESIDE = "beside"
    BURNED = "burned"


class SpokenWord(Frozen):
    """One word, and when it is heard. Seconds of whatever holds it: line, clip or film."""

    text: str
    start: Seconds
    end: Seconds


class Cue(Frozen):
    """One caption: `text` is shown from `start` to `end`, in seconds of the film or clip."""

    text: str = Field(min_length=1, max_length=500)
    start: Seconds
    end: Seconds
    words: tuple[SpokenWord, ...] = ()
    """When each of its words is heard, in the same time; empty where nobody knows."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a caption must end after it starts ({self.start} to {self.end})")
        return self


class CaptionStyle(Frozen):
    """How burned captions look."""

    font_size: int = Field(48, ge=8, le=400)
    """Pixels on a 1080 pixels wide portrait picture or a 1080 pixels high landscape one; scales with it."""
    color: Colour = "white"
    stroke_color: Colour = "black"
    stroke_width: float = Field(2, ge=0, le=40)
    position_y: float = Field(0.75, ge=0, le=1)
    """Centre of the text, as a share of the picture's height from its top."""
    karaoke: bool = False
    """Whether each word is highlighted while it is spoken, where the times of the words are known."""
    highlight_color: Colour = "yellow"


class Captions(Frozen):
    """Sidecar files are always written unless the mode is off; `burned` also draws them."""

    mode: CaptionMode = CaptionMode.BESIDE
    style: CaptionStyle = CaptionStyle()


class Format(Frozen):
    """Delivered picture size in pixels and frames a second."""

    width: Pixels
    height: Pixels
    fps: Rate

    @classmethod
    def of(cls, quality: Quality, orientation: str = "landscape") -> Format:
        width, height = delivery_size(quality, orientation)
        return cls(width=width, height=height, fps=DELIVER[quality].fps)

    @property
    def label(self) -> str:
        fps = str(self.fps) if self.fps.denominator == 1 else f"{float(self.fps):.3f}".rstrip("0")
        return f"{self.width}x{self.height}@{fps}"


class Poster(Frozen):
    """Poster frame parameters, under the names of the source system."""

    width: Pixels = 1024
    height: Pixels = 1024
    steps: int = Field(22, ge=1, le=200)
    sampler_name: str = "euler"
    scheduler_name: str = "simple"
    flux_guidance: float = Field(6.5, ge=0, le=30)
    model: str = "flux1-dev-fp8"
    style_lora_name: str = "SBai_style_101"
    style_lora_strength: float = Field(1.0, ge=0, le=2)
    background: str = ""
    """Added to the prompt, when one is wanted."""


class Fallback(StrEnum):
    """What follows when an engine fails. What really made a picture is in its record either way."""

    NEVER = "never"
    """The film fails; what is made is kept."""
    SMALLER = "smaller"
    """A smaller model of the family, then a smaller picture; after that the film fails."""
    PLACEHOLDER = "placeholder"
    """As `smaller`, then drawn. Only so a drawn clip is delivered in place of a generated one."""


class Generate(Frozen):
    """What engines are asked for; None takes the tier's figure."""

    engine: str = "auto"
    model: str = ""
    """Base model of clips, such as `wan2.2-i2v-a14b`; empty leaves it to the engine. Posters have their own field."""
    fallback: Fallback | None = None
    """None takes CALLSHEET_FALLBACK."""
    restore: str = "auto"
    """Engine that restores faces in generated clips: `off`, `auto` (from quality standard upwards, where one is able),
    or an engine's name."""
    speech: str = "auto"
    lipsync: str = "auto"
    steps: int | None = Field(None, ge=1, le=200)
    cfg: float | None = Field(None, ge=0, le=30)
    px: int | None = Field(None, ge=64, le=4096)
    upscale: str = "off"
    """Engine that enlarges clips where the delivery is larger: `off`, `auto`, or an engine's name."""
    margin: bool = True
    """Whether the placeholder writes prompt, settings and time below its pictures."""


class Gpu(StrEnum):
    """Where the GPU half runs."""

    AUTO = "auto"
    """The pool when RunPod is configured, else here."""
    HERE = "here"
    """In the run's own process: a workstation, the demo, inside a pod."""
    POOL = "pool"
    """One `shoot` on the GPU work pool: a warm machine for many actors."""
    ENDPOINT = "endpoint"
    """One job a recipe to a RunPod serverless endpoint with our handler."""


class Purse(Frozen):
    """Whose money a run spends, beside its order's own budget."""

    batch: str = Field("", max_length=200)
    """The batch it belongs to, such as `actors-2026-11-20`; empty for a film by itself."""
    budget: float | None = Field(None, ge=0.01, le=1_000_000)
    """USD that the batch may cost; None takes CALLSHEET_BUDGET_BATCH."""


class CheckPolicy(StrEnum):
    """What findings of the quality gate lead to."""

    WARN = "warn"
    RETRY = "retry"
    STOP = "stop"


class Check(Frozen):
    """The quality gate: each finished film is looked at and listened to before it is delivered."""

    policy: CheckPolicy = CheckPolicy.WARN
    """`warn` delivers and tells; `retry` first shoots the scenes with findings anew, with another seed;
    `stop` delivers nothing."""
    retries: int = Field(1, ge=1, le=5)
    """How often one scene is shot anew at most. What is found after that is a warning."""
    identity: float | None = Field(0.6, gt=0, le=1.5)
    """How far an actor's face may be from that of its poster, as the distance of two face embeddings: 0.6 parts one
    person from another, a larger one is more lenient. Pictures without a face have a limit in proportion. None compares
    nothing."""


class Order(Frozen):
    """Everything one finished video needs."""

    title: str = Field(min_length=1, max_length=200)
    cast: tuple[Actor, ...] = Field(min_length=1, max_length=8)
    scenes: tuple[Scene, ...] = Field(min_length=1, max_length=500)
    sound: Sound = Sound()
    captions: Captions = Captions()
    quality: Quality = Quality.STANDARD
    format: Format | None = None
    """None delivers the tier's own landscape size and rate."""
    takes: tuple[TakeSpec, ...] = DEFAULT_TAKES
    poster: Poster | None = Poster()
    """None makes no poster frames: clips then start from their words alone."""
    style: SourceFile | None = None
    """The LoRA file of the posters' style; None looks its name up in the LoRA folders, where an engine loads files."""
    generate: Generate = Generate()
    check: Check = Check()
    fit: Literal["grow", "error"] = "grow"
    seed: int = Field(0, ge=0, le=2**32 - 1)
    """Of the scenes; posters and takes follow each actor's own."""
    job_id: Slug | None = None
    """Names the delivery keys; None takes the order's fingerprint."""
    budget: float | None = Field(None, ge=0.01, le=10_000)
    """USD that the order's GPU work may cost in all; None sets no limit of its own. Determines no picture."""

    @property
    def delivered(self) -> Format:
        return self.format or Format.of(self.quality)

    def actor(self, actor_id: str) -> Actor:
        return next(a for a in self.cast if a.id == actor_id)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [a.id for a in self.cast]
        if len(set(ids)) != len(ids):
            raise ValueError(f"an actor is in the cast twice: {', '.join(ids)}")
        for n, scene in enumerate(self.scenes):
            for who in (*scene.cast, *(line.speaker for line in scene.lines)):
                if who not in ids:
                    raise ValueError(f"scenes[{n}] names {who}, who is not in the cast ({', '.join(ids)})")
        return self
