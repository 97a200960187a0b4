"""The picture that stands for a film."""

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.thumbnail import write_thumbnail


def picture(path):
    with Image.open(path) as image:
        assert image.format == "JPEG"
        return np.asarray(image, int)


def film(path, graph, *options):
    command = ("-f", "lavfi", "-i", graph, "-c:v", "libx264", "-pix_fmt", "yuv420p", *options, local_input(path))
    run(Command(command, "make a reel"))
    return path


def test_it_is_a_jpeg_of_the_film_s_size_from_a_third_in(tmp_path):
    moment = write_thumbnail(film(tmp_path / "a.mp4", "testsrc2=s=160x90:r=30:d=3"), 3.0, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.size, moment) == ("JPEG", (160, 90), pytest.approx(1))


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
def test_it_shows_the_colours_of_the_film(tmp_path, matrix):
    graph = f"color=0xc04080:s=160x90:r=30:d=1,scale=out_color_matrix={matrix},format=yuv420p"
    write_thumbnail(film(tmp_path / "a.mp4", graph, "-colorspace", matrix), 1.0, tmp_path / "a.jpg")
    found = picture(tmp_path / "a.jpg").mean(axis=(0, 1))
    assert np.abs(found - (0xC0, 0x40, 0x80)).max() < 6, found


def test_a_black_frame_is_passed_over(tmp_path):
    half = "color=black:s=160x90:r=30:d=1[a];testsrc2=s=160x90:r=30:d=1[b];[a][b]concat"
    moment = write_thumbnail(film(tmp_path / "a.mp4", half), 2.0, tmp_path / "a.jpg")
    assert moment == pytest.approx(1.0) and picture(tmp_path / "a.jpg").max() > 200


def test_a_night_scene_with_a_lamp_is_not_black(tmp_path):
    night = "color=black:s=160x90:r=30:d=1,drawbox=x=60:y=30:w=30:h=30:color=white:t=fill"
    assert write_thumbnail(film(tmp_path / "a.mp4", night), 1.0, tmp_path / "a.jpg") == pytest.approx(1 / 3)


def test_a_film_that_is_black_throughout_still_has_one(tmp_path):
    write_thumbnail(film(tmp_path / "a.mp4", "color=black:s=160x90:r=30:d=1"), 1.0, tmp_path / "a.jpg")
    assert picture(tmp_path / "a.jpg").max() < 24


def test_a_film_of_one_frame_has_one(tmp_path):
    write_thumbnail(film(tmp_path / "a.mp4", "testsrc2=s=160x90:r=30:d=0.033"), 1 / 30, tmp_path / "a.jpg")
    assert picture(tmp_path / "a.jpg").shape == (90, 160, 3)


def test_a_file_without_pictures_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(MediaError, match=r"take a frame of a\.mp4"):
        write_thumbnail(tmp_path / "a.mp4", 1.0, tmp_path / "a.jpg")
