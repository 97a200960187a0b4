"""The laws of conform: exact count, right frame at each time, nothing cut off, one set of parameters."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from callsheet.errors import MediaUnreadable, SceneTooShort
from callsheet.media.conform import Picture, conform, conform_command, look
from callsheet.media.encode import ticks, timescale
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.packets import inspect
from callsheet.media.probe import probe
from callsheet.models import CaptionStyle, Cue, SpokenWord
from callsheet.recipes import ConformRecipe, EncodeSettings
from tests.media.clips import (
    FAST,
    MEDIUM,
    Pixels,
    coded_picture,
    conform_clip,
    decode,
    hashes,
    luma,
    make_clip,
    packet_times,
    read_code,
    ref_of,
    room_in,
    with_tone,
)

FILM = Fraction(24000, 1001)
BROADCAST = Fraction(30000, 1001)


def shown(path: Path) -> list[int]:
    return [read_code(luma(planes))[1] for planes in decode(path)]


def plain(**changes: object) -> ConformRecipe:
    fields = {"clip": ref_of(0), "width": 160, "height": 90, "fps": 30, "frames": 60, "encode": MEDIUM}
    return ConformRecipe.model_validate({**fields, **changes})


WIDE = Picture(aspect=Fraction(16, 9), fps=Fraction(24), has_alpha=False, seconds=2.0)


def command_line(recipe: ConformRecipe) -> str:
    return " ".join(conform_command(recipe, Path("/in/a.mp4"), Path("/out/b.mp4"), None, None, WIDE).arguments)


def test_the_command_forces_key_frames_where_the_windows_end() -> None:
    assert "expr:eq(n,0)+eq(n,12)+eq(n,45)" in command_line(plain(head=12, tail=15))


def test_frames_that_are_mixed_into_a_transition_get_bits_instead_of_search() -> None:
    sketched = command_line(plain(head=12, tail=15))
    assert "stitchable=1:zones=0,11,b=1.5,subme=2,trellis=0,me=dia/45,59,b=1.5,subme=2,trellis=0,me=dia" in sketched
    assert "zones" not in command_line(plain())
    assert "zones" not in command_line(plain(head=12, encode=EncodeSettings(crf=28, preset="ultrafast")))


@pytest.mark.parametrize("preset", ["medium", "slow", "veryslow"])
def test_a_zone_leaves_the_parameter_sets_alone(tmp_path: Path, preset: str) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 24)
    settings = EncodeSettings(crf=23, preset=preset)
    plainly = conform_clip(tmp_path / "a", raw, 24, encode=settings)
    sketched = conform_clip(tmp_path / "b", raw, 24, head=6, tail=9, encode=settings)
    assert plainly.facts["avcc"] == sketched.facts["avcc"]


def test_the_command_caps_the_bit_rate_only_when_asked() -> None:
    capped = command_line(plain(encode=EncodeSettings(crf=20, preset="medium", max_kbit=6000)))
    assert "-bufsize 12000k" in capped
    assert "-maxrate 6000k" in capped
    assert "maxrate" not in command_line(plain())


@pytest.mark.parametrize(("width", "height", "references"), [(3840, 2160, "-refs 5 "), (1080, 1920, None)])
def test_the_slowest_presets_stay_within_level_5_2(width: int, height: int, references: str | None) -> None:
    line = command_line(plain(width=width, height=height, encode=EncodeSettings(crf=15, preset="veryslow")))
    assert references in line if references else "-refs" not in line


@pytest.mark.parametrize("fps", [Fraction(1), FILM, Fraction(25), BROADCAST, Fraction(120), Fraction(2997, 100)])
def test_a_frame_lasts_a_whole_number_of_ticks(fps: Fraction) -> None:
    assert ticks(fps) * fps == timescale(fps) >= 10_000


def test_the_command_is_the_same_each_time() -> None:
    assert command_line(plain()) == command_line(plain())


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("fps", [24, 30, BROADCAST, 60])
def test_exactly_the_asked_frames_come_out_with_key_frames_at_the_windows(
    tmp_path: Path, fps: Fraction | int, preset: str
) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 30)
    encode = EncodeSettings(crf=28, preset=preset)
    made = conform_clip(tmp_path / "out", raw, 37, fps, head=5, tail=7, encode=encode).files["main"]
    table = inspect(made, Fraction(fps), "the clip")
    assert table.frames == len(decode(made)) == 37
    assert {0, 5, 30} <= table.cuts
    assert table.delay == (0 if preset == "ultrafast" else 2)
    assert sorted(pts for pts, _ in packet_times(made)) == [n / Fraction(fps) for n in range(37)]


@pytest.mark.parametrize(("source", "target"), [
    (Fraction(24), Fraction(30)), (Fraction(30), Fraction(24)), (Fraction(24), Fraction(60)), (Fraction(25), BROADCAST),
    (FILM, Fraction(24)), (Fraction(60), FILM), (Fraction(12), Fraction(12)),
])
def test_frame_i_shows_the_source_at_its_own_time_to_a_millisecond(
    tmp_path: Path, source: Fraction, target: Fraction
) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 40, source)
    frames = int(40 / source * target) - 1
    made = conform_clip(tmp_path / "out", raw, frames, target).files["main"]
    assert shown(made) == [int((i / target + Fraction(1, 1000)) * source) for i in range(frames)]


def test_a_millisecond_clock_loses_and_doubles_no_frame(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mkv", 60, 30)
    assert shown(conform_clip(tmp_path / "out", raw, 60, 30).files["main"]) == list(range(60))


def test_the_last_frame_is_held_when_the_source_ends_early(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 12, 24)
    outcome = conform_clip(tmp_path / "out", raw, 25, 24)
    assert shown(outcome.files["main"]) == [*range(12), *[11] * 13]
    assert outcome.facts["held"] == 13


def test_a_clip_of_one_frame_fills_any_length(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 1, 24)
    assert shown(conform_clip(tmp_path / "out", raw, 10, 60).files["main"]) == [0] * 10


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_still_lasts_as_long_as_asked(tmp_path: Path, kind: str) -> None:
    still = tmp_path / "still"                        # the store's files have no suffix
    Image.fromarray(coded_picture(3, 77, 160, 90)).convert("RGB").save(still, kind)
    outcome = conform_clip(tmp_path / "out", still, 20, BROADCAST)
    codes = [read_code(luma(planes)) for planes in decode(outcome.files["main"])]
    assert codes == [(3, 77)] * 20
    assert outcome.facts["held"] == 0


def corners(size: tuple[int, int]) -> Pixels:
    """White, with a black square in each corner: where they are tells what of the picture is left."""
    width, height = size
    picture = np.full((height, width, 3), 235, np.uint8)
    side = min(size) // 8
    for rows in (slice(0, side), slice(height - side, height)):
        for columns in (slice(0, side), slice(width - side, width)):
            picture[rows, columns] = 0
    return picture


def still_of(folder: Path, pixels: Pixels) -> Path:
    path = folder / "still.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("source", "target"), [
    ((320, 180), (90, 160)), ((180, 320), (160, 90)), ((200, 200), (160, 90)), ((320, 100), (160, 90)),
])
def test_another_shape_keeps_all_of_the_picture(
    tmp_path: Path, source: tuple[int, int], target: tuple[int, int]
) -> None:
    still = still_of(tmp_path, corners(source))
    grey = luma(decode(conform_clip(tmp_path / "out", still, 2, 24, target).files["main"])[0]).astype(int)
    scale = min(target[0] / source[0], target[1] / source[1])
    width, height = source[0] * scale, source[1] * scale
    left, top, side = (target[0] - width) / 2, (target[1] - height) / 2, min(width, height) / 8
    for x in (left + side / 2, left + width - side / 2):
        for y in (top + side / 2, top + height - side / 2):
            found = grey[round(y), round(x)]
            assert found < 50, f"the corner mark at {x:.0f},{y:.0f} is gone: {found}"
    assert grey[target[1] // 2, target[0] // 2] > 200


def test_the_fill_is_darker_than_the_picture_and_not_black(tmp_path: Path) -> None:
    still = still_of(tmp_path, np.full((180, 320, 3), 200, np.uint8))
    grey = luma(decode(conform_clip(tmp_path / "out", still, 2, 24, (90, 160)).files["main"])[0])
    fill, picture = int(grey[10, 45]), int(grey[80, 45])
    assert 40 < fill < picture - 50, f"fill {fill}, picture {picture}"


def test_nearly_the_same_shape_fills_the_frame(tmp_path: Path) -> None:
    still = still_of(tmp_path, np.full((256, 463, 3), 200, np.uint8))       # 1.7 % wider than 16:9
    grey = luma(decode(conform_clip(tmp_path / "out", still, 1, 24, (640, 360)).files["main"])[0]).astype(int)
    assert grey.max() - grey.min() < 4, f"{grey.min()} to {grey.max()}: there is a margin"


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 4, 24, size=(80, 90), filters="setsar=2")
    assert look(raw).aspect == Fraction(16, 9)
    made = conform_clip(tmp_path / "out", raw, 4, 24).files["main"]
    assert shown(made) == [0, 1, 2, 3]
    with av.open(str(made)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 1


def test_a_clip_that_is_to_be_turned_is_shown_upright(tmp_path: Path) -> None:
    raw, turned = make_clip(tmp_path / "raw.mp4", 3, 24, filters="transpose=1"), tmp_path / "turned.mp4"
    run(Command(
        ("-display_rotation", "90", "-i", local_input(raw), "-c", "copy", local_input(turned)), what="tag a rotation"
    ))
    assert look(turned).aspect == Fraction(16, 9)
    assert shown(conform_clip(tmp_path / "out", turned, 3, 24).files["main"]) == [0, 1, 2]


def test_a_photo_that_is_to_be_turned_is_shown_upright(tmp_path: Path) -> None:
    path, exif = tmp_path / "photo", Image.Exif()
    exif[0x0112] = 6                                  # turn a quarter clockwise to see it upright
    picture = Image.fromarray(coded_picture(1, 9, 160, 90)).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    picture.save(path, "jpeg", exif=exif, quality=95)
    made = conform_clip(tmp_path / "out", path, 1, 24).files["main"]
    assert read_code(luma(decode(made)[0])) == (1, 9)


@pytest.mark.parametrize("pixel_format", ["yuv422p10le", "yuv444p", "gbrp", "gray", "yuvj420p"])
def test_any_pixel_format_becomes_8_bit_420(tmp_path: Path, pixel_format: str) -> None:
    options = ("-c:v", "ffv1", "-pix_fmt", pixel_format)
    made = conform_clip(tmp_path / "out", make_clip(tmp_path / "raw.mkv", 3, 24, options=options), 3, 24).files["main"]
    assert probe(made).pixel_format == "yuv420p"
    assert shown(made) == [0, 1, 2]


def test_transparent_parts_become_black_not_their_hidden_colour(tmp_path: Path) -> None:
    pixels = np.full((90, 160, 4), 255, np.uint8)
    pixels[:, :80, 3] = 0
    grey = luma(decode(conform_clip(tmp_path / "out", still_of(tmp_path, pixels), 1, 24).files["main"])[0])
    assert grey[45, 20] < 25
    assert grey[45, 140] > 225


def test_colours_survive_as_tagged_bt709(tmp_path: Path) -> None:
    still = still_of(tmp_path, np.full((90, 160, 3), (200, 40, 30), np.uint8))
    made = conform_clip(tmp_path / "out", still, 1, 24, encode=EncodeSettings(crf=4, preset="medium")).files["main"]
    with av.open(str(made)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)
    y, u, v = (int(plane[3, 3]) for plane in (frame.to_ndarray()[:90], frame.to_ndarray()[90:112].reshape(-1, 80),
                                              frame.to_ndarray()[113:].reshape(-1, 80)))
    luminance, blue, red = 1.164 * (y - 16), u - 128, v - 128
    rgb = (luminance + 1.793 * red, luminance - 0.213 * blue - 0.533 * red, luminance + 2.112 * blue)
    assert rgb == pytest.approx((200, 40, 30), abs=5)


def test_the_parameter_sets_do_not_depend_on_what_is_shown(tmp_path: Path) -> None:
    long, short = make_clip(tmp_path / "a.mp4", 50), make_clip(tmp_path / "b.mp4", 1, 12, size=(64, 64), clip=5)
    first = conform_clip(tmp_path / "x", long, 50, 30, encode=MEDIUM)
    coarser = EncodeSettings(crf=35, preset="medium")
    second = conform_clip(tmp_path / "y", short, 3, 30, head=1, encode=coarser)
    assert first.facts["avcc"] == second.facts["avcc"]


def test_equal_recipes_give_equal_bytes(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 20)
    first, second = (conform_clip(tmp_path / name, raw, 25, encode=MEDIUM).files["main"] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    made = conform_clip(tmp_path / "out", make_clip(tmp_path / "raw.mp4", 5), 5).files["main"].read_bytes()
    assert 0 < made.index(b"moov") < made.index(b"mdat")


def test_cues_change_the_frames_in_which_they_are_shown_and_no_other(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 24, 24, size=(320, 180))
    fine = EncodeSettings(crf=1, preset="ultrafast")
    changes = {"width": 320, "height": 180, "fps": 24, "frames": 24, "encode": fine}
    bare = conform(plain(**changes), room_in(tmp_path / "bare", raw)).files["main"]
    cues = (Cue(text="Hello there", start=0.25, end=0.5),)
    burned = conform(plain(**changes, cues=cues), room_in(tmp_path / "it's: [a], 'test';", raw)).files["main"]
    different = [
        n for n, (a, b) in enumerate(zip(decode(bare), decode(burned), strict=True))
        if np.abs(luma(a).astype(int) - luma(b)).max() > 60
    ]
    assert different == list(range(6, 12))


def test_karaoke_that_knows_no_times_of_words_says_so(tmp_path: Path) -> None:
    raw, heard = make_clip(tmp_path / "raw.mp4", 24, 24), SpokenWord(text="Hello", start=0.1, end=0.3)
    cues = (Cue(text="Hello", start=0.0, end=0.4, words=(heard,)), Cue(text="there", start=0.5, end=0.9))
    sung = plain(fps=24, frames=24, cues=cues, style=CaptionStyle(karaoke=True))
    (told,) = conform(sung, room_in(tmp_path / "sung", raw)).warnings
    assert "known for 1 of 2 captions" in told, told
    assert conform(plain(fps=24, frames=24, cues=cues), room_in(tmp_path / "plain", raw)).warnings == ()


def test_the_facts_say_what_came_out(tmp_path: Path) -> None:
    facts = conform_clip(tmp_path / "out", make_clip(tmp_path / "raw.mp4", 10), 12, BROADCAST).facts
    assert facts == {
        "frames": 12, "fps": "30000/1001", "width": 160, "height": 90, "duration": pytest.approx(0.4004),
        "avcc": facts["avcc"], "held": 0, "frames_encoded": 12, "passed_through": False,
        "reason": facts["reason"],
    }


def test_a_clip_that_is_conformed_already_is_copied_and_not_encoded(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 30, 30)
    first = conform_clip(tmp_path / "a", raw, 30, 30, head=6, tail=9, encode=MEDIUM)
    again = conform_clip(tmp_path / "b", first.files["main"], 30, 30, head=6, encode=MEDIUM)
    assert (again.facts["passed_through"], again.facts["frames_encoded"]) == (True, 0), again.facts
    assert hashes(again.files["main"]) == hashes(first.files["main"])
    assert packet_times(again.files["main"]) == packet_times(first.files["main"])


@pytest.mark.parametrize(("changes", "reason"), [
    ({"width": 180}, "another shape"),
    ({"width": 320, "height": 180}, "it is 160x90"),
    ({"fps": 25}, "none of 25 a second"),
    ({"frames": 29}, "it has 30 frames, not 29"),
    ({"head": 7}, "cannot be cut before its frame 7"),
    ({"encode": EncodeSettings(crf=23, preset="slow")}, "with other settings"),
    ({"cues": (Cue(text="Hello", start=0.2, end=0.5),)}, "captions are burned"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_differs_in_anything_that_is_asked_is_encoded(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 30, 30)
    first = conform_clip(tmp_path / "a", raw, 30, 30, head=6, encode=MEDIUM).files["main"]
    facts = conform(plain(**{"frames": 30, "head": 6, **changes}), room_in(tmp_path / "b", first)).facts
    assert facts["passed_through"] is False
    assert reason in facts["reason"], facts["reason"]
    assert facts["frames_encoded"] == facts["frames"]


def test_a_sound_does_not_pass_through_with_its_clip(tmp_path: Path) -> None:
    first = conform_clip(tmp_path / "a", make_clip(tmp_path / "raw.mp4", 30, 30), 30, 30).files["main"]
    heard = with_tone(first, tmp_path / "heard.mp4", 440)
    again = conform_clip(tmp_path / "b", heard, 30, 30)
    assert again.facts["passed_through"], again.facts
    assert not probe(again.files["main"]).has_audio


def test_a_conformed_clip_that_is_to_be_turned_does_not_pass_through(tmp_path: Path) -> None:
    first = conform_clip(tmp_path / "a", make_clip(tmp_path / "raw.mp4", 4, 30, (96, 96)), 4, 30, (96, 96))
    turned = tmp_path / "turned.mp4"
    run(Command(("-display_rotation", "180", "-i", local_input(first.files["main"]), "-c", "copy",
                 local_input(turned)), what="tag a rotation"))
    assert not conform_clip(tmp_path / "b", turned, 4, 30, (96, 96)).facts["passed_through"]


@pytest.mark.parametrize(("height", "red"), [(720, 81), (360, 62)])
def test_untagged_pictures_are_bt709_from_720_lines_on(tmp_path: Path, height: int, red: int) -> None:
    raw = tmp_path / "raw.mp4"                        # Y=81 of bt601's red is Y=62 of bt709's
    source = f"color=c=red:s={height * 16 // 9}x{height}:r=24,format=yuv420p"
    run(Command(("-f", "lavfi", "-i", source, "-frames:v", "1", "-c:v",
                 "libx264", "-qp", "0", local_input(raw)), what="make a red clip"))
    made = conform_clip(tmp_path / "out", raw, 1, 24, (160, 90)).files["main"]
    assert luma(decode(made)[0])[45, 80] == pytest.approx(red, abs=2)


def test_windows_longer_than_the_clip_are_refused_before_anything_is_encoded(tmp_path: Path) -> None:
    with pytest.raises(SceneTooShort, match=r"needs 0\.667 s for its transitions"):
        conform_clip(tmp_path / "out", tmp_path / "not there", 19, 30, head=10, tail=10, encode=FAST)


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(MediaUnreadable, match=r"text\.mp4 cannot be read as a clip or picture"):
        conform_clip(tmp_path / "out", tmp_path / "text.mp4", 5)
