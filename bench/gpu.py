"""What a GPU needs for our pictures and clips: seconds and peak memory, rung by rung, against plain eager diffusers.

    python bench/gpu.py --out gpu.json                       # everything
    python bench/gpu.py --only flux,actors --box 60          # a part; seconds of timed runs a rung
    python bench/gpu.py --tiny --device cpu                  # the same code on tiny models: proves the script

Every model has its real configuration and random weights, written here: nothing is downloaded. A call goes from token
ids to pixels: text encoders, all steps, decoding. The first, short call of a rung is not timed (it compiles). A figure
is the median of the calls that fit the rung's box; where not even one does, fewer steps are run and the rest is
reckoned from their mean: such figures carry a ~. Each rung builds its pipeline anew, so that peaks are its own. A rung
that fails, has no memory or no time is listed with the reason.
Not covered: what pictures look like (random weights), tokenizers, reading weights from a disk, saving.
Needs torch, diffusers, transformers and peft; nothing of callsheet.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import signal
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image

Pipe = Any
Config = Mapping[str, Any]
Call = Callable[[Pipe, int, int, Callable[..., Any]], torch.Tensor]
"""(pipe, steps, how many at once, what to call after each step) -> pixels."""

GIB = 1 << 30
RANK = 16
"""Of the random LoRAs."""

_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "force_upcast": False,
}
_T5 = {
    "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
}
_WAN_VAE = {
    "in_channels": 12, "out_channels": 12, "patch_size": 2, "is_residual": True,
    "temperal_downsample": [False, True, True], "scale_factor_temporal": 4, "scale_factor_spatial": 16,
}

FULL: Mapping[str, dict[str, Any]] = {
    "clip-l": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
               "projection_dim": 768, "vocab_size": 49408},
    "clip-g": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
               "projection_dim": 1280, "vocab_size": 49408, "hidden_act": "gelu"},
    "t5": _T5,
    "umt5": _T5 | {"vocab_size": 256384},
    "flux": {"in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
             "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
             "guidance_embeds": True, "axes_dims_rope": (16, 56, 56)},
    "flux-vae": _VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False,
                        "scaling_factor": 0.3611, "shift_factor": 0.1159, "sample_size": 1024},
    "sd-vae": _VAE,
    "sdxl": {"sample_size": 128, "block_out_channels": (320, 640, 1280), "layers_per_block": 2,
             "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
             "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
             "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20), "cross_attention_dim": 2048,
             "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
             "projection_class_embeddings_input_dim": 2816},
    "motion": {"block_out_channels": (320, 640, 1280), "motion_layers_per_block": 2, "motion_num_attention_heads": 8,
               "motion_max_seq_length": 32, "use_motion_mid_block": False},
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "wan": {"in_channels": 48, "out_channels": 48, "num_layers": 30, "num_attention_heads": 24,
            "attention_head_dim": 128, "ffn_dim": 14336, "text_dim": 4096, "patch_size": (1, 2, 2)},
    "wan-vae": _WAN_VAE | {"base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "latents_mean": [0.0] * 48,
                           "latents_std": [1.0] * 48},
}
"""FLUX.1 [dev], Stable Diffusion XL 1.0 with the beta motion adapter, Stable Diffusion 1.5, Wan 2.2 TI2V 5B."""

_SMALL_CLIP = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4,
               "projection_dim": 32, "vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 2}
_SMALL_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4, "vocab_size": 1000,
             "feed_forward_proj": "gated-gelu"}
_SMALL_VAE = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}

TINY: Mapping[str, dict[str, Any]] = {
    "clip-l": _SMALL_CLIP, "clip-g": _SMALL_CLIP, "t5": _SMALL_T5, "umt5": _SMALL_T5,
    "flux": {"in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 16,
             "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32,
             "guidance_embeds": True, "axes_dims_rope": (4, 4, 8)},
    "flux-vae": FULL["flux-vae"] | _SMALL_VAE | {"latent_channels": 4},
    "sd-vae": _VAE | _SMALL_VAE,
    "sdxl": FULL["sdxl"] | {"sample_size": 8, "block_out_channels": (8, 16, 16), "layers_per_block": 1,
                            "transformer_layers_per_block": 1, "attention_head_dim": 2, "cross_attention_dim": 64,
                            "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 80,
                            "norm_num_groups": 4},
    "motion": FULL["motion"] | {"block_out_channels": (8, 16, 16), "motion_layers_per_block": 1,
                                "motion_num_attention_heads": 2, "motion_norm_num_groups": 4},
    "sd15": {"sample_size": 8, "cross_attention_dim": 32, "attention_head_dim": 2, "layers_per_block": 1,
             "block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4},
    "wan": FULL["wan"] | {"num_layers": 10, "num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32,
                          "text_dim": 32},
    "wan-vae": _WAN_VAE | {"base_dim": 4, "decoder_base_dim": 4, "z_dim": 48, "num_res_blocks": 1,
                           "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48},
}
"""The same networks for a CPU: they prove the script."""


@dataclass(frozen=True)
class Bench:
    """Where and how large."""

    device: str
    tiny: bool
    box: float
    """Seconds of timed calls a rung."""
    limit: float
    """Seconds after which a rung is given up, building and compiling included."""
    repeat: int
    deadline: float = float("inf")
    """Of time.monotonic(): no rung begins later."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.device == "cpu" else torch.bfloat16

    def sized(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full

    def made(self, cls: Any, config: str) -> Any:
        """A network with random weights, in its own default initialisation, where it will run."""
        values = (TINY if self.tiny else FULL)[config]
        kept = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with torch.device(self.device):
                if cls.__module__.startswith("transformers"):
                    return cls(cls.config_class(**values)).to(self.dtype).eval()
                return cls(**values).to(self.dtype).eval()
        finally:
            torch.set_default_dtype(kept)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def peak_gib(self) -> float | None:
        return torch.cuda.max_memory_allocated() / GIB if self.device == "cuda" else None

    def free(self) -> None:
        """Begin anew: nothing compiled, nothing held, the same random weights again."""
        torch._dynamo.reset()
        torch.manual_seed(0)
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


@dataclass(frozen=True)
class Rung:
    """One way to run a workload."""

    name: str
    prepare: Callable[[Pipe], None] = lambda pipe: None
    batch: int = 1
    least_steps: int = 2
    """Fewer would not tell, where steps differ from each other."""
    attention: str = ""
    """The backend; empty: the library's own choice."""


@dataclass(frozen=True)
class Ladder:
    """A workload and the ways to run it; the first is what the others are compared with."""

    key: str
    title: str
    unit: str
    steps: int
    build: Callable[[], Pipe]
    call: Call
    rungs: tuple[Rung, ...]


@dataclass
class Row:
    """A line of a table."""

    ladder: str
    rung: str
    unit: str
    seconds: float | None = None
    """Of one unit, median."""
    reckoned: bool = False
    """Whether some of the steps were reckoned."""
    runs: list[float] = field(default_factory=list)
    """Seconds of each timed call."""
    steps: int = 0
    steps_run: int = 0
    step_ms: float | None = None
    """Mean, of one unit."""
    warm_seconds: float | None = None
    """Of the first short call, compiling included."""
    peak_gib: float | None = None
    ratio: float | None = None
    """Of the ladder's first rung's seconds."""
    note: str = ""
    skipped: str = ""


# Workloads: token ids in, pixels out.

def _ids(model: Any, batch: int, length: int, seed: int = 0) -> torch.Tensor:
    ids = torch.randint(3, model.config.vocab_size - 1, (batch, length), generator=torch.Generator().manual_seed(seed))
    ids[:, -1] = model.config.eos_token_id
    return ids.to(model.device)


def _noise(batch: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(each) for each in range(batch)]


def build_flux(bench: Bench) -> Pipe:
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=bench.made(diffusers.AutoencoderKL, "flux-vae"), tokenizer=None, tokenizer_2=None,
        text_encoder=bench.made(transformers.CLIPTextModel, "clip-l"),
        text_encoder_2=bench.made(transformers.T5EncoderModel, "t5"),
        transformer=bench.made(diffusers.FluxTransformer2DModel, "flux"),
    )


def flux(px: int) -> Call:
    def call(pipe: Pipe, steps: int, batch: int, tell: Callable[..., Any]) -> torch.Tensor:
        pooled = pipe.text_encoder(_ids(pipe.text_encoder, batch, 77)).pooler_output
        words = pipe.text_encoder_2(_ids(pipe.text_encoder_2, batch, 512))[0]
        return pipe(prompt_embeds=words, pooled_prompt_embeds=pooled, width=px, height=px, num_inference_steps=steps,
                    guidance_scale=6.5, generator=_noise(batch), output_type="pt", callback_on_step_end=tell).images
    return call


def _sdxl_words(pipe: Pipe, batch: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = pipe.text_encoder(_ids(pipe.text_encoder, batch, 77, seed), output_hidden_states=True)
    second = pipe.text_encoder_2(_ids(pipe.text_encoder_2, batch, 77, seed), output_hidden_states=True)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second[0]


def _sdxl_parts(bench: Bench) -> dict[str, Any]:
    return {
        "vae": bench.made(diffusers.AutoencoderKL, "sd-vae"), "tokenizer": None, "tokenizer_2": None,
        "text_encoder": bench.made(transformers.CLIPTextModel, "clip-l"),
        "text_encoder_2": bench.made(transformers.CLIPTextModelWithProjection, "clip-g"),
        "unet": bench.made(diffusers.UNet2DConditionModel, "sdxl"),
    }


def build_animatediff(bench: Bench) -> Pipe:
    parts = _sdxl_parts(bench) | {"motion_adapter": bench.made(diffusers.MotionAdapter, "motion")}
    with torch.device(bench.device):
        pipe = diffusers.AnimateDiffSDXLPipeline(
            **parts, scheduler=diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False, steps_offset=1)
        )
    return pipe.to(bench.device, bench.dtype)


def animatediff(px: int, frames: int) -> Call:
    def call(pipe: Pipe, steps: int, batch: int, tell: Callable[..., Any]) -> torch.Tensor:
        words, pooled = _sdxl_words(pipe, batch, 0)
        no_words, no_pooled = _sdxl_words(pipe, batch, 1)
        return pipe(
            prompt_embeds=words, pooled_prompt_embeds=pooled, negative_prompt_embeds=no_words,
            negative_pooled_prompt_embeds=no_pooled, width=px, height=px, num_frames=frames, guidance_scale=12.0,
            num_inference_steps=steps, generator=_noise(batch), output_type="pt", callback_on_step_end=tell,
        ).frames
    return call


def build_sdxl(bench: Bench) -> Pipe:
    return diffusers.StableDiffusionXLPipeline(
        **_sdxl_parts(bench), scheduler=diffusers.EulerDiscreteScheduler(), add_watermarker=False)


def sdxl(px: int) -> Call:
    def call(pipe: Pipe, steps: int, batch: int, tell: Callable[..., Any]) -> torch.Tensor:
        words, pooled = _sdxl_words(pipe, batch, 0)
        no_words, no_pooled = _sdxl_words(pipe, batch, 1)
        return pipe(
            prompt_embeds=words, pooled_prompt_embeds=pooled, negative_prompt_embeds=no_words,
            negative_pooled_prompt_embeds=no_pooled, width=px, height=px, num_inference_steps=steps,
            guidance_scale=7.5, generator=_noise(batch), output_type="pt", callback_on_step_end=tell,
        ).images
    return call


def build_sd15(bench: Bench) -> Pipe:
    return diffusers.StableDiffusionPipeline(
        vae=bench.made(diffusers.AutoencoderKL, "sd-vae"), tokenizer=None,
        text_encoder=bench.made(transformers.CLIPTextModel, "clip-l"),
        unet=bench.made(diffusers.UNet2DConditionModel, "sd15"), scheduler=diffusers.EulerDiscreteScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sd15(px: int) -> Call:
    def call(pipe: Pipe, steps: int, batch: int, tell: Callable[..., Any]) -> torch.Tensor:
        words, no_words = (pipe.text_encoder(_ids(pipe.text_encoder, batch, 77, seed))[0] for seed in (0, 1))
        return pipe(prompt_embeds=words, negative_prompt_embeds=no_words, width=px, height=px, guidance_scale=7.5,
                    num_inference_steps=steps, generator=_noise(batch), output_type="pt",
                    callback_on_step_end=tell).images
    return call


def build_wan(bench: Bench) -> Pipe:
    return diffusers.WanImageToVideoPipeline(
        tokenizer=None, text_encoder=bench.made(transformers.UMT5EncoderModel, "umt5"),
        vae=bench.made(diffusers.AutoencoderKLWan, "wan-vae"),
        transformer=bench.made(diffusers.WanTransformer3DModel, "wan"), expand_timesteps=True,
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
    )


def wan(width: int, height: int, frames: int) -> Call:
    picture = Image.effect_noise((width, height), 64).convert("RGB")

    def call(pipe: Pipe, steps: int, batch: int, tell: Callable[..., Any]) -> torch.Tensor:
        words, no_words = (pipe.text_encoder(_ids(pipe.text_encoder, batch, 512, seed))[0] for seed in (0, 1))
        return pipe(image=picture, prompt_embeds=words, negative_prompt_embeds=no_words, width=width, height=height,
                    num_frames=frames, num_inference_steps=steps, guidance_scale=5.0, generator=_noise(batch),
                    output_type="pt", callback_on_step_end=tell).frames
    return call


# What a rung changes.

def _network(pipe: Pipe) -> Any:
    return getattr(pipe, "transformer", None) or pipe.unet


def compiled(pipe: Pipe) -> None:
    """The repeated blocks alone: a whole network takes minutes to compile."""
    network = _network(pipe)
    if getattr(network, "_repeated_blocks", None):
        network.compile_repeated_blocks(fullgraph=True, dynamic=False)
    else:
        raise RuntimeError(f"{type(network).__name__} names no repeated blocks")


def unet_blocks_compiled(pipe: Pipe) -> None:
    """UNetMotionModel names no repeated blocks: those with the attention are most of its work."""
    pipe.unet.to(memory_format=torch.channels_last)
    for module in pipe.unet.modules():
        if type(module).__name__ == "BasicTransformerBlock":
            module.compile(dynamic=False)


def unet_compiled(pipe: Pipe) -> None:
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.unet.compile(dynamic=False)


def channels_last(pipe: Pipe) -> None:
    pipe.unet.to(memory_format=torch.channels_last)


def fp8_stored(pipe: Pipe) -> None:
    """Weights are kept in fp8 and cast up where they are used: memory, not speed."""
    network = _network(pipe)
    network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=network.dtype)


def in_slices(pipe: Pipe) -> None:
    """Frames are decoded one by one, as our engine does."""
    pipe.vae.enable_slicing()


def random_lora(network: Any, prefix: str, seed: int) -> dict[str, torch.Tensor]:
    """Over the attention of all blocks but those of motion, as character LoRAs are."""
    noise = torch.Generator().manual_seed(seed)
    found: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        if not isinstance(module, torch.nn.Linear) or "motion_modules" in name:
            continue
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            rows, columns = module.weight.shape
            found[f"{prefix}.{name}.lora_A.weight"] = torch.randn(RANK, columns, generator=noise) * 0.05
            found[f"{prefix}.{name}.lora_B.weight"] = torch.randn(rows, RANK, generator=noise) * 0.05
    return found


def loras(count: int, then: Callable[[Pipe], None] = lambda pipe: None) -> Callable[[Pipe], None]:
    def prepare(pipe: Pipe) -> None:
        network, prefix = _network(pipe), "transformer" if hasattr(pipe, "transformer") else "unet"
        states = [random_lora(network, prefix, seed) for seed in range(count)]  # peft renames the layers: all first
        for seed, state in enumerate(states):
            pipe.load_lora_weights(state, adapter_name=f"lora{seed}")
        pipe.set_adapters([f"lora{seed}" for seed in range(count)], [1 / count] * count)
        then(pipe)
    return prepare


def mag_cache(steps: int, compile_too: bool) -> Callable[[Pipe], None]:
    """After the first fifth of the steps every other one is taken from the cache. A checkpoint's own schedule comes of
    calibrating on it, which random weights cannot: this one is a careful stand-in."""
    def prepare(pipe: Pipe) -> None:
        if compile_too:  # before the cache's hooks go around the blocks: they are not for the compiler
            for block in pipe.transformer.blocks:
                block.forward = torch.compile(block.forward, dynamic=False)
        pipe.transformer.enable_cache(diffusers.MagCacheConfig(
            threshold=1.0, max_skip_steps=1, retention_ratio=0.2, num_inference_steps=steps,
            mag_ratios=torch.ones(steps)))
    return prepare


# Measuring.

class Ticks:
    """When each step ended, on the device's own clock."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.marks: list[Any] = []

    def __call__(self, pipe: Pipe, step: int, at: Any, held: dict[str, Any]) -> dict[str, Any]:
        if self.bench.device == "cuda":
            mark = torch.cuda.Event(enable_timing=True)
            mark.record()
            self.marks.append(mark)
        else:
            self.marks.append(time.perf_counter())
        return {}

    def steps(self) -> list[float]:
        """Seconds between one and the next; the first step has no beginning."""
        pairs = zip(self.marks, self.marks[1:], strict=False)
        if self.bench.device == "cuda":
            return [start.elapsed_time(end) / 1000 for start, end in pairs]
        return [end - start for start, end in pairs]


@torch.inference_mode()
def timed(bench: Bench, call: Call, pipe: Pipe, steps: int, batch: int) -> tuple[float, list[float], torch.Tensor]:
    """Seconds of the call, those of its steps, the pixels."""
    ticks = Ticks(bench)
    bench.wait()
    start = time.perf_counter()
    pixels = call(pipe, steps, batch, ticks)
    bench.wait()
    return time.perf_counter() - start, ticks.steps(), pixels


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def give_up(signum: int, frame: Any) -> None:
        raise TimeoutError(f"given up after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def guarded(bench: Bench, row: Row, work: Callable[[], None]) -> Row:
    """A rung that cannot run is a line with its reason, never the end of the bench."""
    left = bench.deadline - time.monotonic()
    if left <= 0:
        row.skipped = "no time left"
        return row
    try:
        with limited(min(bench.limit, left)):
            work()
    except torch.OutOfMemoryError:
        row.skipped = f"out of memory: it holds {bench.peak_gib() or 0:.1f} GiB and wants more"
    except Exception as error:  # whatever a library or card lacks is what this table is to tell
        row.skipped = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error) else ''}"
    row.peak_gib = bench.peak_gib()
    return row


def climb(bench: Bench, ladder: Ladder, rung: Rung, row: Row) -> None:
    bench.free()
    pipe = ladder.build()
    pipe.set_progress_bar_config(disable=True)
    try:
        if rung.attention:
            _network(pipe).set_attention_backend(rung.attention)
        rung.prepare(pipe)
        measure(bench, ladder, rung, row, pipe)
    finally:
        if rung.attention:  # the library keeps the choice for every network that comes after
            _network(pipe).reset_attention_backend()


def measure(bench: Bench, ladder: Ladder, rung: Rung, row: Row, pipe: Pipe) -> None:
    row.warm_seconds, warm, _ = timed(bench, ladder.call, pipe, min(4, ladder.steps), rung.batch)
    row.warm_seconds, guess = round(row.warm_seconds, 2), min(warm)
    row.steps = row.steps_run = ladder.steps
    if guess * ladder.steps > bench.box:
        row.steps_run = min(ladder.steps, max(rung.least_steps, int(bench.box / guess)))
        row.reckoned = row.steps_run < ladder.steps
    means: list[float] = []
    start = time.perf_counter()
    while len(row.runs) < bench.repeat:
        seconds, steps, pixels = timed(bench, ladder.call, pipe, row.steps_run, rung.batch)
        means.append(statistics.mean(steps))
        row.runs.append(round(seconds + (ladder.steps - row.steps_run) * means[-1], 4))
        if not bool(torch.isfinite(pixels).all()):
            row.note = "pixels are not all finite"
        del pixels
        if time.perf_counter() - start + seconds > bench.box:
            break
    row.seconds = statistics.median(row.runs) / rung.batch
    row.step_ms = 1000 * statistics.median(means) / rung.batch


def ladders(bench: Bench) -> tuple[Ladder, ...]:
    px, small = bench.sized(1024, 64), bench.sized(512, 64)
    flux_steps, clip_steps, frame_steps = bench.sized(22, 3), bench.sized(50, 3), bench.sized(25, 3)
    wan_steps = bench.sized(50, 10)
    short, claimed = bench.sized(16, 4), bench.sized(32, 4)
    wide, high, long = bench.sized(1280, 32), bench.sized(704, 32), bench.sized(121, 5)
    eager = Rung("eager diffusers")
    return (
        Ladder("flux", f"FLUX.1 [dev], {px}x{px}, {flux_steps} steps", "picture", flux_steps,
               lambda: build_flux(bench), flux(px), (
            eager,
            Rung("eager, two LoRAs", loras(2)),
            Rung("blocks compiled", compiled),
            Rung("blocks compiled, two LoRAs", loras(2, compiled)),
            Rung("blocks compiled, attention by cuDNN", compiled, attention="_native_cudnn"),
            Rung("blocks compiled, attention by flash", compiled, attention="_native_flash"),
            Rung("weights stored in fp8, eager", fp8_stored),
            Rung("eager, 4 at once", batch=4),
            Rung("blocks compiled, 4 at once", compiled, batch=4),
            Rung("blocks compiled, 8 at once", compiled, batch=8),
        )),
        Ladder("animatediff", f"AnimateDiff SDXL, {px}x{px}, {short} frames, {clip_steps} steps", "clip", clip_steps,
               lambda: build_animatediff(bench), animatediff(px, short), (
            eager,
            Rung("frames decoded in slices", in_slices),
            Rung("channels_last", channels_last),
            Rung("channels_last, attention blocks compiled", unet_blocks_compiled),
            Rung("channels_last, whole UNet compiled", unet_compiled),
            Rung("channels_last, attention blocks compiled, 2 at once", unet_blocks_compiled, batch=2),
        )),
        Ladder("wan", f"Wan 2.2 TI2V 5B, {wide}x{high}, {long} frames from a picture, {wan_steps} steps", "clip",
               wan_steps, lambda: build_wan(bench), wan(wide, high, long), (
            eager,
            Rung("blocks compiled", compiled),
            Rung("blocks compiled, attention by cuDNN", compiled, attention="_native_cudnn"),
            Rung("MagCache, eager", mag_cache(wan_steps, False), least_steps=wan_steps),
            Rung("MagCache, blocks compiled", mag_cache(wan_steps, True), least_steps=wan_steps),
        )),
        Ladder("claim-002", f"AnimateDiff SDXL, {px}x{px}, {claimed} frames, {clip_steps} steps (claim C.2)", "clip",
               clip_steps, lambda: build_animatediff(bench), animatediff(px, claimed), (
            Rung("one character, decoded in slices", loras(1, in_slices)),
            Rung("two characters, decoded in slices", loras(2, in_slices)),
        )),
        Ladder("claim-004-sdxl", f"Stable Diffusion XL, {px}x{px}, {frame_steps} steps (claim C.4)", "picture",
               frame_steps, lambda: build_sdxl(bench), sdxl(px), (eager, Rung("blocks compiled", compiled))),
        Ladder("claim-004-sd15", f"Stable Diffusion 1.5, {small}x{small}, {frame_steps} steps (claim C.4)", "picture",
               frame_steps, lambda: build_sd15(bench), sd15(small), (eager, Rung("blocks compiled", compiled))),
    )


# Ten actors through one warm pipeline.

def actors(bench: Bench, ways: str, keep: Callable[[Row], None]) -> None:
    """Seconds of one actor (the change of LoRA and a picture), and whether all ways give the same pixels."""
    px, steps, count = bench.sized(1024, 64), bench.sized(22, 3), bench.sized(10, 3)
    title = f"{count} actors, one FLUX picture each, {px}x{px}, {steps} steps, LoRAs of rank {RANK}"
    last: dict[str, torch.Tensor] = {}
    first: float | None = None
    for name, swap, fast in (("LoRA unloaded and loaded, eager", False, False), ("hot-swap, eager", True, False),
                             ("LoRA unloaded and loaded, blocks compiled", False, True),
                             ("hot-swap, blocks compiled", True, True)):
        if ways not in name:
            continue
        row = Row(title, name, "actor", steps=steps, steps_run=steps)

        def work(row: Row = row, swap: bool = swap, fast: bool = fast) -> None:
            changes, pixels = queue(bench, row, flux(px), steps, count, swap, fast)
            row.note = f"a change of actor takes {1000 * statistics.median(changes[1:]):.0f} ms"
            same = last.setdefault("compiled" if fast else "eager", pixels)
            if same is not pixels:
                row.note += "; pixels as with unload and load: " + ("yes" if torch.equal(same, pixels) else "no")

        guarded(bench, row, work)
        first = row.seconds if first is None else first
        row.ratio = row.seconds / first if row.seconds and first else None
        keep(row)


def queue(bench: Bench, row: Row, call: Call, steps: int, count: int, swap: bool,
          fast: bool) -> tuple[list[float], torch.Tensor]:
    """Seconds of each change of LoRA, and the last actor's pixels."""
    bench.free()
    pipe = build_flux(bench)
    pipe.set_progress_bar_config(disable=True)
    states = [random_lora(pipe.transformer, "transformer", seed) for seed in range(count)]
    if swap:
        pipe.enable_lora_hotswap(target_rank=RANK)
    changes: list[float] = []
    for number, state in enumerate(states):
        bench.wait()
        start = time.perf_counter()
        if number and not swap:
            pipe.unload_lora_weights()
        pipe.load_lora_weights(dict(state), adapter_name="character", **({"hotswap": True} if number and swap else {}))
        bench.wait()
        changes.append(time.perf_counter() - start)
        if fast and not number:
            compiled(pipe)
        seconds, _, pixels = timed(bench, call, pipe, steps, 1)
        row.runs.append(round(changes[-1] + seconds, 4))
    row.warm_seconds = row.runs[0]
    row.seconds = statistics.median(row.runs[1:])  # the first compiles
    return changes, pixels


# Telling.

def about(bench: Bench) -> dict[str, str]:
    """Of machine and libraries."""
    facts = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__,
             "diffusers": diffusers.__version__, "transformers": transformers.__version__,
             "models": "tiny" if bench.tiny else "full size", "precision": str(bench.dtype).removeprefix("torch.")}
    if bench.device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts |= {"card": card.name, "memory": f"{card.total_memory / GIB:.0f} GiB", "cuda": str(torch.version.cuda)}
    else:
        facts |= {"card": "none (CPU)"}
    return facts


def _figure(value: float | None, digits: int, prefix: str = "") -> str:
    return "" if value is None else f"{prefix}{value:.{digits}f}"


def table(rows: list[Row]) -> str:
    """Of one ladder, as Markdown."""
    lines = [f"{rows[0].ladder}:", "",
             f"| way | seconds per {rows[0].unit} | of the first | ms a step | peak GiB | calls | remarks |",
             "|---|---|---|---|---|---|---|"]
    for row in rows:
        remarks = f"skipped: {row.skipped}" if row.skipped else row.note
        if row.reckoned and not row.skipped:
            remarks = "; ".join(filter(None, (f"{row.steps_run} of {row.steps} steps run", remarks)))
        lines.append("| " + " | ".join((
            row.rung, _figure(row.seconds, 3, "~" if row.reckoned else ""), _figure(row.ratio, 2),
            _figure(row.step_ms, 1), _figure(row.peak_gib, 1), str(len(row.runs) or ""), remarks)) + " |")
    return "\n".join(lines)


def bench_all(bench: Bench, only: frozenset[str], ways: str, out: Path | None) -> list[Row]:
    rows: list[Row] = []

    def keep(row: Row) -> None:
        rows.append(row)
        told = f"skipped: {row.skipped}" if row.skipped else f"{row.seconds:.3f} s per {row.unit}"
        print(f"- {row.ladder}: {row.rung}: {told}", flush=True)
        if out is not None:  # after each rung: a bench that is cut off keeps what it has
            out.write_text(json.dumps({"about": about(bench), "rows": [asdict(each) for each in rows]}, indent=1))

    for ladder in ladders(bench):
        first: float | None = None
        for rung in ladder.rungs if not only or ladder.key in only else ():
            if rung is not ladder.rungs[0] and ways not in rung.name:
                continue
            row = Row(ladder.title, rung.name, ladder.unit)
            guarded(bench, row, lambda ladder=ladder, rung=rung, row=row: climb(bench, ladder, rung, row))
            if rung is ladder.rungs[0]:
                first = row.seconds
            row.ratio = row.seconds / first if row.seconds and first else None
            keep(row)
        if ladder.key == "flux" and (not only or "actors" in only):
            actors(bench, ways, keep)
    bench.free()
    return rows


def markdown(bench: Bench, rows: list[Row]) -> str:
    head = ", ".join(f"{name} {value}" for name, value in about(bench).items())
    titles = dict.fromkeys(row.ladder for row in rows)
    tables = [table([row for row in rows if row.ladder == title]) for title in titles]
    return "\n\n".join([f"Measured on: {head}.", *tables])


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description="Seconds and GPU memory of our models, with random weights.")
    parser.add_argument("--out", type=Path, help="a JSON file, written after each rung")
    parser.add_argument("--only", default="",
                        help="of flux,actors,animatediff,wan,claim-002,claim-004-sdxl,claim-004-sd15")
    parser.add_argument("--ways", default="", help="a part of the names of the ways to run, beside each ladder's first")
    parser.add_argument("--tiny", action="store_true", help="tiny models")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--repeat", type=int, default=5, help="timed calls a rung, at most")
    parser.add_argument("--box", type=float, default=90.0, help="seconds of timed calls a rung, about")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds a rung may take with all it needs")
    parser.add_argument("--total", type=float, default=0.0, help="seconds after which no rung begins; 0: no end")
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here: choose --device cpu --tiny, or run it on a machine with one")
    bench = Bench(asked.device, asked.tiny, asked.box, asked.limit, asked.repeat,
                  time.monotonic() + asked.total if asked.total else float("inf"))
    torch._dynamo.config.recompile_limit = 64  # blocks of several widths share one function
    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = bench_all(bench, frozenset(filter(None, asked.only.split(","))), asked.ways, asked.out)
    print("\n" + markdown(bench, rows))
    return rows


if __name__ == "__main__":
    main()
