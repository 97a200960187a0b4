"""What a production tells people."""

from __future__ import annotations

from callsheet.production import FellBack, in_short


def fell(stage: str, label: str, why: str = "no server", made: str = "placeholder, 64x64") -> FellBack:
    return FellBack(stage=stage, label=label, asked="comfyui wan2.2-ti2v-5b, 64x64", made=made, why=why)


def test_what_stood_in_alike_is_told_in_one_sentence() -> None:
    alike = [fell("poster", "Ava"), *(fell("takes", f"Ava take {n}") for n in range(4)), fell("segments", "scene 1")]
    assert in_short(alike) == ("poster, 4 takes, segments: made by placeholder instead of comfyui, because no server",)


def test_another_reason_or_maker_is_a_sentence_of_its_own() -> None:
    told = in_short([fell("takes", "a"), fell("takes", "b"), fell("takes", "c", why="no memory")])
    assert told == (
        "2 takes: made by placeholder instead of comfyui, because no server",
        "takes c: made by placeholder, 64x64 instead of comfyui wan2.2-ti2v-5b, 64x64, because no memory",
    )
