"""The recipe of every stage: what determines a LoRA's acceptance, a poster, a clip, a reel, a film.

Pure values. plan.py writes them, the stages follow them, the store files results under their fingerprints.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from callsheet.models import CaptionMode, CaptionStyle, Cue, Ducking, Family, SourceFile
from callsheet.presets import GENERATION_RATE, MAX_SEGMENT_FRAMES, TransitionKind
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.units import Frozen, Pixels, Rate, Sha256, Volume


class EngineId(Frozen):
    """Which engine, which version of its code, which model: all three decide the pixels."""

    name: str
    version: int
    model: str = ""


class Instead(Frozen):
    """What makes a picture or clip in place of what was asked, because that failed and the order's policy allows it."""

    engine: EngineId
    px: int | None = None
    """Side of the square with as many pixels as are generated; None: as many as were asked."""
    why: str
    """One line for people: what failed."""


class Choices(Frozen):
    """What `auto` came to: resolved when the plan is made, so that recipes never depend on where they run."""

    posters: EngineId
    clips: EngineId
    speech: EngineId
    lipsync: EngineId
    voices: dict[str, str]
    """Actor id -> the speech engine's voice."""
    clips_have_mouths: bool
    """Whether the clip engine tells where mouths are."""
    unloaded: tuple[str, ...] = ()
    """Actors whose LoRA the clip model cannot load: what clips start from carries them."""
    clip_steps: int | None = None
    """The clip model's own default, which beats the tier's; None: it has none."""
    clip_cfg: float | None = None
    style: SourceFile | None = None
    """The style's LoRA file with its digest, for engines that load files; else they know the style by name."""
    restore: EngineId | None = None
    """None where faces are left as they are."""
    instead: dict[str, Instead] = Field(default_factory=dict)
    """By fingerprint of the recipe that was asked."""
    drawn: EngineId | None = None
    """The engine that draws, which stands in last where the policy allows it; None where it is what was asked."""
    drawn_lipsync: EngineId | None = None
    """The lip-sync of what it draws; None where it is what was asked."""
    upscale: EngineId | None = None
    """None where clips are not enlarged by an engine: conform then does it by interpolation."""
    destination: str
    """URL of the delivery."""


class LoraUse(Frozen):
    """One slot of the LoRA stack. Slot 1 is the style, then one slot a character."""

    role: Literal["style", "character"]
    name: str
    """Actor id for a character, the LoRA's own name for a style."""
    display_name: str = ""
    sha256: Sha256 | None = None
    """Digest of the file; None for a style that the engine knows by name."""
    strength: float
    hints: ClassVar[frozenset[str]] = frozenset({"file", "file_name"})
    """Not part of a fingerprint: the digest says which LoRA it is."""
    file: Ref | None = None
    """The accepted file in the store, for engines that load it; None where there is no digest."""
    file_name: str = ""
    """What its file is called, for engines whose own machine has it under that name."""


class TrainCompleteRecipe(Recipe):
    """A LoRA that is there, whole, and of the right family. Artifact: main, the file itself."""

    stage: ClassVar[Stage] = Stage.TRAIN_COMPLETE
    hints: ClassVar[frozenset[str]] = frozenset({"label", "path"})
    path: str = ""
    """Where the bytes are, if they are not in the store yet: a local path or s3:// URL."""
    sha256: Sha256
    base_model: Family | None = None


class IntakeRecipe(Recipe):
    """A file of the order, checked and copied into the store. Artifact: main."""

    stage: ClassVar[Stage] = Stage.INTAKE
    hints: ClassVar[frozenset[str]] = frozenset({"label", "path"})
    path: str = ""
    """Where the bytes are, if they are not in the store yet: a local path or s3:// URL."""
    sha256: Sha256
    kind: Literal["audio", "picture", "clip"]


class SpeechRecipe(Recipe):
    """One spoken line. Artifact: main, a mono WAV; facts: seconds."""

    stage: ClassVar[Stage] = Stage.SPEECH
    engine: EngineId
    voice: str
    """The engine's own name of the voice; already chosen, never empty."""
    words_per_minute: int
    pitch: int
    language: str
    text: str


class AlignRecipe(Recipe):
    """When each word and phone of a spoken line is heard. Artifact: main, an Alignment as JSON.

    Facts: words ([text, start, end] each, in seconds of the line), method.
    """

    stage: ClassVar[Stage] = Stage.ALIGN
    audio: Ref
    text: str
    language: str


class PosterRecipe(Recipe):
    """A poster frame. Artifact: main, a JPEG of exactly width x height."""

    stage: ClassVar[Stage] = Stage.POSTER
    engine: EngineId
    prompt: str
    negative: str = ""
    width: Pixels
    height: Pixels
    steps: int
    sampler_name: str
    scheduler_name: str
    flux_guidance: float
    loras: tuple[LoraUse, ...]
    seed: int


class ClipRecipe(Recipe):
    """A generated clip. Artifacts: main (video without sound, H.264, exactly num_frames), last_frame (PNG).

    An engine that knows where the mouths are adds `mouths` (see faces/base.py).
    """

    engine: EngineId
    scene: str
    """The scene's own words, without the sheet's additions."""
    prompt: str
    negative: str = ""
    width: Pixels
    """Of the raw clip; conform brings it to the delivery's size."""
    height: Pixels
    num_frames: int = Field(ge=1, le=MAX_SEGMENT_FRAMES)
    fps: Rate = GENERATION_RATE
    steps: int
    cfg: float
    loras: tuple[LoraUse, ...]
    first_frame: Ref | None = None
    """A PNG or JPEG to start from: poster, nearest take's frame, or the previous segment's last frame."""
    start_frame: int = 0
    """Index of the clip's first frame within its scene, so that motion goes on across segments."""
    emotion: str = "neutral"
    angle: str = "front"
    intensity: float = 0.5
    margin: bool = True
    """Whether an engine that draws may write prompt, settings and time below the picture."""
    seed: int


class TakeRecipe(ClipRecipe):
    """A base clip of a persona: five seconds of one emotion from one angle."""

    stage: ClassVar[Stage] = Stage.TAKES


class SegmentRecipe(ClipRecipe):
    """At most 120 frames of a scene."""

    stage: ClassVar[Stage] = Stage.SEGMENTS
    later: ClassVar[frozenset[str]] = frozenset({"follows", "control", "freedom"})
    follows: Ref | None = None
    """A clip whose frames it is made after: video to video."""
    control: Ref | None = None
    """A clip of control pictures, such as poses, which it keeps to: ControlNet."""
    freedom: float = Field(0.7, ge=0, le=1)
    """How far it may leave `follows`: 0 keeps it, 1 ignores it."""


class PlacedVoice(Frozen):
    """A spoken line at its moment."""

    audio: Ref
    speaker: str
    """Actor id."""
    start: float
    """Seconds from the start of the clip or film; negative when it began in an earlier segment."""
    alignment: Ref | None = None
    """An Alignment of the audio, where there is one: mouths then follow its phones, else the loudness."""


class LipsyncRecipe(Recipe):
    """A clip or still whose mouths follow the speech. Artifact: main, as many frames as the clip.

    A still lasts as long as its last voice.
    """

    stage: ClassVar[Stage] = Stage.LIPSYNC
    engine: EngineId
    clip: Ref
    mouths: Ref | None = None
    voices: tuple[PlacedVoice, ...] = Field(min_length=1)
    fps: Rate = GENERATION_RATE
    quality: str = "standard"


class RestoreRecipe(Recipe):
    """A clip whose faces are made clear again after lip-sync. Artifact: main, as many frames at the same size."""

    stage: ClassVar[Stage] = Stage.RESTORE
    engine: EngineId
    clip: Ref
    strength: float = Field(1.0, ge=0, le=1)
    """How much of the restored face is taken; the rest is the clip's own."""


class UpscaleRecipe(Recipe):
    """A clip enlarged by an engine that knows what pictures look like. Artifact: main.

    As many frames at the same rate; both sides are `factor` times as long.
    """

    stage: ClassVar[Stage] = Stage.UPSCALE
    engine: EngineId
    clip: Ref
    factor: Literal[2, 3, 4]


class EncodeSettings(Frozen):
    """x264 settings. Every clip of one film has the same, or its reel could not be copied together."""

    crf: int
    preset: str
    max_kbit: int | None = None
    """Cap of the bit rate; None lets crf decide alone."""


class ConformRecipe(Recipe):
    """A clip at the delivery's size and rate, in its one and only encode. Artifact: main."""

    stage: ClassVar[Stage] = Stage.CONFORM
    version: ClassVar[int] = 2
    clip: Ref
    width: Pixels
    height: Pixels
    fps: Rate
    frames: int = Field(ge=1)
    """Exactly this many come out."""
    head: int = 0
    """Frames of the transition window at the start: frame `head` is a key frame."""
    tail: int = 0
    """Frames of the transition window at the end: frame `frames - tail` is a key frame."""
    encode: EncodeSettings
    cues: tuple[Cue, ...] = ()
    """Captions to burn, in seconds of this clip."""
    style: CaptionStyle | None = None


class Join(Frozen):
    """How one clip becomes the next; `frames` of both overlap."""

    kind: TransitionKind
    frames: int = Field(ge=0)


class SpliceRecipe(Recipe):
    """All clips as one reel without sound. Artifact: main, sum(frames) - sum(joins) frames."""

    stage: ClassVar[Stage] = Stage.SPLICE
    version: ClassVar[int] = 2
    clips: tuple[Ref, ...] = Field(min_length=1)
    clip_frames: tuple[int, ...]
    joins: tuple[Join, ...]
    """One fewer than the clips."""
    fps: Rate
    encode: EncodeSettings


class PlacedEffect(Frozen):
    audio: Ref
    start: float
    volume: Volume


class MixRecipe(Recipe):
    """The film: reel and sound. Artifacts: main (MP4), thumbnail (JPEG), srt and vtt where there are cues."""

    stage: ClassVar[Stage] = Stage.MIX
    version: ClassVar[int] = 2
    reel: Ref
    seconds: float
    """Length of the reel; the sound is exactly as long."""
    voices: tuple[PlacedVoice, ...] = ()
    music: Ref | None = None
    ambience: Ref | None = None
    ambience_volume: Volume = 0.1
    effects: tuple[PlacedEffect, ...] = ()
    ducking: Ducking = Ducking()
    loudness_lufs: float = -14.0
    true_peak_dbtp: float = -1.0
    cues: tuple[Cue, ...] = ()
    captions: CaptionMode = CaptionMode.BESIDE
    language: str = "en"
    stems: bool = False
    """Adds artifacts voice, music_effects and full_mix: WAV, each as long as the film."""


class Sitter(Frozen):
    """An actor who should be seen in a scene, and the poster to know it by."""

    scene: int
    """Index from 0."""
    actor: str
    """As a person is told."""
    poster: Ref
    first: int
    """Frame of the film from which on it is looked at."""
    end: int
    """The frame after the last one."""


class CheckRecipe(Recipe):
    """Whether a film is what was asked. Artifact: main, the report as JSON. Facts: findings."""

    stage: ClassVar[Stage] = Stage.CHECK
    version: ClassVar[int] = 3
    film: Ref
    frames: int
    fps: Rate
    width: Pixels
    height: Pixels
    scenes: tuple[int, ...]
    """The frame of the film at which each scene begins; a finding belongs to the scene it lies in."""
    windows: tuple[tuple[int, int], ...] = ()
    """Frames of planned transitions, first and end (excluded): what is black or still there is meant."""
    still: tuple[tuple[int, int], ...] = ()
    """Frames of scenes in which the picture is meant to stand still, first and end (excluded)."""
    voices: tuple[PlacedVoice, ...] = ()
    """What is said, in seconds of the film: it has to be heard there, in time."""
    heard: bool
    """Whether the film has any sound; one that has none is not told to be silent."""
    loudness_lufs: float
    true_peak_dbtp: float
    cues: tuple[Cue, ...] = ()
    """Captions that are burned into the picture; they have to fit it."""
    style: CaptionStyle | None = None
    sitters: tuple[Sitter, ...] = ()
    """Who has to be known by the poster, and where; empty compares nobody."""
    identity: float | None = None
    """How far a face may be from its poster's; None where nobody is compared."""


class DeliveredFile(Frozen):
    source: Ref
    key: str


class UploadRecipe(Recipe):
    """Files of a production under their delivery keys. Facts: urls by key."""

    stage: ClassVar[Stage] = Stage.UPLOAD
    destination: str
    """Folder URL or s3://bucket/prefix."""
    files: tuple[DeliveredFile, ...]


ANY_RECIPE: tuple[type[Recipe], ...] = (
    TrainCompleteRecipe, IntakeRecipe, SpeechRecipe, AlignRecipe, PosterRecipe, TakeRecipe, SegmentRecipe,
    LipsyncRecipe, RestoreRecipe, UpscaleRecipe, ConformRecipe, SpliceRecipe, MixRecipe, CheckRecipe, UploadRecipe,
)
