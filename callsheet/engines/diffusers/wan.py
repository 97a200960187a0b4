"""Wan 2.2: clips from a picture or from words alone, between two pictures, or after another clip.

    pipe = load({"wan-5b": folder}, torch.bfloat16, base_model("wan2.2-ti2v-5b"))
    frames(pipe, job, tell)       exactly job.frames of job.width x job.height

TI2V-5B starts from a picture or from words, and is the one that follows another clip. I2V-A14B has two experts, always
starts from a picture, and takes a last one. Whatever the loaded model cannot do is refused before it works. How it is
held in memory is loading.py's matter, which LoRAs it gets is stack.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers.canvas import Canvas, Frames, eight_bits, kept
from callsheet.engines.diffusers.steps import after_step, quiet, solved
from callsheet.engines.diffusers.work import Job, Tell
from callsheet.errors import EngineUnable

if TYPE_CHECKING:
    import torch

_WHAT = "a clip"
TOKENS = 512
"""Of a prompt that the text encoder reads."""
UNTILED = 1280 * 736
"""Pixels of a frame up to which the VAE sees it whole. Only the size decides: tiles show in the picture."""


def load(folders: Mapping[str, Path], dtype: torch.dtype, model: BaseModel) -> Any:
    """The pipeline of one of the two models, on the processor. Its VAE calculates in float32, as it was trained."""
    import torch
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

    folder = folders[model.weights[0]]
    local = {"use_safetensors": True, "local_files_only": True}
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", dtype=torch.float32, **local)
    pipe = WanImageToVideoPipeline.from_pretrained(folder, vae=vae, dtype=dtype, **local)
    return quiet(pipe)


def load_lora(pipe: Any, lora: Any, **how: Any) -> None:
    """As the pipeline's load_lora_weights, into all experts that there are: each makes a part of the steps."""
    for second in (False, True)[:1 + (pipe.transformer_2 is not None)]:
        pipe.load_lora_weights(lora, load_into_transformer_2=second, **how)


def frames(pipe: Any, job: Job, tell: Tell) -> Frames:
    """A clip of exactly job.frames. With `goes_on` they follow upon `first`, which is not among them.

    Raises EngineUnable for what this model cannot do, EngineError for a picture of NaN.
    """
    _require_possible(pipe, job)
    canvas = Canvas.of(job, _multiple(pipe))
    skip = int(job.goes_on and job.first is not None)
    count = _countable(job.frames + skip, pipe.vae_scale_factor_temporal)
    pipe.vae.use_tiling = canvas.wide * canvas.high > UNTILED
    with solved(pipe, job, flows=True):
        made = _made(pipe, job, canvas, count, tell)
    chosen = kept(len(made), job.frames, skip, ends=job.last is not None)
    return canvas.cut(eight_bits((made[n] for n in chosen), _WHAT))


def _made(pipe: Any, job: Job, canvas: Canvas, count: int, tell: Tell) -> Any:
    if job.video:
        return _after_clip(pipe, job, canvas, count, tell)
    more = {**_words(pipe, job), "num_frames": count}
    if job.first is None:
        return _call(_by_words(pipe), job, canvas, tell, **more)
    if job.last is not None:
        more["last_image"] = canvas.place(job.last)
    return _call(pipe, job, canvas, tell, image=canvas.place(job.first), **more)


def warnings(pipe: Any, job: Job) -> tuple[str, ...]:
    """What the result does not show of what was asked."""
    length = len(pipe.tokenizer(job.prompt).input_ids)
    return (f"the prompt is {length} tokens long, Wan reads the first {TOKENS}",) if length > TOKENS else ()


def _require_possible(pipe: Any, job: Job) -> None:
    from_words = pipe.transformer.config.in_channels == pipe.vae.config.z_dim
    for wrong, detail, remedy in (
        (
            job.control, "Wan follows no control pictures",
            "use the SD 1.5 family's clips for that",
        ),
        (
            job.video and not from_words, "this Wan model only starts from a picture, and follows no other clip",
            "choose wan2.2-ti2v-5b",
        ),
        (
            job.video and (job.first is not None or job.last is not None),
            "a clip that follows another one takes no first or last picture", "give the clip, or the pictures",
        ),
        (
            job.video and len(job.video) < job.frames,
            f"the clip it is to follow has {len(job.video)} frames, {job.frames} are asked", "ask for no more frames",
        ),
        (
            not job.video and job.first is None and not from_words,
            "this Wan model starts from a picture, and there is none",
            "let the order make posters, or choose wan2.2-ti2v-5b",
        ),
        (
            job.last is not None and job.first is None, "it has a last picture but no first one",
            "give both pictures",
        ),
        (
            job.last is not None and pipe.config.expand_timesteps, "this Wan model takes no last picture",
            "choose wan2.2-i2v-a14b",
        ),
    ):
        if wrong:
            raise EngineUnable(engine="diffusers", what=_WHAT, detail=detail, remedy=remedy)


def _multiple(pipe: Any) -> int:
    return int(pipe.vae_scale_factor_spatial * pipe.transformer.config.patch_size[1])


def _countable(frames: int, temporal: int) -> int:
    """The next number of frames that the VAE can make: one, and then `temporal` at a time."""
    return -(-(frames - 1) // temporal) * temporal + 1


def _by_words(pipe: Any) -> Any:
    from diffusers import WanPipeline

    return quiet(WanPipeline(
        tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, vae=pipe.vae, scheduler=pipe.scheduler,
        transformer=pipe.transformer, transformer_2=pipe.transformer_2, boundary_ratio=pipe.config.boundary_ratio,
        expand_timesteps=pipe.config.expand_timesteps,
    ))


def _words(pipe: Any, job: Job) -> dict[str, Any]:
    """The prompts as the text encoder sees them. Always by the pipeline for words: the others need a further library
    to clean them, and one prompt is to mean the same to all.
    """
    told, avoided = _by_words(pipe).encode_prompt(
        job.prompt, job.negative, do_classifier_free_guidance=job.guidance > 1, max_sequence_length=TOKENS
    )
    return {"prompt_embeds": told, "negative_prompt_embeds": avoided}


def _after_clip(pipe: Any, job: Job, canvas: Canvas, count: int, tell: Tell) -> Any:
    """Frames made after those of another clip. A freedom of less than one step leaves them as they are."""
    from diffusers import WanVideoToVideoPipeline

    shown = [canvas.place(picture) for picture in job.video[:count]]
    if int(job.steps * job.freedom) < 1:
        return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in shown])
    shown += [shown[-1]] * (count - len(shown))       # the VAE's count; what is too much is cut off again
    follower = quiet(WanVideoToVideoPipeline(
        tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, transformer=pipe.transformer, vae=pipe.vae,
        scheduler=pipe.scheduler,
    ))
    # It takes the factors from the number of the VAE's blocks, which for the 5B's VAE leaves out its patches.
    follower.vae_scale_factor_spatial = pipe.vae_scale_factor_spatial
    follower.vae_scale_factor_temporal = pipe.vae_scale_factor_temporal
    follower.video_processor = pipe.video_processor
    return _call(follower, job, canvas, tell, video=shown, strength=job.freedom, **_words(pipe, job))


def _call(pipe: Any, job: Job, canvas: Canvas, tell: Tell, **more: Any) -> Any:
    return pipe(
        height=canvas.high, width=canvas.wide, num_inference_steps=job.steps, guidance_scale=job.guidance,
        generator=job.generator(), output_type="np", callback_on_step_end=after_step(tell), **more,
    ).frames[0]
