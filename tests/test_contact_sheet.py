"""The contact sheet: one page that opens from a folder, whatever people call their films."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import unquote

from callsheet.contact_sheet import page
from callsheet.production import Production, StageRow, Status

BASE = "file:///home/studio/delivery/"
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def made(**changes: object) -> Production:
    facts: dict[str, object] = {
        "title": "The first tram", "actor_id": "ava", "status": Status.MADE, "duration": 12.3, "format": "480x854@30",
        "video": f"{BASE}videos/x/final.mp4", "thumbnail": f"{BASE}videos/x/thumbnail.jpg",
        "posters": {"ava": f"{BASE}actors/ava/poster.jpeg"}, "takes": {"ava": (f"{BASE}personas/ava/take_0.mp4",)},
        "captions": (f"{BASE}videos/x/captions.srt", f"{BASE}videos/x/captions.vtt"),
        "stages": (StageRow(stage="poster", label="Ava", fingerprint="0" * 64, cached=True, seconds=2.0,
                            made_by="placeholder"),),
    }
    return Production.model_validate(facts | changes)


class Links(HTMLParser):
    """Every address that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in ("src", "href", "poster") and value]


def parsed(*productions: Production, captions: dict[str, str] | None = None) -> Links:
    links = Links()
    links.feed(page("night", productions, NOW, BASE, captions or {}))
    return links


def test_links_below_the_delivery_are_relative_so_that_the_folder_can_be_moved() -> None:
    assert all(link.startswith("../") for link in parsed(made()).found)


def test_stems_are_linked_where_there_are_some() -> None:
    stems = {"voice": f"{BASE}videos/x/audio/voice.wav"}
    assert "../videos/x/audio/voice.wav" in parsed(made(stems=stems)).found
    assert not any("audio" in link for link in parsed(made()).found)


def test_links_to_elsewhere_stay_whole() -> None:
    assert "https://cdn.example/final.mp4" in parsed(made(video="https://cdn.example/final.mp4")).found


def test_captions_lie_inside_the_page_because_a_page_in_a_folder_may_not_load_its_neighbours() -> None:
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\n100% sure\n"
    found = parsed(made(), captions={f"{BASE}videos/x/captions.vtt": text}).found
    inside = next(link for link in found if link.startswith("data:text/vtt"))
    assert unquote(inside.partition(",")[2]) == text


def test_what_people_write_is_shown_and_not_obeyed() -> None:
    nasty = "<script>alert(1)</script> & \"quotes\" [/] {x}"
    links = parsed(made(title=nasty, warnings=(nasty,)), made(status=Status.FAILED, error=nasty, title=nasty))
    assert "script" not in links.tags
    assert "&lt;script&gt;" in page(nasty, [made(title=nasty)], NOW, BASE, {})


def test_a_film_is_shown_in_its_own_shape_and_says_what_drew_it() -> None:
    text = page("night", [made()], NOW, BASE, {})
    assert "aspect-ratio: 480 / 854" in text
    assert "pictures by placeholder" in re.sub(r"\s+", " ", text)


def test_who_failed_and_who_waits_is_told_with_the_reason() -> None:
    failed = Production(title="b", actor_id="b", status=Status.FAILED, error="its LoRA is cut: export it again")
    waiting = Production(title="c", actor_id="c", status=Status.WAITING, error="training has not finished")
    text = page("night", [made(), failed, waiting], NOW, BASE, {})
    assert "1 made, 1 waiting, 1 failed" in text
    assert "its LoRA is cut: export it again" in text and "training has not finished" in text
