"""The film by moviepy 2.2.1, as its documentation would have a user write it. Runs in an environment of its own.

    python by_moviepy.py JOB.json FONT.ttf FILM.mp4

moviepy has no ducking and no soft captions: it is measured without them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from moviepy import (  # type: ignore[import-not-found, unused-ignore]
    AudioFileClip,
    CompositeAudioClip,
    CompositeVideoClip,
    TextClip,
    VideoFileClip,
    afx,
    concatenate_videoclips,
    vfx,
)

ENCODER_THREADS = 2


def main(job: dict[str, Any], font: str, film: str) -> None:
    """Write the film and its thumbnail."""
    overlap = job["overlap"] / job["fps"]
    clips = [VideoFileClip(path, audio=False) for path in job["clips"]]
    if overlap:
        clips = [clips[0], *(clip.with_effects([vfx.CrossFadeIn(overlap)]) for clip in clips[1:])]
        picture = concatenate_videoclips(clips, padding=-overlap, method="compose")
    else:
        picture = concatenate_videoclips(clips)
    if job["case"] == "burned":
        picture = CompositeVideoClip([picture, *(caption(c, job, font) for c in job["captions"])])
    sounds = sound_files(job["sounds"], picture.duration)
    whole = picture.with_audio(CompositeAudioClip(sounds).with_duration(picture.duration))
    whole.write_videofile(
        film, fps=job["fps"], codec="libx264", audio_codec="aac", preset=job["preset"], threads=ENCODER_THREADS,
        ffmpeg_params=["-crf", str(job["crf"])], logger=None, temp_audiofile=str(Path(film).with_suffix(".m4a")),
    )
    whole.save_frame(str(Path(film).with_suffix(".jpg")), t=picture.duration / 3, with_mask=False)
    for clip in (whole, *clips, *sounds):
        clip.close()


def caption(cue: dict[str, Any], job: dict[str, Any], font: str) -> Any:
    """One caption, as large and as high as callsheet draws it."""
    text = TextClip(
        font=font, text=cue["text"], font_size=round(64 * job["width"] / 1080), color="white", stroke_color="black",
        stroke_width=1, method="caption", size=(round(job["width"] * 0.9), None), text_align="center",
    )
    return text.with_start(cue["start"]).with_end(cue["end"]).with_position(("center", 0.72), relative=True)


def sound_files(sounds: dict[str, Any], seconds: float) -> list[Any]:
    """Voices, music, ambience and effects at their places and levels."""
    placed = [
        AudioFileClip(one["path"]).with_effects([afx.MultiplyVolume(one["volume"])]).with_start(one["start"])
        for one in (*sounds["voices"], *sounds["effects"])
    ]
    beds = [
        AudioFileClip(bed["path"]).with_effects([afx.AudioLoop(duration=seconds), afx.MultiplyVolume(bed["volume"])])
        for bed in (sounds["music"], sounds["ambience"])
    ]
    return [*placed, *beds]


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3])
