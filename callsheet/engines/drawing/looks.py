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
    (255, 222, 196),
    (250, 208, 176),
    (240, 190, 152),
    (222, 166, 124),
    (196, 136, 96),
    (160, 104, 70),
    (118, 76, 54),
)
HAIRS: tuple[Colour, ...] = (
    (44, 36, 44),
    (74, 46, 38),
    (112, 66, 40),
    (150, 92, 50),
    (226, 180, 96),
    (244, 212, 136),
    (178, 72, 40),
    (62, 58, 82),
)
IRISES: tuple[Colour, ...] = ((84, 54, 36), (58, 96, 160), (64, 128, 92), (110, 122, 136), (120, 84, 36))
CLOTHS: tuple[tuple[float, float, float], ...] = (
    (0.01, 0.66, 0.86),
    (0.06, 0.62, 0.92),
    (0.12, 0.66, 0.92),
    (0.30, 0.42, 0.66),
    (0.42, 0.50, 0.62),
    (0.50, 0.60, 0.70),
    (0.57, 0.58, 0.82),
    (0.64, 0.52, 0.66),
    (0.78, 0.38, 0.66),
    (0.94, 0.48, 0.86),
)
"""Hue, saturation, value of clothes that go with every skin."""
GREY: Colour = (196, 196, 204)

HAIRCUTS = ("long", "bob", "ponytail", "bun", "curly", "pixie", "short", "quiff", "spiky")
_CUTS_BY_WORD = {
    "female": ("long", "bob", "ponytail", "bun", "curly", "pixie"),
    "male": ("short", "quiff", "spiky", "curly"),
}
CLOTHES = ("tee", "shirt", "hoodie", "jacket", "turtleneck")
PATTERNS = ("plain", "stripes", "dots", "block")
DETAILS = ("none", "none", "glasses", "scarf", "badge", "earrings", "necklace")


_CASTING = "person 44216"
"""Salt of the dice; chosen by eye, so that the actors of the examples fit their descriptions."""


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
    born, trained = Dice(_CASTING, use.name), Dice("training", use.name, use.sha256 or "")
    age = next((int(word) for word in words if re.fullmatch(r"[1-9]\d", word)), 30)
    gender = next((word for word in words if word in _CUTS_BY_WORD), "")
    vivid = min(1.0, 0.62 + 0.3 * use.strength)
    hue, saturation, value = born.pick("cloth", CLOTHS)
    hue += trained.between("cloth", -0.06, 0.06)
    skin = born.pick("skin", SKINS)
    natural = born.pick("hair", HAIRS if SKINS.index(skin) < 5 else HAIRS[:3])
    hair = mix(natural, hsv(trained.unit("tint"), 0.6, 0.6), trained.between("tint share", 0.02, 0.12))
    return Look(
        actor_id=use.name,
        name=use.display_name or use.name,
        skin=skin,
        hair=mix(hair, GREY, 0.8) if age >= 60 else hair,
        iris=born.pick("iris", IRISES),
        cloth=hsv(hue, vivid * 1.15 * saturation, value),
        cloth2=hsv(hue + born.pick("second", (-0.08, 0.08, 0.5)), vivid * 0.26, 0.97),
        haircut=born.pick("haircut", _CUTS_BY_WORD.get(gender, HAIRCUTS)),
        clothes=born.pick("clothes", CLOTHES),
        pattern=trained.pick("pattern", PATTERNS),
        detail=trained.pick("detail", DETAILS[:5] if gender == "male" else DETAILS),
        lashes=gender == "female" or (gender == "" and born.unit("lashes") < 0.5),
        young=min(max((24 - age) / 14, 0), 1),
    )


def cast_of(loras: Sequence[LoraUse]) -> tuple[Look, ...]:
    """The looks of all character slots, in the cast's order."""
    return tuple(look_of(use) for use in loras if use.role == "character")


def style_words(loras: Sequence[LoraUse]) -> str:
    """Everything about the style slots, for the dice of a background."""
    return " ".join(f"{use.name}:{use.sha256 or ''}:{use.strength}" for use in loras if use.role == "style")
