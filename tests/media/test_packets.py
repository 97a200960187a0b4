"""The laws of packet tables and copies; what a reel is made of them is in test_splice.py."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from callsheet.errors import MediaError
from callsheet.media.packets import copier, inspect, timetable
from tests.media.clips import conformed_for, foreign, make_clip, splice_recipe
from tests.media.seen import units_in


def test_a_clip_with_open_gops_may_be_cut_only_where_a_gop_is_closed(tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=8:min-keyint=1:scenecut=0:bframes=3:b-adapt=0")
    raw = make_clip(tmp_path / "raw.mp4", 40, 30, options=(*options, "-pix_fmt", "yuv420p"))
    with av.open(str(raw)) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert keys > 3
    assert inspect(raw, Fraction(30), "the clip").cuts == {0, 40}


def test_a_key_frame_that_is_no_idr_is_no_place_to_cut(tmp_path: Path) -> None:
    options = foreign("veryfast", "-x264-params", "intra-refresh=1:keyint=8:bframes=0:scenecut=0")
    raw = make_clip(tmp_path / "raw.mp4", 40, 30, options=options)
    with av.open(str(raw)) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert keys > 1
    assert inspect(raw, Fraction(30), "the clip").cuts == {0, 40}


def test_parameter_sets_among_the_pictures_are_refused(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 8, 30, options=foreign("veryfast", "-bsf:v", "dump_extra=freq=keyframe"))
    assert units_in(raw) & {7, 8}
    with pytest.raises(MediaError, match="the clip carries parameter sets among its pictures"):
        inspect(raw, Fraction(30), "the clip")


def test_other_codecs_have_a_timetable_but_cannot_be_copied(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 8, 30, options=("-c:v", "mpeg4", "-bf", "2"))
    assert timetable(raw, Fraction(30), "the clip").frames == 8
    with pytest.raises(MediaError, match="the clip is mpeg4, not H.264"):
        inspect(raw, Fraction(30), "the clip")


def test_a_clock_of_milliseconds_is_told_from_another_rate(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mkv", 60, Fraction(30000, 1001), options=foreign())
    assert timetable(raw, Fraction(30000, 1001), "the clip").frames == 60
    with pytest.raises(MediaError, match="which is none of 30 a second"):
        timetable(raw, Fraction(30), "the clip")


def test_a_clip_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "raw.mp4", 60, 30, options=foreign("veryfast", "-movflags", "+faststart")).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError, match=r"ends after \d+ of its 60 frames"):
        inspect(tmp_path / "cut.mp4", Fraction(30), "the clip")


def test_a_full_disk_is_not_blamed_on_a_clip(tmp_path: Path) -> None:
    clip = conformed_for(splice_recipe((10,), ()), tmp_path)[0]
    with (
        pytest.raises(MediaError, match="could not write the copied packets"),
        copier(Path("/dev/full"), clip, Fraction(30), 0) as out,
    ):
        out.copy(clip, 0, 10, "clip 1")


_COPY_AND_TELL_GROWTH = """
import resource, sys
from fractions import Fraction
from pathlib import Path
from callsheet.media.packets import copier, inspect

def copy(source, frames):
    with copier(Path(sys.argv[3]), source, Fraction(30), 0) as out:
        out.copy(source, 0, frames, "the clip")
    inspect(source, Fraction(30), "the clip")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

print(-copy(Path(sys.argv[1]), 20) + copy(Path(sys.argv[2]), 600))
"""


@pytest.mark.slow
def test_memory_stays_flat_however_long_a_clip_is(tmp_path: Path) -> None:
    noise = ("-c:v", "libx264", "-qp", "4", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    filters = "scale=480:270,noise=alls=90:allf=t"
    short = make_clip(tmp_path / "short.mp4", 20, 30, options=noise, filters=filters)
    long = make_clip(tmp_path / "long.mp4", 600, 30, options=noise, filters=filters)
    script = [sys.executable, "-c", _COPY_AND_TELL_GROWTH, str(short), str(long), str(tmp_path / "copy.mp4")]
    told = subprocess.run(script, capture_output=True, text=True, check=True)
    growth, size = int(told.stdout) * 1024, long.stat().st_size
    assert size > 40_000_000
    assert growth < size / 4, f"{growth} bytes more at the peak for a clip of {size}"
