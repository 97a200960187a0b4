"""Reading sound that strangers sent, and writing our own."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from callsheet.errors import MediaUnreadable
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.sound import RATE, decode, decode_command, read_audio, write_wav


def make(path, *arguments, source="sine=f=440:r=48000:d=1"):
    run(Command(("-f", "lavfi", "-i", source, *arguments, local_input(path)), "make a sound"))
    return path


def test_samples_written_are_the_samples_read(tmp_path):
    samples = np.random.default_rng(0).standard_normal((RATE // 3, 2)).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    assert np.array_equal(read_audio(tmp_path / "a.wav"), samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_piece_of_a_decoded_sound_is_that_piece(tmp_path, channels):
    samples = np.random.default_rng(1).standard_normal((RATE, 2)).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    if channels == 1:
        make(tmp_path / "b.wav", "-c:a", "pcm_f32le", source="anoisesrc=d=1:r=48000:seed=4:a=0.5")
    sound = decode(tmp_path / ("a.wav" if channels == 2 else "b.wav"), tmp_path / "a.au")
    whole = sound.read(0, len(sound))
    assert whole.shape == (RATE, channels) and np.array_equal(sound.read(12345, 23456), whole[12345:23456])
    if channels == 2:
        assert np.array_equal(whole, samples)


def test_mono_is_centred_at_its_own_level(tmp_path):
    samples = read_audio(make(tmp_path / "a.wav", source="aevalsrc=0.5*sin(2*PI*440*t):d=1:s=48000"))
    assert np.array_equal(samples[:, 0], samples[:, 1]) and samples.max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.m4a"])
def test_common_formats_at_another_rate_are_read(tmp_path, name):
    codec = ("-c:a", "libvorbis") if name == "a.ogg" else ()
    samples = read_audio(make(tmp_path / name, "-ar", "44100", "-ac", "2", *codec))
    assert samples.shape[1] == 2 and abs(len(samples) / RATE - 1) < 0.06, samples.shape


def test_a_surround_sound_is_mixed_down(tmp_path):
    source = "aevalsrc=0|0|0.5*sin(2*PI*440*t)|0|0|0:c=5.1:d=1:s=48000"
    samples = read_audio(make(tmp_path / "a.wav", source=source))
    assert samples.shape == (RATE, 2) and samples.max() > 0.1, samples.max()


def test_no_more_than_the_limit_is_read(tmp_path):
    assert len(read_audio(make(tmp_path / "a.wav"), limit_s=0.25)) == RATE // 4


def test_a_tone_that_looks_like_a_transport_stream_is_read_as_the_wav_it_is(tmp_path):
    t = np.arange(3 * RATE) / RATE
    tone = np.repeat((0.9 * np.sin(2 * np.pi * 1000 * t))[:, None], 2, axis=1).astype(np.float32)
    write_wav(tmp_path / "a.wav", tone)
    assert np.array_equal(read_audio(tmp_path / "a.wav"), tone)


def test_samples_that_are_not_numbers_are_refused(tmp_path):
    samples = np.zeros((RATE, 2), np.float32)
    samples[100, 0] = np.nan
    write_wav(tmp_path / "a.wav", samples)
    with pytest.raises(MediaUnreadable, match="not numbers"):
        read_audio(tmp_path / "a.wav")


def test_an_empty_sound_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros((0, 2), np.float32))
    with pytest.raises(MediaUnreadable, match=r"a\.wav cannot be read as sound \(it holds no samples\)"):
        read_audio(tmp_path / "a.wav")


def test_a_picture_is_no_sound(tmp_path):
    make(tmp_path / "a.png", "-frames:v", "1", source="color=red:s=32x32")
    with pytest.raises(MediaUnreadable, match="cannot be read as sound"):
        read_audio(tmp_path / "a.png")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MediaUnreadable, match=r"gone\.wav"):
        read_audio(tmp_path / "gone.wav")


def test_a_playlist_in_disguise_is_refused(tmp_path):
    secret = make(tmp_path / "secret.wav")
    playlist = tmp_path / "a.mp3"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaUnreadable):
        read_audio(playlist)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a"])
def test_a_file_cut_in_half_is_refused(tmp_path, name):
    whole = make(tmp_path / name, "-movflags" if name == "a.m4a" else "-bitexact",
                 *(["+faststart"] if name == "a.m4a" else []), source="anoisesrc=d=4:r=48000:a=0.3")
    data = whole.read_bytes()
    whole.write_bytes(data[:len(data) // 2])
    with pytest.raises(MediaUnreadable):
        read_audio(whole)


def test_a_wav_whose_header_promises_more_is_refused(tmp_path):
    data = bytearray(make(tmp_path / "a.wav", "-bitexact").read_bytes())
    at = data.index(b"data") + 4
    struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] * 3)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(MediaUnreadable):
        read_audio(tmp_path / "a.wav")


def with_gap(source, out, start=1.0, end=1.6):
    """A copy whose sound misses its packets from `start` to `end`."""
    with av.open(str(source)) as given, av.open(str(out), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            if packet.stream.type != "audio" or not start < packet.pts * packet.time_base < end:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return out


@pytest.mark.parametrize("name", ["gap.mp4", "gap.mkv"])
def test_what_comes_after_a_gap_stays_in_its_place(tmp_path, name):
    whole = make(tmp_path / "whole.mp4", "-c:a", "aac", source="aevalsrc='0.5*sin(2*PI*440*t)*gt(t,2)':d=3:s=48000")
    found = np.flatnonzero(np.abs(read_audio(with_gap(whole, tmp_path / name))[:, 0]) > 0.25)[0] / RATE
    assert found == pytest.approx(2.0, abs=0.03), f"the tone begins at {found:.3f} s, not at 2 s"


@pytest.mark.parametrize(("name", "options"), [
    ("a.m4a", ("-c:a", "aac")), ("a.mp3", ()), ("a.flac", ()), ("a.mkv", ("-c:a", "libopus")),
    ("a.ts", ("-c:a", "aac")),
])
def test_gaps_are_looked_for_without_changing_a_sound_that_has_none(tmp_path, name, options):
    source = make(tmp_path / name, *options, source="anoisesrc=d=1:r=48000:seed=4:a=0.5")
    if name == "a.ts":
        run(Command(("-i", local_input(source), "-c", "copy", local_input(source.with_suffix(".mp4"))), "copy"))
        source = source.with_suffix(".mp4")
    command = decode_command(source, tmp_path / "new.au", RATE, 60)
    run(command)
    plain = [word.removeprefix("aresample=async=1,").replace("new.au", "old.au") for word in command.arguments]
    run(Command(tuple(plain), "decode as before"))
    assert plain != list(command.arguments)
    assert (tmp_path / "new.au").read_bytes() == (tmp_path / "old.au").read_bytes()


def test_a_wav_has_no_timestamps_to_look_at(tmp_path):
    assert "aresample" not in " ".join(decode_command(tmp_path / "a", tmp_path / "b", RATE, 5, wav=True).arguments)


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
def test_a_sound_that_is_shorter_than_its_film_is_whole(tmp_path, told):
    path = make(tmp_path / "a.mkv", "-f", "lavfi", "-i", "color=red:s=32x32:r=25:d=4", "-map", "0:a", "-map", "1:v")
    if not told:
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"SOMETHNG"))
    assert len(read_audio(path)) == pytest.approx(RATE, rel=0.03)


@pytest.mark.parametrize(("name", "options"), [("a.caf", ()), ("a.au", ()), ("a.wma", ("-c:a", "wmav2"))])
def test_a_format_that_is_not_taken_is_told_with_those_that_are(tmp_path, name, options):
    make(tmp_path / name, *options)
    wanted = rf"{name} cannot be read as sound \(its format is not one of wav, flac, mp3, ogg, .*\)"
    with pytest.raises(MediaUnreadable, match=wanted):
        read_audio(tmp_path / name)


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    make(tmp_path / "a.wav").rename(tmp_path / "a:b.wav")
    monkeypatch.chdir(tmp_path)
    assert len(read_audio(Path("a:b.wav"))) == RATE


def test_a_stranger_s_file_is_opened_under_the_hostile_options(tmp_path):
    line = " ".join(decode_command(tmp_path / "x.mp3", tmp_path / "x.au", RATE, 5).arguments)
    assert line.startswith("-xerror -protocol_whitelist file,pipe -format_whitelist ") and "-t 5.000000" in line
