"""Who looks how: one distinct look for each actor, from its id and the bytes of its LoRA.

The id decides the person (skin, hair, eyes, clothes); its own words for age and gender are read where it has
them (`0001_european_20_female`). The LoRA's digest shifts colours and adds a detail, so a retrained actor is
the same person, visibly changed. Not read: the prompt, because one actor must look the same in every scene.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from callsheet.engines.drawing.dice import Colour, Dice, hsv, mix
from callsheet.recipes import LoraUse

SKINS: tuple[Colour, ...] = (
    (255, 222, 196), (250, 208, 176), (240, 190, 152), (222, 166, 124), (196, 136, 96), (160, 104, 70), (118, 76, 54),
)
HAIRS: tuple[Colour, ...] = (
    (44, 36, 44), (74, 46, 38), (112, 66, 40), (150, 92, 50), (226, 180, 96), (244, 212, 136), (178, 72, 40),
    (62, 58, 82),
)
IRISES: tuple[Colour, ...] = ((84, 54, 36), (58, 96, 160), (64, 128, 92), (110, 122, 136), (120, 84, 36))
GREY: Colour = (196, 196, 204)

HAIRCUTS = ("long", "bob", "ponytail", "bun", "curly", "pixie", "short", "quiff", "spiky")
_CUTS_BY_WORD = {
    "female": ("long", "bob", "ponytail", "bun", "curly", "pixie"),
    "male": ("short", "quiff", "spiky", "curly"),
}
CLOTHES = ("tee", "shirt", "hoodie", "jacket", "turtleneck")
PATTERNS = ("plain", "stripes", "dots", "block")
DETAILS = ("none", "glasses", "earrings", "scarf", "necklace", "badge")


@dataclass(frozen=True)
class Look:
    """Everything about a person that does not change with the scene."""

    actor_id: str
    name: str
    """As shown; the id where there is no display name."""
    skin: Colour
    hair: Colour
    iris: Colour
    cloth: Colour
    cloth2: Colour
    haircut: str
    clothes: str
    pattern: str
    detail: str
    lashes: bool
    young: float
    """0 for a grown face, 1 for a child's: rounder, with larger eyes."""


def look_of(use: LoraUse) -> Look:
    """The look of one character slot. `strength` is how strongly its colours show."""
    words = re.split(r"[_\-\s]+", use.name.lower())
    born, trained = Dice("person 21", use.name), Dice("training", use.name, use.sha256 or "")
    age = next((int(word) for word in words if re.fullmatch(r"[1-9]\d", word)), 30)
    gender = next((word for word in words if word in _CUTS_BY_WORD), "")
    vivid = min(1.0, 0.62 + 0.3 * use.strength)
    hue = born.unit("cloth") + trained.between("cloth", -0.07, 0.07)
    hair = mix(born.pick("hair", HAIRS), hsv(trained.unit("tint"), 0.6, 0.6), trained.between("tint share", 0.02, 0.12))
    return Look(
        actor_id=use.name,
        name=use.display_name or use.name,
        skin=born.pick("skin", SKINS),
        hair=mix(hair, GREY, 0.8) if age >= 60 else hair,
        iris=born.pick("iris", IRISES),
        cloth=hsv(hue, vivid * born.between("saturation", 0.66, 0.9), born.between("value", 0.72, 0.95)),
        cloth2=hsv(hue + born.pick("second", (0.09, 0.42, 0.5, 0.58)), vivid * 0.5, 0.96),
        haircut=born.pick("haircut", _CUTS_BY_WORD.get(gender, HAIRCUTS)),
        clothes=born.pick("clothes", CLOTHES),
        pattern=trained.pick("pattern", PATTERNS),
        detail=trained.pick("detail", DETAILS),
        lashes=gender == "female" or (gender == "" and born.unit("lashes") < 0.5),
        young=min(max((24 - age) / 14, 0), 1),
    )


def cast_of(loras: Sequence[LoraUse]) -> tuple[Look, ...]:
    """The looks of all character slots, in the cast's order."""
    return tuple(look_of(use) for use in loras if use.role == "character")


def style_words(loras: Sequence[LoraUse]) -> str:
    """Everything about the style slots, for the dice of a background."""
    return " ".join(f"{use.name}:{use.sha256 or ''}:{use.strength}" for use in loras if use.role == "style")
