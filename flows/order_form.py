"""The flat form a person fills in the Prefect UI -> order -> produce.

    Deployments -> order-form/studio -> Run -> Custom run

The fields are the manifest's columns, so a form and a row say the same thing the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow

from callsheet.manifest import read_manifest
from callsheet.models import CaptionMode, CheckPolicy, Fallback, Gpu
from callsheet.orders import order_for
from callsheet.presets import DEFAULT_PLATFORM, Platform, Quality
from callsheet.production import Production
from callsheet.units import Slug
from flows.produce import produce
from tasks.show import production_pages

Emotion = Literal["neutral", "happy", "intense", "sad", "surprised"]
Angle = Literal["front", "three_quarter", "closeup"]
Orientation = Literal["landscape", "portrait", "square"]


@flow(name="order-form", flow_run_name="{id}: {prompt}")
def order_form(
    id: Slug,
    prompt: str = "waves at the camera and smiles",
    dialogue: str = "",
    seconds: float = 5.0,
    lora: str = "",
    name: str = "",
    description: str = "",
    emotion: Emotion = "neutral",
    angle: Angle = "front",
    quality: Quality = Quality.DRAFT,
    orientation: Orientation = "landscape",
    captions: CaptionMode = CaptionMode.BESIDE,
    karaoke: bool = False,
    music: str = "",
    music_volume: float = 0.15,
    platform: Platform = DEFAULT_PLATFORM,
    check: CheckPolicy = CheckPolicy.WARN,
    engine: str = "auto",
    clip_model: str = "",
    fallback: Fallback | None = None,
    restore: str = "auto",
    seed: int = 0,
    gpu: Gpu = Gpu.AUTO,
    manifest: str = "",
) -> Production:
    """Make a film of one actor.

    Args:
        id: The actor: lower-case letters, digits, `-` and `_`, such as `0001_european_20_female`.
        prompt: What is seen.
        dialogue: What is said. Plain text is spoken by the actor; empty makes a silent scene.
        seconds: Length of the film. It grows when the dialogue needs longer.
        lora: The trained LoRA: a path on the worker's machine or `s3://bucket/key`; `.safetensors` may be left out.
            Empty takes the manifest's.
        name: How the actor is called in pictures and captions. Empty takes the manifest's, else the id.
        description: What the actor looks like, for the poster. Empty takes the manifest's.
        emotion: Mood of the scene.
        angle: Where the camera stands.
        quality: Draft is quickest; cinematic is 4K and slow.
        orientation: Shape of the picture.
        captions: `beside` writes SRT and VTT files, `burned` also draws them into the picture.
        karaoke: Whether burned captions highlight each word while it is spoken.
        music: Path of a music file on the worker's machine; empty for none.
        music_volume: Level of the music while nobody speaks, 0 to 4.
        platform: Whose loudness the film is brought to.
        check: What the quality gate's findings lead to: `warn` delivers and tells, `retry` shoots the scene anew,
            `stop` delivers nothing.
        engine: What makes posters and clips: `auto`, or an engine's name.
        clip_model: Base model of clips, such as `wan2.2-i2v-a14b`. Empty leaves it to the engine.
        fallback: When an engine fails: `never` lets the film fail, `smaller` tries a smaller model or picture,
            `placeholder` then draws. Empty takes CALLSHEET_FALLBACK.
        restore: What restores faces in generated clips: `off`, `auto`, or an engine's name.
        seed: The same seed makes the same film.
        gpu: Where pictures are made: `pool` is the GPU work pool, `endpoint` a RunPod endpoint, `here` this worker;
            `auto` is the pool where RunPod is configured, else here.
        manifest: Where actors are looked up.
    """
    words = {
        "id": id, "lora": lora, "prompt": prompt, "dialogue": dialogue, "seconds": str(seconds), "name": name,
        "description": description, "emotion": emotion, "angle": angle, "quality": quality,
        "orientation": orientation, "captions": captions, "music": music,
        "karaoke": "yes" if karaoke else "", "music_volume": str(music_volume) if music else "",
        "platform": platform, "check": check, "seed": str(seed), "engine": engine, "clip_model": clip_model,
        "fallback": fallback or "", "restore": restore,
    }
    known = _known(id, manifest)
    words |= {key: word for key, word in known.items() if not words.get(key)}
    words["title"] = f"{words['name'] or id}: {prompt}"[:200]
    production = produce(order_for({key: word for key, word in words.items() if word}, Path.cwd()), gpu)
    production_pages(production)                      # on the form's own run, where the person looks
    return production


def _known(actor_id: str, manifest: str) -> dict[str, str]:
    """What a manifest says of an actor whose LoRA is there; nothing for a stranger."""
    row = read_manifest(Path(manifest)).row(actor_id) if manifest else None
    if row is None or row.order is None:
        return {}
    actor = row.order.cast[0]
    return {"lora": actor.lora.path, "name": actor.name, "description": actor.description}
