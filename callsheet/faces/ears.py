"""What Whisper's encoder makes of voices: the sound around a moment, as a network hears it.

Covers voices of any length, in the pieces of 30 s that Whisper takes. Words are not recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import EngineUnable, OutOfMemory
from callsheet.faces.loudness import RATE, samples_of
from callsheet.recipes import PlacedVoice
from callsheet.store.base import Room

States = NDArray[np.float32]
"""T x layers x width: all hidden states, _STEPS_A_S a second."""
Window = NDArray[np.float32]
"""(WINDOW * layers) x width: what is heard around a moment, in order of time."""

_STEPS_A_S = 50
_PIECE_S = 30
WINDOW, _BEFORE = 10, 4
"""Steps around a moment, and how many of them lie before it."""


@dataclass(frozen=True)
class _Heard:
    """A line in a clip's time."""

    speaker: str
    start: float
    states: States

    def away(self, seconds: float) -> float:
        """How far a moment is from the line; 0 within it."""
        return max(self.start - seconds, seconds - self.start - len(self.states) / _STEPS_A_S, 0.0)

    def around(self, seconds: float) -> Window:
        """Silence before and after the line is zeros."""
        first = int((seconds - self.start) * _STEPS_A_S // 1) - _BEFORE
        steps = np.arange(first, first + WINDOW)
        there = (steps >= 0) & (steps < len(self.states))
        window = np.zeros((WINDOW, *self.states.shape[1:]), np.float32)
        window[there] = self.states[steps[there]]
        return window.reshape(-1, window.shape[-1])


class Ears:
    """All voices of a recipe, heard once."""

    def __init__(self, heard: Sequence[_Heard]) -> None:
        self._heard = heard

    @classmethod
    def of(cls, placed: Sequence[PlacedVoice], room: Room, whisper: Path, device: str) -> Ears:
        """Listen to all voices. Raises MediaUnreadable, OutOfMemory, EngineUnable for a network that is none.

        Args:
            placed: The voices.
            room: Where they are.
            whisper: Folder of the network and its feature extractor.
            device: Where it runs.
        """
        extract, encoder = _loaded(whisper, device)
        heard = []
        for n, each in enumerate(placed):
            room.progress(0.0, f"listening to voice {n + 1} of {len(placed)}")
            sound = samples_of(room.fetch(each.audio)).astype(np.float32)
            heard.append(_Heard(each.speaker, each.start, _states(sound, extract, encoder, device)))
        return cls(heard)

    def at(self, speaker: str, seconds: float) -> Window:
        """What the speaker says around a moment of the clip."""
        mine = [heard for heard in self._heard if heard.speaker == speaker]
        return min(mine, key=lambda heard: heard.away(seconds)).around(seconds)


def _loaded(whisper: Path, device: str) -> tuple[Any, Any]:
    """The feature extractor and the encoder."""
    import torch
    from transformers import WhisperFeatureExtractor, WhisperModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()                            # ours is told
    try:
        extract = WhisperFeatureExtractor.from_pretrained(whisper, local_files_only=True)
        network = WhisperModel.from_pretrained(whisper, use_safetensors=True, local_files_only=True)
        return extract, network.encoder.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise _full(error) from error
    except Exception as error:                        # JSON, safetensors and torch: each has its own kinds
        raise EngineUnable(
            engine="musetalk", what="lip-sync",
            detail=f"its ears cannot be read: {type(error).__name__}: {str(error).strip()[:160]}",
            remedy=f"remove {whisper}, then `callsheet models download musetalk-ears`",
        ) from error


def _full(error: Exception) -> OutOfMemory:
    return OutOfMemory(engine="musetalk", what="a voice that it listens to", detail=str(error)[:200])


def _states(sound: NDArray[np.float32], extract: Any, encoder: Any, device: str) -> States:
    import torch

    pieces = []
    for piece in _pieces(sound):
        features = extract(piece, sampling_rate=RATE, return_tensors="pt").input_features.to(device)
        try:
            with torch.inference_mode():
                hidden = encoder(features, output_hidden_states=True).hidden_states
        except torch.OutOfMemoryError as error:
            raise _full(error) from error
        states = torch.stack(hidden, dim=2)[0]
        pieces.append(states[: -(-len(piece) * _STEPS_A_S // RATE)].float().cpu().numpy())
    joined: States = np.concatenate(pieces)
    return joined


def _pieces(sound: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """At least one, so that a sound of no length has states of no length."""
    for start in range(0, max(len(sound), 1), _PIECE_S * RATE):
        yield sound[start : start + _PIECE_S * RATE]
