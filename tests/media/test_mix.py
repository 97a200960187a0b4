"""The finished film: what is measured is the file that is delivered."""

import hashlib
import json

import av
import numpy as np
import pysubs2
import pytest
from PIL import Image

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.keys import STEMS
from callsheet.media.captions import JOINER
from callsheet.media.loudness import measure
from callsheet.media.mix import AAC_FRAME, film_command, three_letters
from callsheet.media.probe import probe
from callsheet.media.sound import RATE, read_audio
from callsheet.models import CaptionMode, Cue, Ducking
from callsheet.recipes import PlacedEffect, PlacedVoice
from tests.media.studio import EFFECT_HZ, MUSIC_HZ, SECONDS, VOICE_HZ, Studio, between, level, picture, ref, tone

MUSIC, VOICE = 0.5, 0.25
ONSET, END = 2.0, 5.0
EFFECT_AT = 6.5

HOSTILE = (
    r"{\b1}bold{\b0}", r"a\Nb\nc\hd", "<i>x</i> <font color=red>y</font>", "[x] %{pts}", "100% sure, it's 'so': a;b",
    "1\n00:00:01,000 --> 00:00:02,000\nnot a cue", "<v Bob> & &lt; &amp;", r"{\an8}{\p1}m 0 0", "{y:i}up\n\n42",
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.add("reel", picture(studio.folder / "reel.mp4"))
    studio.put("music", tone(MUSIC_HZ, 20, MUSIC))
    studio.put("voice", tone(VOICE_HZ, 3.5, VOICE, [(0, 1.5), (1.7, END - ONSET)]))
    studio.put("effect", tone(EFFECT_HZ, 0.3, 0.4))
    return studio


@pytest.fixture(scope="module")
def film(studio):
    """A film with everything in it."""
    return studio.mix(
        music=ref("music"), voices=(PlacedVoice(audio=ref("voice"), speaker="anna", start=ONSET),),
        effects=(PlacedEffect(audio=ref("effect"), start=EFFECT_AT, volume=0.5),),
        ducking=Ducking(base_volume=0.15, duck_db=-8, attack_ms=50, release_ms=300),
        cues=tuple(Cue(text=text, start=0.5 + 0.8 * n, end=1.2 + 0.8 * n) for n, text in enumerate(HOSTILE)),
    )


@pytest.fixture(scope="module")
def heard(film):
    return read_audio(film.files["main"])[:, 0].astype(np.float64)


def test_music_under_speech_is_duck_db_below_its_bed(heard):
    music = level(heard, MUSIC_HZ)
    change = np.median(between(music, 2.2, 4.9)) - np.median(between(music, 0.5, 1.9))
    assert change == pytest.approx(-8, abs=0.5), f"{change:.2f} dB"


def test_the_bed_stands_to_the_voice_as_base_volume_says(heard):
    bed = np.median(between(level(heard, MUSIC_HZ), 0.5, 1.9))
    voice = np.median(between(level(heard, VOICE_HZ), 2.2, 3.3))
    wanted = 20 * np.log10(MUSIC * 0.15 / VOICE)
    assert bed - voice == pytest.approx(wanted, abs=0.5), f"{bed - voice:.2f} dB, not {wanted:.2f}"


def test_music_does_not_pump_in_a_short_pause(heard):
    under = between(level(heard, MUSIC_HZ), 3.3, 3.9)
    swing = under.max() - under.min()
    assert swing < 1.5, f"{swing:.2f} dB; without closing the pause 5 dB, AAC itself under 1 dB"


def test_attack_takes_attack_ms(heard):
    music = level(heard, MUSIC_HZ)
    bed = np.median(between(music, 0.5, 1.9))
    t90 = np.flatnonzero(between(music, ONSET, END) < bed - 0.9 * 8)[0] / RATE * 1000
    assert t90 == pytest.approx(0.9 * 50, rel=0.2), f"{t90:.1f} ms"


def test_release_takes_release_ms_from_the_last_word(heard):
    music = level(heard, MUSIC_HZ)
    ducked = np.median(between(music, 2.2, 4.9))
    t90 = np.flatnonzero(between(music, END, SECONDS) > ducked + 0.9 * 8)[0] / RATE * 1000
    assert t90 == pytest.approx(0.9 * 300, rel=0.2), f"{t90:.1f} ms"


def test_music_fades_at_both_ends(heard):
    music = level(heard, MUSIC_HZ)
    bed = np.median(between(music, 0.5, 1.9))
    ends = (between(music, 0.02, 0.03).max() - bed, between(music, SECONDS - 0.03, SECONDS - 0.02).max() - bed)
    assert max(ends) < -12, ends


def test_an_effect_starts_within_a_frame_of_its_moment(heard):
    effect = level(heard, EFFECT_HZ, 0.002)
    loud = np.median(between(effect, EFFECT_AT + 0.05, EFFECT_AT + 0.2))
    onset = np.flatnonzero(effect > loud - 6)[0] / RATE
    assert abs(onset - EFFECT_AT) < 1 / 30, f"{(onset - EFFECT_AT) * 1000:.1f} ms"


def test_an_effect_has_its_volume(heard):
    effect = np.median(between(level(heard, EFFECT_HZ), EFFECT_AT + 0.05, EFFECT_AT + 0.2))
    voice = np.median(between(level(heard, VOICE_HZ), 2.2, 3.3))
    assert effect - voice == pytest.approx(20 * np.log10(0.4 * 0.5 / VOICE), abs=0.5)


@pytest.mark.parametrize("start", [0.0, 1.23456])
def test_a_voice_is_at_its_moment_to_the_sample(studio, start):
    """Streams of equal length can still drift: only the sound itself tells."""
    noise = np.repeat(np.random.default_rng(2).standard_normal((RATE, 1)) * 0.1, 2, axis=1).astype(np.float32)
    studio.put("noise", noise)
    made = studio.mix(voices=(PlacedVoice(audio=ref("noise"), speaker="anna", start=start),))
    out = np.concatenate([np.zeros(2000), read_audio(made.files["main"])[:, 0], np.zeros(2000)])
    at = round(start * RATE) + 2000
    lag = int(np.argmax(np.correlate(out[at - 1000:at + 9000], noise[:8000, 0], "valid"))) - 1000
    assert lag == 0, f"{lag} samples"


def test_the_film_is_at_the_target_and_under_the_ceiling(film):
    found = measure(film.files["main"])
    assert found.lufs == pytest.approx(-14, abs=1) and found.true_peak_dbtp <= -1, found
    assert (film.facts["lufs"], film.facts["true_peak_dbtp"]) == (found.lufs, found.true_peak_dbtp)


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extra = hashlib.sha256(stream.codec_context.extradata or b"").hexdigest()
        return [(p.pts * p.time_base, p.dts * p.time_base, p.is_keyframe, hashlib.sha256(bytes(p)).hexdigest())
                for p in container.demux(stream) if p.size], extra


def test_the_picture_is_the_reel_s_packet_for_packet(film, studio):
    before, after = packets(studio.files[ref("reel")]), packets(film.files["main"])
    assert len(before[0]) == 240 and before == after


def test_sound_lasts_as_long_as_the_picture(film):
    facts = probe(film.files["main"])
    decoded = len(read_audio(film.files["main"]))
    assert (facts.duration, facts.frames) == (SECONDS, 240)
    assert abs(facts.audio_duration - SECONDS) <= AAC_FRAME / RATE, facts.audio_duration
    assert abs(decoded - SECONDS * RATE) <= AAC_FRAME, decoded


def test_sound_is_aac_192k_48_khz_stereo_and_the_file_starts_at_once(film):
    facts = probe(film.files["main"])
    data = film.files["main"].read_bytes()
    assert (facts.audio_codec, facts.sample_rate, facts.channels) == ("aac", 48000, 2)
    assert data.index(b"moov") < data.index(b"mdat")


def test_soft_captions_say_literally_what_was_written(film):
    with av.open(str(film.files["main"])) as container:
        stream = container.streams.subtitles[0]
        shown = [bytes(p)[2:].decode() for p in container.demux(stream) if p.size and len(bytes(p)) > 2]
        assert stream.codec_context.name == "mov_text" and stream.metadata["language"] == "eng"
    wanted = ["\n".join(line for line in text.splitlines() if line) for text in HOSTILE]
    assert [text.replace(JOINER, "") for text in shown] == wanted


def test_captions_beside_the_film_are_listed(film):
    assert set(film.files) == {"main", "thumbnail", "srt", "vtt"}
    assert len(pysubs2.load(str(film.files["srt"]))) == len(pysubs2.load(str(film.files["vtt"]))) == len(HOSTILE)


def test_the_thumbnail_is_a_jpeg_of_the_film_s_size_from_a_third_in(film):
    with Image.open(film.files["thumbnail"]) as image:
        assert (image.format, image.size) == ("JPEG", (160, 90))
    assert film.facts["thumbnail_at"] == pytest.approx(SECONDS / 3)


def test_seconds_of_speech_are_told(film):
    """From 2 s to 5 s, with a pause too short to count."""
    assert film.facts["speech_s"] == pytest.approx(END - ONSET, abs=0.001)


def test_stems_are_made_when_they_are_asked_for_and_last_as_long_as_the_film(studio):
    made = studio.mix(
        music=ref("music"), voices=(PlacedVoice(audio=ref("voice"), speaker="anna", start=ONSET),), stems=True)
    assert set(made.files) - {"main", "thumbnail"} == set(STEMS)
    sounds = {name: read_audio(made.files[name]).astype(np.float64) for name in STEMS}
    assert {len(sound) for sound in sounds.values()} == {round(SECONDS * RATE)}
    off = np.abs(sounds["voice"] + sounds["music_effects"] - sounds["full_mix"]).max()
    assert made.facts["limited_db"] == made.facts["stems_lowered_db"] == 0 and off < 2**-22, off
    music = level(sounds["music_effects"][:, 0], MUSIC_HZ)
    change = np.median(between(music, 2.2, 4.9)) - np.median(between(music, 0.5, 1.9))
    assert change == pytest.approx(-8, abs=0.1), f"music keeps its ducking: {change:.2f} dB"


def test_nothing_but_the_film_s_own_files_is_left_in_the_room(studio, film):
    assert not [path.name for path in film.files["main"].parent.iterdir() if path.suffix in (".f32", ".au", ".wav")]


def test_facts_are_plain_values(film):
    facts = json.loads(json.dumps(dict(film.facts), allow_nan=False))
    assert (facts["duration"], facts["video"], film.warnings) == (SECONDS, "copied", ())


def test_a_film_without_any_sound_has_a_silent_track(studio):
    made = studio.mix()
    samples = read_audio(made.files["main"])
    assert np.abs(samples).max() < 1e-4 and abs(len(samples) - SECONDS * RATE) <= AAC_FRAME
    assert made.facts["lufs"] is None and made.warnings == ()


def test_a_silent_source_is_no_error(studio):
    studio.put("nothing", np.zeros((RATE, 2), np.float32))
    assert studio.mix(music=ref("nothing")).facts["lufs"] is None


def test_burned_captions_are_not_shown_a_second_time(studio):
    made = studio.mix(captions=CaptionMode.BURNED, cues=(Cue(text="hello", start=1, end=2),))
    assert probe(made.files["main"]).subtitle_codecs == () and {"srt", "vtt"} <= set(made.files)


def test_captions_that_are_off_leave_no_file(studio):
    made = studio.mix(captions=CaptionMode.OFF, cues=(Cue(text="hello", start=1, end=2),))
    assert set(made.files) == {"main", "thumbnail"} and probe(made.files["main"]).subtitle_codecs == ()


def test_a_cue_past_the_end_does_not_lengthen_the_film(studio):
    made = studio.mix(cues=(Cue(text="hello", start=7, end=30), Cue(text="late", start=20, end=30)))
    with av.open(str(made.files["main"])) as container:
        assert container.duration / av.time_base == pytest.approx(SECONDS, abs=AAC_FRAME / RATE)
    assert made.facts["cues"] == 1


def test_an_effect_after_the_end_is_a_warning(studio):
    made = studio.mix(effects=(PlacedEffect(audio=ref("effect"), start=12, volume=1),))
    assert made.warnings == ("effect 1 starts at 12.00 s, after the end of the film at 8.00 s: not heard",)


def test_loudness_that_the_encoder_takes_away_is_made_up_for(studio):
    """White noise loses 0.8 LU above what AAC keeps."""
    noise = np.random.default_rng(4).standard_normal((4 * RATE, 2)) * 0.1
    studio.put("hiss", noise.astype(np.float32))
    found = studio.mix(ambience=ref("hiss")).facts["lufs"]
    assert found == pytest.approx(-14, abs=0.5), found


def test_a_voice_that_runs_past_the_end_is_a_warning(studio):
    made = studio.mix(voices=(PlacedVoice(audio=ref("voice"), speaker="anna", start=6),))
    assert made.warnings == ("voice 1 (anna) is cut off 1.50 s before its end, by the film's end",)


def test_peaks_that_leave_no_room_are_a_warning_and_never_an_over(studio):
    clicks = np.zeros((round(SECONDS * RATE), 2), np.float32)
    clicks[RATE // 2::RATE // 2] = 1
    studio.put("clicks", clicks)
    made = studio.mix(effects=(PlacedEffect(audio=ref("clicks"), start=0, volume=4),))
    assert made.facts["true_peak_dbtp"] <= -1 and "peaks leave no room" in made.warnings[0], (made.facts, made.warnings)


def test_a_reel_of_another_length_is_refused(studio):
    with pytest.raises(MediaError, match=r"lasts 8\.000 s with 240 frames, not 9\.000 s"):
        studio.mix(seconds=9.0)


def test_a_sound_that_cannot_be_read_is_named(studio):
    path = studio.folder / "words.mp3"
    path.write_text("this is no music")
    studio.add("words", path)
    with pytest.raises(MediaUnreadable, match=r"words\.mp3 cannot be read as sound"):
        studio.mix(music=ref("words"))


def test_equal_recipes_give_equal_bytes(studio):
    made = [studio.mix(effects=(PlacedEffect(audio=ref("effect"), start=1, volume=1),)) for _ in range(2)]
    for name in ("main", "thumbnail"):
        first, second = (m.files[name].read_bytes() for m in made)
        assert first == second, name


def test_the_command_copies_the_picture(tmp_path):
    line = " ".join(film_command(tmp_path / "r", None, "de", tmp_path / "o").arguments)
    assert "-map 0:v:0 -c:v copy" in line and "+faststart" in line and "language=deu" in line and "mov_text" not in line


@pytest.mark.parametrize(("tag", "code"), [("en-us", "eng"), ("pt_BR", "por"), ("spa", "spa"), ("xx", "und")])
def test_a_language_tag_becomes_three_letters(tag, code):
    assert three_letters(tag) == code
