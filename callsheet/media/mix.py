"""Reel and sound become the film: its picture copied, its sound mixed, ducked and brought to loudness.

Covers the stage as a whole: the sound track, the master, the MP4 with its soft captions, the files beside
it, the stems and the thumbnail. How sound is placed is in soundtrack.py, how it is brought to its loudness in
mixdown.py, mastering.py and limiter.py, text in captions.py. An hour of film takes no more memory than a minute.
"""

from __future__ import annotations

from pathlib import Path

from callsheet.cues import shifted, visible_lines
from callsheet.errors import MediaError
from callsheet.media.captions import write_srt, write_vtt
from callsheet.media.ffmpeg import Command, ffmpeg_version, local_input
from callsheet.media.limiter import Master
from callsheet.media.mastering import encode_mastered
from callsheet.media.mixdown import mix_down, write_stems
from callsheet.media.probe import Facts, probe
from callsheet.media.sound import RATE
from callsheet.media.soundtrack import Soundtrack, soundtrack
from callsheet.media.thumbnail import write_thumbnail
from callsheet.models import CaptionMode, Cue
from callsheet.recipes import MixRecipe
from callsheet.store.base import Outcome, Room

AAC_KBIT = 192
AAC_FRAME = 1024
"""Samples in one AAC frame: sound cannot end more exactly than that."""

_LANGUAGES = {
    "ar": "ara", "bg": "bul", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "es": "spa",
    "et": "est", "fa": "fas", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun",
    "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor", "lt": "lit", "lv": "lav", "nl": "nld", "no": "nor",
    "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv", "sv": "swe", "th": "tha",
    "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "zho",
}
"""ISO 639-1 to the three letters that MP4 wants."""


def mix(recipe: MixRecipe, room: Room) -> Outcome:
    """The film of `recipe`: main (MP4), thumbnail (JPEG), srt and vtt where there are cues, stems where asked.

    The video's packets are the reel's own. A film without any sound gets a silent track. Raises
    MediaUnreadable for a sound that cannot be read, MediaError where the result is not what was asked.
    """
    reel = room.fetch(recipe.reel)
    picture = _checked_reel(recipe, reel)
    room.progress(0.05, "placing sound")
    track = soundtrack(recipe, room)
    mixdown = mix_down(track, room.folder, recipe.stems, lambda share: room.progress(0.1 + 0.2 * share, "mixing"))
    track.remove()
    cues = tuple(c for c in shifted(recipe.cues, 0.0, recipe.seconds) if visible_lines(c.text))
    beside = _write_captions(recipe.captions, cues, room)
    film, thumbnail = room.path("film.mp4"), room.path("thumbnail.jpg")
    soft = beside.get("srt") if recipe.captions is CaptionMode.BESIDE else None
    sound = encode_mastered(recipe, film_command(reel, soft, recipe.language, film), film, mixdown,
                            lambda share: room.progress(0.3 + 0.6 * share, "encoding"))
    _check_film(film, picture, track.samples)
    room.progress(0.9, "taking a thumbnail")
    moment = write_thumbnail(reel, recipe.seconds, thumbnail)
    stems, lowered_db = write_stems(mixdown, sound.made, room.folder) if recipe.stems else ({}, 0.0)
    mixdown.remove()
    return Outcome(
        files={"main": film, "thumbnail": thumbnail, **beside, **stems},
        facts={
            "duration": recipe.seconds, "frames": picture.frames, "width": picture.width, "height": picture.height,
            "lufs": sound.heard.lufs, "true_peak_dbtp": sound.heard.true_peak_dbtp, "video": "copied",
            "cues": len(cues), "thumbnail_at": moment, **_sound_facts(track, sound.made),
            **({"stems_lowered_db": round(lowered_db, 2)} if stems else {}),
        },
        made_by=f"ffmpeg {ffmpeg_version()}",
        warnings=(*track.warnings, *sound.warnings, *_stem_warnings(lowered_db)),
    )


def film_command(reel: Path, captions: Path | None, language: str, out: Path) -> Command:
    """Join picture (copied), sound (bare stereo floats on standard input) and captions (an SRT file) to an MP4.

    It starts to play at once when it comes over a network.
    """
    code = three_letters(language)
    text_input = ("-f", "srt", "-i", local_input(captions)) if captions else ()
    text_output = ("-map", "2:s:0", "-c:s", "mov_text", "-metadata:s:s:0", f"language={code}") if captions else ()
    return Command(
        ("-i", local_input(reel), "-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", "pipe:0", *text_input,
         "-map", "0:v:0", "-c:v", "copy",
         "-map", "1:a:0", "-c:a", "aac", "-b:a", f"{AAC_KBIT}k", "-ar", str(RATE), "-ac", "2",
         "-metadata:s:a:0", f"language={code}", *text_output,
         "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact",
         "-movflags", "+faststart", "-f", "mp4", local_input(out)),
        what="join picture and sound",
    )


def three_letters(language: str) -> str:
    """The ISO 639-2 code of a language tag such as `en-us`; `und` where it is not known."""
    first = language.replace("_", "-").split("-")[0].lower()
    return first if len(first) == 3 and first.isascii() and first.isalpha() else _LANGUAGES.get(first, "und")


def _checked_reel(recipe: MixRecipe, reel: Path) -> Facts:
    facts = probe(reel)
    frame = 1 / float(facts.fps) if facts.fps else 0.0
    if not facts.has_video or abs(facts.duration - recipe.seconds) > frame / 2 + 0.001:
        raise MediaError(
            what="mix a reel",
            detail=f"it lasts {facts.duration:.3f} s with {facts.frames} frames, not {recipe.seconds:.3f} s",
        )
    return facts


def _write_captions(mode: CaptionMode, cues: tuple[Cue, ...], room: Room) -> dict[str, Path]:
    if mode is CaptionMode.OFF or not cues:
        return {}
    files = {"srt": room.path("captions.srt"), "vtt": room.path("captions.vtt")}
    write_srt(cues, files["srt"])
    write_vtt(cues, files["vtt"])
    return files


def _sound_facts(track: Soundtrack, made: Master) -> dict[str, float]:
    """Seconds of speech; the gain of the whole mix, and by how much its highest peaks were held down."""
    return {
        "speech_s": round(sum(end - start for start, end in track.speech) / RATE, 3),
        "gain_db": round(made.gain_db, 2), "limited_db": round(made.reduced_db, 2),
    }


def _check_film(film: Path, picture: Facts, samples: int) -> None:
    """What is delivered is what was asked: nothing is taken on trust from the muxer."""
    facts = probe(film)
    if facts.frames != picture.frames:
        raise MediaError(what="join picture and sound", detail=f"{facts.frames} of {picture.frames} frames are there")
    wanted = samples / RATE
    if not facts.has_audio or abs(facts.audio_duration - wanted) > AAC_FRAME / RATE:
        raise MediaError(
            what="join picture and sound", detail=f"the sound lasts {facts.audio_duration:.3f}, not {wanted:.3f} s")


def _stem_warnings(lowered_db: float) -> list[str]:
    if lowered_db < 0.005:
        return []
    return [f"the stems voice and music_effects are {lowered_db:.2f} dB below the film's level: unlimited, "
            "they would go over full scale"]
