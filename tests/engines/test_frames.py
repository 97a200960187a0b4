"""Pictures in and clips out for engines that get whole frames from a model."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.frames import fitted, read_picture, write_clip, write_poster, write_still
from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.probe import probe
from tests.support.clips import apart, decoded

RATE = Fraction(24)


def ramp(frames: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """A soft picture that becomes redder."""
    x = np.linspace(40, 200, width)[None, :].repeat(height, 0)
    return [np.stack([np.full_like(x, 30 + 5 * n), x, 240 - x], axis=-1).astype(np.uint8) for n in range(frames)]


def test_a_clip_keeps_its_frames_size_rate_and_colours(tmp_path: Path) -> None:
    frames = ramp(7)
    last = write_clip(frames, 64, 48, Fraction(30000, 1001), tmp_path / "a.mp4", "encode a")
    facts = probe(tmp_path / "a.mp4")
    assert (facts.frames, facts.width, facts.height, facts.fps) == (7, 64, 48, Fraction(30000, 1001))
    assert (facts.video_codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", False)
    assert np.array_equal(np.asarray(last), frames[-1])
    difference = max(apart(one.astype(np.float32), other) for one, other in
                     zip(frames, decoded(tmp_path / "a.mp4"), strict=True))
    assert difference < 4, f"{difference:.2f}: a full-range or BT.601 conversion would be further off"


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_clip(ramp(5), 64, 48, RATE, tmp_path / f"{name}.mp4", "encode")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_frames_may_come_one_by_one(tmp_path: Path) -> None:
    write_clip((frame for frame in ramp(3)), 64, 48, RATE, tmp_path / "a.mp4", "encode")
    assert probe(tmp_path / "a.mp4").frames == 3


@pytest.mark.parametrize(
    "frames", [[], [np.zeros((48, 62, 3), np.uint8)], [np.zeros((48, 64, 3), np.float32)]], ids=["none", "size", "kind"]
)
def test_no_frames_or_others_than_were_said_are_refused(frames: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="could not encode scene 1"):
        write_clip(frames, 64, 48, RATE, tmp_path / "a.mp4", "encode scene 1")


def test_a_picture_is_read_upright_as_rgb(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 20), (255, 0, 0, 128))
    image.save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png").mode, read_picture(tmp_path / "a.png").size) == ("RGB", (40, 20))
    turned = Image.Exif()
    turned[0x0112] = 6
    image.convert("RGB").save(tmp_path / "b.jpg", exif=turned)
    assert read_picture(tmp_path / "b.jpg").size == (20, 40)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n truncated"])
def test_what_is_no_picture_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(MediaUnreadable, match=r"x\.png cannot be read as a picture"):
        read_picture(tmp_path / "x.png")


def test_a_fitted_picture_covers_its_size_and_loses_its_edges_alone() -> None:
    image = Image.new("RGB", (300, 100), (0, 0, 255))
    image.paste((255, 0, 0), (100, 0, 200, 100))
    square = np.asarray(fitted(image, 50, 50))
    assert square.shape == (50, 50, 3)
    assert (square[:, 5:45] == (255, 0, 0)).all(), "the middle is kept"
    assert fitted(image, 300, 100) is image


def test_a_still_is_a_png_without_loss_and_a_poster_a_jpeg_in_full_colour(tmp_path: Path) -> None:
    image = Image.fromarray(ramp(1)[0])
    write_still(image, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as again:
        assert again.format == "PNG" and np.array_equal(np.asarray(again), np.asarray(image))
    write_poster(image, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as again:
        assert again.format == "JPEG" and again.size == image.size
        assert apart(np.asarray(again, np.float32), np.asarray(image, np.float32)) < 2


def torn_png() -> bytes:
    """Its second piece of pixels has a name that no piece has, which Pillow only sees while it decodes."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = zlib.compress(bytes(64 * 3 + 1) * 48, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", pixels[:600]) + chunk(b"\xc7\xa98S", pixels[600:]) + chunk(b"IEND", b""))


def torn_exif(tmp_path: Path) -> bytes:
    """A JPEG whose words about itself are of a kind that Pillow cannot write again, which turning it upright does."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    Image.new("RGB", (32, 16)).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    return data.replace(struct.pack(">HHI", 0x010E, 2, 6), struct.pack(">HHI", 0x0100, 2, 6))


def test_a_picture_that_is_torn_in_any_way_is_told(tmp_path: Path) -> None:
    for name, data in (("torn.png", torn_png()), ("torn.jpg", torn_exif(tmp_path))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaUnreadable, match=f"{name} cannot be read as a picture"):
            read_picture(tmp_path / name)


def test_the_words_that_a_picture_carried_are_in_nothing_that_is_made_of_it(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", comment=b"the whole prompt")
    picture = read_picture(tmp_path / "a.jpg")
    write_poster(fitted(picture, 32, 32), tmp_path / "poster.jpg")
    write_still(picture, tmp_path / "last.png")
    for name in ("poster.jpg", "last.png"):
        assert b"the whole prompt" not in (tmp_path / name).read_bytes(), name
