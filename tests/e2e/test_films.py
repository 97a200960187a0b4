"""What the three example films hold: picture, sound, captions, posters and takes, as a player would find them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from html import unescape
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urlsplit

import av
import numpy as np
import pysubs2
import pytest
from numpy.typing import NDArray
from PIL import Image

from callsheet.film import Film
from callsheet.media.conform import conform
from callsheet.media.probe import probe
from callsheet.models import CaptionMode, Order
from callsheet.production import Production
from callsheet.recipe import Stage
from callsheet.recipes import ConformRecipe
from callsheet.store.base import Room
from tests.e2e.conftest import Shipped
from tests.support.clips import apart, decoded
from tests.support.world import AVA, LEO, MARTA, World, path_of

pytestmark = pytest.mark.slow

ACTORS = (AVA, MARTA, LEO)
FRAMES = {AVA: 240, MARTA: 369, LEO: 240}
"""10 s at 24, 12.3 s at 30, 10 s at 24."""


@dataclass(frozen=True)
class Made:
    """A finished film, its plan, and where both come from."""

    film: Film
    production: Production
    world: World

    @property
    def order(self) -> Order:
        return self.film.order

    @property
    def video(self) -> Path:
        return path_of(self.production.video)

    @property
    def spoken(self) -> list[tuple[float, float]]:
        """When somebody speaks, in seconds of the film."""
        time = self.film.timeline
        return [
            (time.seconds_at(scene.start) + line.start, time.seconds_at(scene.start) + line.end)
            for scene in time.scenes for line in scene.lines
        ]


@pytest.fixture
def films(shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    shipped.world.enter(monkeypatch)
    return {
        who: Made(shipped.world.film(who, "actors.csv"), made, shipped.world)
        for who, made in shipped.productions.items()
    }


@pytest.fixture(params=ACTORS, ids=("ava", "marta", "leo"))
def made(films: dict[str, Made], request: pytest.FixtureRequest) -> Made:
    return films[request.param]


def test_a_film_lasts_exactly_as_long_as_its_script(made: Made) -> None:
    facts, fps = probe(made.video), made.order.delivered.fps
    asked = sum(Fraction(str(scene.seconds)) for scene in made.order.scenes)
    wanted = FRAMES[made.production.actor_id]
    assert facts.frames == wanted
    assert asked * fps == wanted
    assert facts.duration == pytest.approx(float(asked), abs=0.001), "the last frame lasts as long as the others"
    assert made.production.duration == pytest.approx(float(asked))
    assert abs(facts.audio_duration - float(asked)) <= 1024 / 48000, "sound ends within one AAC frame of the picture"


def test_frames_follow_each_other_evenly(made: Made) -> None:
    fps = made.order.delivered.fps
    with av.open(str(made.video)) as container:
        shown = sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
    assert shown == [Fraction(n) / fps for n in range(len(shown))]


def test_a_film_is_what_was_ordered_and_plays_anywhere(made: Made) -> None:
    facts, wanted = probe(made.video), made.order.delivered
    assert (facts.width, facts.height, facts.fps) == (wanted.width, wanted.height, wanted.fps)
    assert (facts.video_codec, facts.pixel_format) == ("h264", "yuv420p")
    assert (facts.audio_codec, facts.sample_rate, facts.channels) == ("aac", 48_000, 2)


def test_a_film_starts_before_it_is_downloaded(made: Made) -> None:
    names = [name for name, _ in _boxes(made.video)]
    assert names[0] == "ftyp"
    assert names.index("moov") < names.index("mdat"), names


def test_every_frame_can_be_decoded(made: Made) -> None:
    assert len(decoded(made.video)) == FRAMES[made.production.actor_id]


def test_speech_is_heard_where_somebody_speaks(made: Made) -> None:
    sound = _sound(made.video)
    elsewhere = _level(sound, _without(made, [*made.spoken, *_effects(made)]))
    for start, end in made.spoken:
        said = _level(sound, [(start, end)])
        assert said > 3 * elsewhere, f"{start:.2f} to {end:.2f} s: {said:.3f}, elsewhere {elsewhere:.3f}"


def test_music_is_heard_where_nobody_speaks(made: Made) -> None:
    level = _level(_sound(made.video), _without(made, [*made.spoken, *_effects(made)]))
    assert level > 0.003, f"{level:.4f} of full scale"


def test_captions_beside_the_film_say_what_is_said_while_it_is_said(made: Made) -> None:
    wanted = [line.text for scene in made.order.scenes for line in scene.lines]
    assert len(made.production.captions) == 2
    for url in made.production.captions:
        events = pysubs2.load(str(path_of(url)))
        assert [event.plaintext.replace("\n", " ") for event in events] == wanted, url
        times = [(event.start / 1000, event.end / 1000) for event in events]
        for (start, end), (first, last) in zip(times, made.spoken, strict=True):
            assert first - 0.002 <= start < first + 0.25, f"shown from {start}, but it is spoken from {first}"
            assert last - 0.3 < end <= last + 0.002, f"shown until {end}, but it is spoken until {last}"


def test_soft_captions_are_in_the_film_unless_they_are_burned(made: Made) -> None:
    burned = made.order.captions.mode is CaptionMode.BURNED
    assert probe(made.video).subtitle_codecs == (() if burned else ("mov_text",))
    assert any(clip.cues for clip in made.film.conform) is burned


def test_burned_captions_change_their_band_during_a_cue_and_nothing_else(
    films: dict[str, Made], tmp_path: Path
) -> None:
    ava = films[AVA]
    clip = next(clip for clip in ava.film.conform if clip.cues)
    bare = decoded(_conformed(ava.world, clip.model_copy(update={"cues": (), "style": None}), tmp_path))
    shown = decoded(ava.world.file(clip.ref()))
    cue = clip.cues[0]
    inside, before = round((cue.start + cue.end) / 2 * clip.fps), round(cue.start * clip.fps / 2)
    changed = np.abs(shown - bare).max(axis=3) > 100                           # encoding alone changes far less
    band = slice(round(clip.height * 0.68), round(clip.height * 0.82))         # centred at 0.75 by default
    drawn = float(changed[inside][band].mean())
    assert drawn > 0.01, f"captions change {drawn:.2%} of their band"
    assert changed[inside].sum() == changed[inside][band].sum(), "they stay in their band"
    assert not changed[before].any(), "before the cue there is nothing"


def test_burned_captions_are_still_there_in_the_finished_film(films: dict[str, Made]) -> None:
    ava = films[AVA]
    clip, part = next(
        (clip, part) for clip, part in zip(ava.film.conform, ava.film.timeline.segments, strict=True) if clip.cues)
    frame = round((clip.cues[0].start + clip.cues[0].end) / 2 * clip.fps)
    conformed = decoded(ava.world.file(clip.ref()))[frame]
    assert apart(decoded(ava.video)[part.film_frame + frame], conformed) == 0, "splice and mix copy"


def test_posters_are_true_jpegs_of_1024x1024(made: Made) -> None:
    assert set(made.production.posters) == {actor.id for actor in made.order.cast}
    for url in made.production.posters.values():
        assert _jpeg_size(path_of(url)) == (1024, 1024)


def test_a_users_poster_lies_under_the_user_and_others_under_their_moment(films: dict[str, Made]) -> None:
    keys = {who: made.production.posters[who].removeprefix(made.world.delivery.as_uri()) for who, made in films.items()}
    name = r"[0-9a-f-]{36}\.jpeg"
    assert re.fullmatch(rf"/characters/user_12345/{AVA}/poster_frames/poster_{name}", keys[AVA])
    for who in (MARTA, LEO):
        assert re.fullmatch(rf"/actors/{who}/poster_frames/poster_\d{{8}}T\d{{6}}Z_{name}", keys[who])


def test_a_thumbnail_is_a_jpeg_of_the_films_size_that_shows_something(made: Made) -> None:
    path = path_of(made.production.thumbnail)
    assert _jpeg_size(path) == (made.order.delivered.width, made.order.delivered.height)
    with Image.open(path) as picture:
        assert float(np.asarray(picture.convert("L")).std()) > 10


def test_takes_last_five_seconds_and_differ_by_emotion_and_angle(made: Made) -> None:
    for who, urls in made.production.takes.items():
        assert len(urls) == len(made.order.takes) == 4, who
        facts = [probe(path_of(url)) for url in urls]
        assert [(each.frames, each.duration, str(each.fps)) for each in facts] == [(120, 5.0, "24")] * 4, who
        middles = [decoded(path_of(url))[60] for url in urls]
        for one, other in combinations(range(4), 2):
            difference = apart(middles[one], middles[other])
            assert difference > 3, f"{who}: takes {one} and {other} differ by {difference:.2f} of 255"


def test_two_characters_look_different(films: dict[str, Made]) -> None:
    pictures = {}
    for who, made in films.items():
        with Image.open(path_of(made.production.posters[who])) as picture:
            pictures[who] = np.asarray(picture.convert("RGB"), dtype=np.float32)
    for one, other in combinations(ACTORS, 2):
        assert apart(pictures[one], pictures[other]) > 10, f"{one} and {other}"


def test_a_guest_brings_her_own_poster_and_takes(films: dict[str, Made]) -> None:
    leo, ava = films[LEO], films[AVA]
    assert leo.production.posters[AVA] == ava.production.posters[AVA]
    hers = {take.fingerprint for take in ava.film.takes}
    assert hers <= {take.fingerprint for take in leo.film.takes}, "her takes are made once"
    assert list(leo.production.takes) == [LEO], "and delivered with her own film"


def test_every_file_of_a_production_is_in_the_delivery(made: Made) -> None:
    p = made.production
    urls = [p.video, p.thumbnail, *p.captions, *p.posters.values(), *(url for many in p.takes.values() for url in many)]
    missing = [url for url in urls if not path_of(url).is_file()]
    assert not missing, missing
    assert {path_of(url).suffix for url in urls} == {".mp4", ".jpg", ".jpeg", ".srt", ".vtt"}


def test_the_account_has_every_stage_in_order_of_work(made: Made) -> None:
    stages = [row.stage for row in made.production.stages]
    assert stages == [recipe.stage for recipe in made.film.recipes()]
    assert list(dict.fromkeys(stages)) == [
        stage for stage in Stage if stage not in (Stage.RESTORE, Stage.UPSCALE)], "drawn faces need no restoring"
    assert all(row.made_by for row in made.production.stages), "each says who made it"


def test_the_results_manifest_lists_what_is_there(films: dict[str, Made], shipped: Shipped) -> None:
    with (shipped.world.folder / "actors.results.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(ACTORS), "in the manifest's order"
    for who, row in rows.items():
        p = films[who].production
        assert (row["status"], row["title"], row["format"]) == ("made", p.title, p.format)
        assert float(row["duration"]) == pytest.approx(p.duration)
        for url in (row["video"], row["thumbnail"], row["poster_frame_url"], *row["captions"].split(";")):
            assert path_of(url).is_file(), url


def test_all_links_of_the_contact_sheet_resolve(shipped: Shipped) -> None:
    sheet = shipped.world.delivery / "contact_sheets" / "actors.html"
    links = [unescape(link) for link in re.findall(r'(?:src|href|poster)="([^"]+)"', sheet.read_text())]
    assert len(links) > 3 * 9, "each has a film twice, a thumbnail, a poster twice, takes and captions"
    for link in links:
        if link.startswith("data:text/vtt"):          # a page in a folder may not load captions from beside it
            continue
        assert not urlsplit(link).scheme, f"{link} is not relative: the folder could not be moved"
        assert (sheet.parent / unquote(urlsplit(link).path)).is_file(), link


def _boxes(path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each box at the top level of an MP4."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        size = int.from_bytes(data[at + 8:at + 16], "big") if size == 1 else size or len(data) - at
        yield data[at + 4:at + 8].decode("latin1"), size
        at += size


def _sound(path: Path) -> NDArray[np.float32]:
    """Samples of both channels' mean, at 48 kHz."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray().astype(np.float32).mean(axis=0) for frame in container.decode(audio=0)]
    return np.concatenate(parts)


def _level(sound: NDArray[np.float32], stretches: list[tuple[float, float]]) -> float:
    """RMS over stretches given in seconds."""
    parts = [sound[round(start * 48_000):round(end * 48_000)] for start, end in stretches]
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


def _effects(made: Made) -> list[tuple[float, float]]:
    """From each effect's start until none of the examples' effects can be heard any more."""
    return [(effect.start, effect.start + 2) for effect in made.order.sound.effects]


def _without(made: Made, taken: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of the film, with a tenth of a second between."""
    free, at = [], 0.0
    for start, end in sorted(taken):
        free.append((at, start - 0.1))
        at = max(at, end + 0.1)
    free.append((at, made.production.duration))
    return [(start, end) for start, end in free if end - start > 0.1]


def _conformed(world: World, recipe: ConformRecipe, folder: Path) -> Path:
    records = world.records()
    room = Room(folder=folder, open_ref=lambda ref: records.open(ref, folder), facts_of=records.facts)
    return conform(recipe, room).files["main"]


def _jpeg_size(path: Path) -> tuple[int, int]:
    """Its size, once it is sure to be a whole JPEG."""
    data = path.read_bytes()
    assert (data[:3], data[-2:]) == (b"\xff\xd8\xff", b"\xff\xd9"), f"{path.name} begins {data[:4]!r}"
    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        picture.load()
        return picture.size
