"""From raw clips to the reel as recipes: conform and splice, once the times of a film are laid out. Pure."""

from __future__ import annotations

from callsheet.cues import shifted, wordless
from callsheet.finishing import drawn
from callsheet.models import CaptionMode, Cue, Order
from callsheet.presets import DELIVER, ENCODE
from callsheet.recipe import Recipe
from callsheet.recipes import ConformRecipe, EncodeSettings, SpliceRecipe
from callsheet.timeline import SegmentTime, Timeline


def conform(order: Order, time: Timeline, clip: Recipe, part: SegmentTime, cues: tuple[Cue, ...]) -> ConformRecipe:
    """A clip at the delivery's size and rate. `cues` are the whole film's, in its seconds; drawn where they burn."""
    burned = order.captions.mode is CaptionMode.BURNED
    start, end = (time.seconds_at(n) for n in (part.film_frame, part.film_frame + part.frames))
    shown = shifted(cues, start, end) if burned else ()
    if not order.captions.style.karaoke:              # then the times of words are not in the picture
        shown = wordless(shown)
    return ConformRecipe(
        label=clip.label,
        clip=clip.ref(),
        width=order.delivered.width,
        height=order.delivered.height,
        fps=order.delivered.fps,
        frames=part.frames,
        head=part.head,
        tail=part.tail,
        encode=_encode(order),
        cues=shown,
        style=drawn(order.captions.style) if shown else None,
    )


def splice(order: Order, time: Timeline, clips: list[ConformRecipe]) -> SpliceRecipe:
    """The reel of all clips, in the order of play."""
    return SpliceRecipe(
        label=order.title,
        clips=tuple(clip.ref() for clip in clips),
        clip_frames=tuple(clip.frames for clip in clips),
        joins=time.joins,
        fps=time.fps,
        encode=_encode(order),
    )


def _encode(order: Order) -> EncodeSettings:
    profile, tier = ENCODE[order.quality], DELIVER[order.quality]
    own = order.delivered
    is_tier = own.fps == tier.fps and {own.width, own.height} == {tier.width, tier.height}
    return EncodeSettings(crf=profile.crf, preset=profile.preset, max_kbit=tier.kbit if is_tier else None)
