"""Make the files that the example requests name: a drawn portrait and a spoken voice.

    python manifests/examples/jobs/make_inputs.py [folder]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

from callsheet.engines.drawing.stage import ClipStage
from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.faces.placeholder import GUESS_WIDTH, GUESS_X, GUESS_Y
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.recipes import LoraUse, SegmentRecipe, SpeechRecipe
from callsheet.speech.espeak import Espeak
from callsheet.store.base import Room, private_folder

TEXT = "Good morning. The first tram leaves in four minutes, so we had better run."
SIDE = 1600
"""Pixels of the drawing that the portrait is cut from."""


def portrait(path: Path) -> None:
    """A face whose mouth is where the placeholder lip-sync looks for one."""
    recipe = SegmentRecipe(
        engine=PlaceholderEngine().id, margin=False, scene="a quiet park in the morning", prompt="portrait",
        width=SIDE, height=SIDE, num_frames=1, fps=Fraction(24), steps=20, cfg=7.0,
        loras=(LoraUse(role="character", name="0001_european_20_female", display_name="Ava", strength=0.7),),
        angle="front", seed=7,
    )
    frame, mouths = ClipStage(recipe, None).frame(30)
    x, y, mouth = mouths["0001_european_20_female"]
    width = mouth / GUESS_WIDTH
    height = width * 1.125
    left, top = x - GUESS_X * width, y - GUESS_Y * height
    cut = frame.rgb().crop((round(left), round(top), round(left + width), round(top + height)))
    cut.resize((512, 576)).save(path, "JPEG", quality=88)


def voice(path: Path) -> None:
    """A line of about four seconds as FLAC."""
    with private_folder() as folder:
        recipe = SpeechRecipe(
            engine=Espeak().id, voice="+f3", words_per_minute=165, pitch=50,
            language="en-gb", text=TEXT,
        )
        room = Room(folder, lambda ref: folder, lambda ref: {})
        spoken = Espeak().speak(recipe, room).files["main"]
        run(Command(("-i", local_input(spoken), "-ac", "1", "-ar", "16000", "-map_metadata", "-1",
                     "-fflags", "+bitexact", "-compression_level", "12", local_input(path)), what="write the voice"))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    portrait(target / "portrait.jpg")
    voice(target / "voice.flac")
    for made in (target / "portrait.jpg", target / "voice.flac"):
        print(f"{made.name}: {made.stat().st_size} bytes")
