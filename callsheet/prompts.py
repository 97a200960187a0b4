"""The words an engine is given: poster, takes and segments, and what must not be seen.

Pure functions of actors and scenes. Covers the poster template, each character's sheet, and who stands where
when several are seen; not the engines' own syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from callsheet.models import Actor, Scene, TakeSpec

POSTER_TEMPLATE = (
    "vibrant artistic illustration of ({character_id}, {customActorDescription}) in a full body image, \n"
    "stylized storyboard art, direct eye contact with viewer, bright colorful palette, bold primary colors, \n"
    "strong highlights, artistic line work, graphic novel style, exaggerated expressions, \n"
    "character animation reference sheet, clean outlines, studio ghibli inspired, digital cel-shading, \n"
    "vivid background colors, illustration art, looking directly at camera, illustrative character design, \n"
    "flat color blocks with minimal gradients, high contrast, pop-art influence, animation key frame quality, \n"
    "bright lighting, storyboard artist masterpiece, simplified yet expressive features, square composition, \n"
    "centered framing, comic book cover, halftone dot texture, bold ink outlines, poster frame, \n"
    "(realistic body proportions++)"
)
"""Verbatim from the source system, line breaks included; the id is the LoRA's trigger word."""

_ANGLES = {"front": "front view", "three_quarter": "three-quarter view", "closeup": "close-up"}
_PLACES = {2: ("on the left", "on the right"), 3: ("on the left", "in the centre", "on the right")}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def poster_prompt(actor: Actor, background: str = "") -> str:
    """The template with the actor's id and description; the character sheet stands in for a missing description."""
    described = actor.description.strip() or _joined((actor.sheet.appearance, actor.sheet.clothing))
    # Replaced, not formatted: a description may hold braces of its own.
    prompt = POSTER_TEMPLATE.replace(
        "{character_id}, {customActorDescription}", _joined((actor.id, described))
    )
    return _joined((prompt, f"background: {background.strip()}" if background.strip() else ""))


def take_prompt(actor: Actor, take: TakeSpec) -> str:
    """A persona's base clip: the character, an expression and a view."""
    return _joined((*_character(actor), *_expression(take), actor.sheet.style))


def persona_prompt(persona_id: str, archetype: str, take: TakeSpec) -> str:
    """A base clip of a persona that is known by a picture instead of a LoRA."""
    return _joined((persona_id, archetype, *_expression(take)))


def segment_prompt(scene: Scene, actors: Sequence[Actor]) -> str:
    """The scene's words, then every character that is seen in it, with its sheet and its place in the picture.

    `actors` holds at least those the scene names; a scene without a cast of its own shows all of them.
    """
    seen = [actor for actor in actors if not scene.cast or actor.id in scene.cast]
    parts = [scene.prompt.strip(), *_expression(scene)]
    parts += [_joined((*_character(actor), place)) for actor, place in placed(scene.prompt, seen)]
    if len(seen) > 1:
        count = "both" if len(seen) == 2 else "all"
        parts.append(f"{count} characters clearly visible")
    return _joined(_once((*parts, *(actor.sheet.style for actor in seen))))


def negative_prompt(actors: Sequence[Actor]) -> str:
    """What must not be seen, once each.

    With several characters, a term that another's sheet or description asks for is left out: `male` kept off
    one of them must not remove the other.
    """
    terms: list[str] = []
    for actor in actors:
        wanted = " ".join(_words_about(other) for other in actors if other.id != actor.id)
        terms += [term for term in _terms(actor.sheet.negative) if not _mentions(wanted, term)]
    return ", ".join(_once(terms))


def placed(prompt: str, actors: Sequence[Actor]) -> list[tuple[Actor, str]]:
    """Who stands where, from left to right. A single character has no place.

    Words such as `Temo in a space suit on the right` in the prompt decide; otherwise the cast's order does.
    """
    if len(actors) < 2:
        return [(actor, "") for actor in actors]
    ordered = sorted(actors, key=lambda actor: _side(prompt, actor))      # stable: the cast's order stays
    places = _PLACES.get(len(ordered)) or tuple(f"{word} from the left" for word in _ORDINALS)
    return list(zip(ordered, places, strict=False))


def _side(prompt: str, actor: Actor) -> int:
    for name in (actor.display_name, actor.id):
        found = re.search(rf"\b{re.escape(name)}\b[^,.;:]*?\bon (?:the )?(left|right)\b", prompt, re.IGNORECASE)
        if found:
            return -1 if found[1].lower() == "left" else 1
    return 0


def _character(actor: Actor) -> Iterator[str]:
    """Names the trigger word first: the LoRA was trained with it."""
    yield actor.id if actor.name in ("", actor.id) else f"{actor.id} {actor.name}"
    yield actor.sheet.appearance or actor.description
    yield actor.sheet.clothing


def _expression(shot: Scene | TakeSpec) -> Iterator[str]:
    if shot.emotion != "neutral":
        degree = "slightly " if shot.intensity < 0.35 else "very " if shot.intensity > 0.8 else ""
        yield f"{degree}{shot.emotion.replace('_', ' ')} expression"
    yield _ANGLES.get(shot.angle) or f"{shot.angle.replace('_', ' ')} view"


def _words_about(actor: Actor) -> str:
    sheet = actor.sheet
    return " ".join((actor.id.replace("_", " "), actor.description, sheet.appearance, sheet.clothing, sheet.style))


def _mentions(text: str, term: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.IGNORECASE) is not None


def _terms(text: str) -> Iterator[str]:
    return (term.strip() for term in text.split(",") if term.strip())


def _once(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parts))


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part.strip().rstrip(",") for part in parts if part.strip())
