"""The laws of packet tables and copies; what a reel is made of them is in test_splice.py."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from callsheet.errors import MediaError
from callsheet.media.packets import copier, inspect
from tests.media.clips import conformed_for, make_clip, splice_recipe


def test_a_clip_with_open_gops_may_be_cut_only_where_a_gop_is_closed(tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=8:min-keyint=1:scenecut=0:bframes=3:b-adapt=0")
    raw = make_clip(tmp_path / "raw.mp4", 40, 30, options=(*options, "-pix_fmt", "yuv420p"))
    with av.open(str(raw)) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert keys > 3
    assert inspect(raw, Fraction(30), "the clip").cuts == {0, 40}


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
