"""Delivery keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from callsheet import keys
from callsheet.errors import RequestInvalid
from callsheet.store.checks import checked_key

ACTOR, PRINT = "0001_european_20_female", "ab" * 32
UUID5 = r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_a_poster_with_a_user_lies_under_the_user() -> None:
    key = keys.poster(ACTOR, "user_12345", PRINT)
    assert re.fullmatch(rf"characters/user_12345/{ACTOR}/poster_frames/poster_{UUID5}\.jpeg", key), key


def test_a_poster_without_a_user_carries_the_moment_of_its_record() -> None:
    made_at = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    key = keys.stamped(keys.poster(ACTOR, None, PRINT), made_at)
    assert re.fullmatch(rf"actors/{ACTOR}/poster_frames/poster_20260131T235959Z_{UUID5}\.jpeg", key), key


def test_the_same_poster_has_the_same_key_and_another_one_another() -> None:
    assert keys.poster(ACTOR, None, PRINT) == keys.poster(ACTOR, None, PRINT)
    assert keys.poster(ACTOR, None, PRINT) != keys.poster(ACTOR, None, "cd" * 32)


def test_one_moment_in_two_time_zones_gives_one_key() -> None:
    planned = keys.poster(ACTOR, None, PRINT)
    made_at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert keys.stamped(planned, made_at) == keys.stamped(planned, made_at.astimezone(timezone(timedelta(hours=9))))


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        keys.stamped(keys.poster(ACTOR, None, PRINT), datetime(2026, 1, 31))


def test_a_films_files_lie_under_its_job() -> None:
    made = [keys.video("j1"), keys.thumbnail("j1"), keys.lipsync("j1"), keys.captions("j1", "srt"),
            keys.captions("j1", "vtt"), keys.production("j1")]
    assert made == ["videos/j1/final.mp4", "videos/j1/thumbnail.jpg", "videos/j1/lipsync.mp4",
                    "videos/j1/captions.srt", "videos/j1/captions.vtt", "videos/j1/production.json"]


def test_a_fingerprint_is_a_job_id() -> None:
    assert keys.video(PRINT) == f"videos/{PRINT}/final.mp4"


def test_takes_are_numbered_from_nought() -> None:
    assert keys.take("persona_123", 0) == "personas/persona_123/takes/take_0.mp4"
    with pytest.raises(RequestInvalid):
        keys.take("persona_123", -1)


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "Ava", "a b", "-a", "a\n", "é", "a" * 65, "{x}"])
@pytest.mark.parametrize("make", [
    keys.video, lambda bad: keys.take(bad, 1), lambda bad: keys.poster(bad, None, PRINT),
    lambda bad: keys.poster(ACTOR, bad or "/", PRINT),
])
def test_no_unsafe_id_becomes_part_of_a_key(make: Callable[[str], str], bad: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        make(bad)
    assert "lower-case letters" in str(refused.value)


@pytest.mark.parametrize(("stem", "word"), [
    (".hidden", "hidden"), ("naïve list", "naive-list"), ("Actors", "actors"), ("кино", "batch"), ("a/../b", "a-b"),
    ("..", "batch"), ("a" * 300, "a" * 40), ("-x", "x"), ("nul\x00", "nul"),
])
def test_a_contact_sheet_of_any_manifest_has_a_key_that_stores_take(stem: str, word: str) -> None:
    key = keys.contact_sheet(stem)
    assert re.fullmatch(rf"contact_sheets/{word}-[0-9a-f]{{8}}\.html", key), key
    assert checked_key(key) == key


def test_a_contact_sheet_of_a_plain_name_keeps_it_and_a_choice_of_rows_has_one_of_its_own() -> None:
    assert keys.contact_sheet("actors") == "contact_sheets/actors.html"
    assert keys.contact_sheet("actors", part=True) == "contact_sheets/actors-only.html"


def test_names_that_look_alike_have_different_contact_sheets() -> None:
    assert len({keys.contact_sheet(stem) for stem in ("a b", "a-b", "A b", "a  b", "ä b")}) == 5
