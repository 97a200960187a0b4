"""Why clips are joined as they are, in words for a person. choosing.py decides; this says it."""

from __future__ import annotations

from collections.abc import Sequence

from callsheet.media.footage import Footage


def copied_reason(clips: int) -> str:
    """Where no frame is encoded."""
    return (
        "it is one clip, and fits as it is" if clips == 1
        else "all clips have the same parameter sets and meet in hard cuts"
    )


def reason(
    misfits: Sequence[str], foreign: Sequence[str], preset: str, asked: str, encoded: int, instead: int
) -> str:
    """One sentence. For each clip why it had to be conformed, or why it cannot be copied; empty where it can.

    `encoded` are the frames that are encoded, `instead` those that would be if all were conformed first.
    """
    said = []
    misfit = [n for n, why in enumerate(misfits) if why]
    if misfit:
        said.append(f"{_clips(misfit)} had to be conformed ({_first(misfit, misfits)})")
    strange = [n for n, why in enumerate(foreign) if why]
    if strange:
        gain = f": encoding once takes {encoded} frames, conforming first would take {instead}"
        said.append(
            f"{_clips(strange)} to be encoded whole ({_first(strange, foreign)}){gain if encoded != instead else ''}"
        )
    rest = [n for n in range(len(misfits)) if not misfits[n] and not foreign[n]]
    if rest:
        said.append(
            f"{_clips(rest)} as this encoder makes them (preset {preset}): copied outside transitions"
            if preset == asked else
            f"encoded with preset {preset}, not {asked}, so that {_clips(rest)} can be copied"
        )
    return "; ".join(said)


def warnings(footage: Sequence[Footage], treatments: Sequence[tuple[str, str]]) -> list[str]:
    """What is lost without anybody having asked for it."""
    return [
        f"{clip.name} is of high dynamic range ({clip.high_range}): its colours are flattened, not tone-mapped"
        for clip, (treatment, _) in zip(footage, treatments, strict=True)
        if clip.high_range and treatment != "copied"
    ]


def _first(numbers: Sequence[int], why: Sequence[str]) -> str:
    return why[numbers[0]] if len(why) == 1 else f"clip {numbers[0] + 1} {why[numbers[0]]}"


def _clips(numbers: Sequence[int]) -> str:
    return f"clip {numbers[0] + 1}" if len(numbers) == 1 else f"{len(numbers)} clips"
