"""Dia and its codec, loaded: words and a seed in, sound out.

Covers reading the weights, the one warm model of a process, and one generation. What is said, in which voice and how
often it is tried is dia.py's matter. Imports torch and transformers only when something is loaded or spoken.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import EngineUnable, OutOfMemory

RATE = 44100
"""Hz, of everything that Dia hears and says."""

TOKENS_PER_S = 86
"""Of sound: the codec makes 512 samples of one."""

MAX_TOKENS = 4096
GUIDANCE = 5.0
TEMPERATURE = 1.4
TOP_P = 0.9
TOP_K = 45

VOICES = 64
"""Samples that are kept, of 1 MB each: a process may speak for thousands of actors."""

TELL_EVERY = 8
"""Tokens."""

Signal = NDArray[np.float32]
"""Mono, from -1 to 1, RATE samples a second."""

Tell = Callable[[int], None]
"""Called with the tokens that are made so far, at most TELL_EVERY apart. What it raises ends the work."""


@dataclass(frozen=True)
class Sample:
    """How a voice sounds, and the words that are heard in it."""

    signal: Signal
    words: str


class Model:
    """Dia on a device. Not for two threads at once: take it from `loaded`."""

    def __init__(self, network: Any, processor: Any, device: str) -> None:
        self._network, self._processor, self._device = network, processor, device
        self._voices: dict[int, Sample] = {}

    def kept(self, seed: int) -> Sample | None:
        """The sample that was made from a seed, while it is kept."""
        return self._voices.get(seed)

    def keep(self, seed: int, voice: Sample) -> None:
        """Keep it for whoever wants it again, in place of the oldest where there are many."""
        while len(self._voices) >= VOICES:
            del self._voices[next(iter(self._voices))]
        self._voices[seed] = voice

    def say(self, text: str, seed: int, limit: int, tell: Tell, after: Sample | None = None) -> Signal | None:
        """The sound of `text`, which begins with [S1]; None where it found no end within `limit` tokens.

        The same text, seed and sample give the same sound on the same kind of device. `after`: whose voice it is; the
        text then holds the sample's words too, and only what comes after them is returned. Raises OutOfMemory.
        """
        import torch

        sound: Sequence[Any] | None = [after.signal] if after else None
        inputs = self._processor(text=[text], audio=sound, padding="longest", return_tensors="pt").to(self._device)
        delay = max(self._network.config.delay_pattern)
        start = inputs["decoder_attention_mask"].shape[1] - delay
        self._network.watch(torch.Generator("cpu").manual_seed(seed), tell)
        try:
            tokens = self._network.generate(
                **inputs, max_new_tokens=limit, do_sample=True, guidance_scale=GUIDANCE, temperature=TEMPERATURE,
                top_p=TOP_P, top_k=TOP_K,
            )
            ends = (tokens[0, :, 0] == self._network.config.decoder_config.eos_token_id).nonzero()
            end = int(ends[0]) if len(ends) else tokens.shape[1]
            if end >= start + limit - delay - 1:      # there the library ends what has not ended by itself
                return None
            if end - start < 2:
                return np.zeros(0, np.float32)
            made = self._processor.batch_decode(tokens, audio_prompt_len=start)[0]
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(engine="dia", what="a spoken line", detail=str(error).partition(".")[0]) from error
        return np.asarray(made.float().cpu().numpy(), np.float32)


_WARM: dict[tuple[Path, Path, str], Model] = {}
_LOCK = threading.RLock()


@contextmanager
def loaded(dia: Path, codec: Path, device: str, waiting: Callable[[str], None]) -> Iterator[Model]:
    """The warm model, for one thread at a time. Loads it on first use; another one takes its place.

    `waiting` is told why it takes time, every second while another line is spoken. What it raises ends the wait.
    Raises EngineUnable for weights that cannot be read whole, OutOfMemory where they do not fit.
    """
    key = (dia, codec, device)
    while not _LOCK.acquire(timeout=1.0):
        waiting("another line is spoken first")
    try:
        if key not in _WARM:
            waiting("loading Dia")
            free()
            _WARM[key] = _load(*key)
        yield _WARM[key]
    finally:
        _LOCK.release()


def free() -> None:
    """Let go of the warm model and its memory."""
    with _LOCK:
        if _WARM:
            import torch

            _WARM.clear()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def device_of(wanted: str) -> str:
    """torch's name of the device; empty where `auto` finds no GPU, or where the one that is wanted is not there."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else ""
    if wanted.startswith("cuda"):
        return wanted if cuda and int(wanted.partition(":")[2] or 0) < torch.cuda.device_count() else ""
    return wanted if wanted == "cpu" or mps else ""


def _load(dia: Path, codec: Path, device: str) -> Model:
    import torch
    from safetensors import SafetensorError
    from transformers import DacModel, DiaFeatureExtractor, DiaProcessor, DiaTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()                            # of files that are read: it would be drawn into ours
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    try:
        network = _whole(_speaker(), dia, dtype)
        processor = DiaProcessor(
            DiaFeatureExtractor.from_pretrained(dia, local_files_only=True),
            DiaTokenizer.from_pretrained(dia, local_files_only=True),
            _whole(DacModel, codec, torch.float32).to(device),
        )
        return Model(network.to(device), processor, device)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(engine="dia", what="speech", detail=str(error).partition(".")[0]) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        words = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise _broken(dia, words[0][:200]) from error


def _whole(kind: Any, folder: Path, dtype: Any) -> Any:
    """A network with all of its weights: the library fills what is missing with chance and only logs it."""
    network, report = kind.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    if lost := sorted(report["missing_keys"]):
        raise _broken(folder, f"{len(lost)} weights are missing, {lost[0]} first")
    return network.eval()


def _broken(folder: Path, why: str) -> EngineUnable:
    return EngineUnable(
        engine="dia", what="speech", detail=f"its weights in {folder} cannot be read: {why}",
        remedy="fetch them again: `callsheet models download dia dac`",
    )


def _speaker() -> Any:
    """Dia as a class of ours, whose draws are those of a generator and not of the process.

    The library draws from the global state of torch, which any thread may move.
    """
    import torch
    from transformers import DiaForConditionalGeneration

    class Speaker(DiaForConditionalGeneration):  # type: ignore[misc]    # untyped
        def watch(self, generator: torch.Generator, tell: Tell) -> None:
            self._generator, self._tell, self._made = generator, tell, 0

        def _get_logits_processor(self, *given: Any, **named: Any) -> Any:
            processors = super()._get_logits_processor(*given, **named)
            processors.append(self._draw)
            return processors

        def _draw(self, tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Scores that leave one choice each: the library's own draw then has nothing to decide."""
            if self._made % TELL_EVERY == 0:
                self._tell(self._made)
            self._made += 1
            shares = torch.softmax(scores.float().cpu(), dim=-1)
            drawn = torch.multinomial(shares, 1, generator=self._generator).to(scores.device)
            return torch.full_like(scores, float("-inf")).scatter(-1, drawn, 0.0)

    return Speaker
