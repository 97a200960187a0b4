"""The PocketSphinx library in a process of its own: one JSON request on standard input, one JSON answer.

It is C, and the sound may be a stranger's. This file is started by its path with `python -I -S`: it needs the
standard library and the folder of that one package. No text reaches the library: words are numbers, and the
dictionary holds phones alone.

    {"packages": FOLDER, "model": FOLDER, "dictionary": PATH, "words": ["w0", "w1", ...], "pcm": PATH}
        -> {"words": [[[symbol, start_s, end_s], ...], ...]}     the phones of each word, in order
    or -> {"error": "library" | "alignment", "detail": ...}

The sound is mono, 16 bit, 16 kHz, without a header. Silence is what lies between the words.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import sys
from typing import Any

MEMORY_BYTES = 2 << 30
FRAMES_PER_S = 100

_BEAM = 1e-100
"""How unlikely a path may become before it is given up: the words are known, so there are few."""


class Refused(Exception):
    """What the answer's `error` and `detail` say."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what one request asks. Raises Refused."""
    sys.path.append(request["packages"])
    try:
        decoder = importlib.import_module("pocketsphinx").Decoder(
            hmm=request["model"], dict=request["dictionary"], lm=None, loglevel="ERROR",
            bestpath=False,                             # the lattice gives phones fewer frames than they have states
            beam=_BEAM, pbeam=_BEAM, wbeam=_BEAM,
        )
    except (ImportError, RuntimeError) as error:
        raise Refused("library", str(error)) from error
    with open(request["pcm"], "rb") as file:            # noqa: PTH123  without pathlib it starts faster
        pcm = file.read()
    try:
        decoder.set_align_text(" ".join(request["words"]))
        _hear(decoder, pcm)
        decoder.set_alignment()                         # the second pass finds the phones within the words
        _hear(decoder, pcm)
        alignment = decoder.get_alignment()             # its words are valid for as long as it is
        found = [(word.name, _phones(word)) for word in alignment]
    except (RuntimeError, TypeError) as error:          # TypeError: nothing was aligned at all
        raise Refused("alignment", str(error)) from error
    found = [(name.split("(")[0], phones) for name, phones in found if name[:1] == "w"]
    if [name for name, _ in found] != request["words"]:
        raise Refused("alignment", f"{len(found)} of {len(request['words'])} words were found")
    return {"words": [phones for _, phones in found]}


def _phones(word: Any) -> list[tuple[str, float, float]]:
    return [(p.name, p.start / FRAMES_PER_S, (p.start + p.duration) / FRAMES_PER_S) for p in word]


def _hear(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def main() -> None:
    with contextlib.suppress(ValueError):               # not every system can limit it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin)
    try:
        said = answer(request)
    except Refused as refused:
        said = {"error": refused.error, "detail": refused.detail}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
