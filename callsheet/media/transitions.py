"""Each kind of transition as ffmpeg's xfade knows it. When one happens is the plan's matter, how it is cut
is splice.py's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from callsheet.presets import TransitionKind

XFADE: Mapping[TransitionKind, str] = MappingProxyType({
    TransitionKind.FADE: "fadeblack",
    TransitionKind.CROSSFADE: "fade",
    TransitionKind.WIPE: "wipeleft",
    TransitionKind.SLIDE: "slideleft",
    TransitionKind.ZOOM: "zoomin",
    TransitionKind.DISSOLVE: "dissolve",
})
"""Every kind but the cut, which has no frames of its own."""
