"""What a test reads out of an MP4 by itself, so that the code under test is not its own witness."""

from __future__ import annotations

from pathlib import Path

import av


def units_in(path: Path) -> set[int]:
    """Types of all NAL units among the pictures of an H.264 MP4; 7 and 8 are parameter sets."""
    found = set()
    with av.open(str(path)) as container:
        width = (container.streams.video[0].codec_context.extradata or bytes(5))[4] % 4 + 1
        for packet in container.demux(video=0):
            data = bytes(packet)
            while len(data) > width:
                found.add(data[width] % 32)
                data = data[width + int.from_bytes(data[:width], "big") :]
    return found
