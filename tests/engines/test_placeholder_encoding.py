"""How the placeholder's frames reach the encoder."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

from callsheet.engines.placeholder import PlaceholderEngine, encode_command
from tests.support.clips import AVA, LEO, clip_recipe, decoded, room


def test_nothing_of_the_encoding_is_left_to_the_machine() -> None:
    words = encode_command(640, 360, Fraction(24), 14, Path("clip.mp4"), "encode a clip").arguments
    said = dict(itertools.pairwise(words))
    assert int(said["-threads"]) > 0 and said["-x264-params"] == "cpu-independent=1"
    assert said["-fflags"] == said["-flags:v"] == "+bitexact" and said["-map_metadata"] == "-1"


def test_every_frame_arrives_whole_and_in_order(tmp_path: Path) -> None:
    recipe = clip_recipe(PlaceholderEngine().id, loras=(AVA, LEO), width=640, height=360, num_frames=5, margin=False)
    clip = decoded(PlaceholderEngine().shoot(recipe, room(tmp_path / "whole")).files["main"])
    for n in range(5):
        alone = recipe.model_copy(update={"start_frame": n, "num_frames": 1})
        frame = decoded(PlaceholderEngine().shoot(alone, room(tmp_path / str(n))).files["main"])[0]
        others = [float(abs(frame - clip[m]).mean()) for m in range(5)]
        assert others.index(min(others)) == n and others[n] < 1.5, f"frame {n}: {others}"
