"""Any reel whose windows fit obeys the laws of splice, and any clips those of joining: a few in `make test`, two
hundred of each in `make soak`. And a browser plays what comes out."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callsheet.media.choosing import Wish
from callsheet.media.joining import Film, join
from callsheet.media.packets import inspect
from callsheet.media.transitions import XFADE
from callsheet.presets import TransitionKind
from callsheet.recipes import EncodeSettings, SpliceRecipe
from tests.media.clips import (
    conform_clip,
    conformed_for,
    decode,
    decode_strictly,
    foreign,
    hashes,
    luma,
    make_clip,
    packet_times,
    read_code,
    splice_recipe,
    with_tone,
)
from tests.media.seen import units_in
from tests.media.test_splice import BROADCAST, assert_laws, reel_of
from tests.support import browser

KINDS = tuple(XFADE)
RATES = (Fraction(24000, 1001), Fraction(24), Fraction(25), BROADCAST, Fraction(30), Fraction(60))
PRESETS = ("ultrafast", "medium", "slow", "veryslow")
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)
FEW = settings(
    max_examples=7, deadline=None, derandomize=True, phases=(Phase.generate, Phase.shrink),
    suppress_health_check=SLOW_IS_FINE,
)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=SLOW_IS_FINE)


@st.composite
def reels(draw: st.DrawFn) -> SpliceRecipe:
    """Any reel whose windows fit."""
    frames = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    joins: list[tuple[TransitionKind, int]] = []
    head = 0
    for length, following in pairwise(frames):
        head = draw(st.integers(0, min(length - head, following)))
        joins.append((draw(st.sampled_from(KINDS)), head))
    preset = draw(st.sampled_from(PRESETS))
    fps = draw(st.sampled_from(RATES))
    return splice_recipe(frames, joins, fps, EncodeSettings(crf=draw(st.sampled_from([15, 23, 28])), preset=preset))


def obeys_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("reel")
    clips = conformed_for(recipe, folder)
    assert_laws(recipe, reel_of(recipe, folder / "out", clips), clips)


@pytest.mark.slow
@settings(FEW, max_examples=12)
@given(recipe=reels())
def test_a_dozen_reels_obey_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    obeys_the_laws(recipe, tmp_path_factory)


@pytest.mark.soak
@MANY
@given(recipe=reels())
def test_two_hundred_reels_obey_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    obeys_the_laws(recipe, tmp_path_factory)


@dataclass(frozen=True)
class Source:
    """A clip to be made: `preset` is one of ours where it is conformed, with key frames at `keys`."""

    frames: int
    rate: Fraction
    preset: str
    keys: tuple[int, int]
    options: tuple[str, ...]
    """Of somebody else's encoder; empty for a conformed one."""

    def make(self, folder: Path, number: int) -> Path:
        raw = make_clip(folder / f"{number}.mp4", self.frames, self.rate, clip=number, options=self.options or (
            "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p"))
        if self.options:
            return raw
        head, end = sorted(self.keys)
        encode = EncodeSettings(crf=20, preset=self.preset)
        made = conform_clip(folder / f"c{number}", raw, self.frames, self.rate, head=head, tail=self.frames - end,
                            encode=encode)
        return made.files["main"]


@dataclass(frozen=True)
class Timeline:
    fps: Fraction
    sources: tuple[Source, ...]
    kinds: tuple[TransitionKind, ...]
    windows: tuple[int, ...]
    """Frames; 0 for a cut."""

    def lengths(self) -> list[int]:
        return [max(1, round(one.frames / one.rate * self.fps)) for one in self.sources]


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Clips of ours and of strangers, some at another rate, in any order, with transitions that fit."""
    fps = draw(st.sampled_from(RATES))
    preset = draw(st.sampled_from(PRESETS))
    whose = draw(st.sampled_from(["ours", "strangers", "both"]))
    settings_of = foreign(
        draw(st.sampled_from(["superfast", "fast"])), "-g", str(draw(st.sampled_from([5, 12, 250]))),
        "-bf", str(draw(st.sampled_from([0, 3]))),
    )
    sources = []
    for _ in range(draw(st.integers(1, 4))):
        frames = draw(st.integers(1, 30))
        ours = whose == "ours" or (whose == "both" and draw(st.booleans()))
        rate = fps if draw(st.integers(0, 5)) else draw(st.sampled_from([one for one in RATES if one <= fps]))
        keys = draw(st.tuples(st.integers(0, frames), st.integers(0, frames)))
        sources.append(Source(frames, rate, preset, keys, () if ours else settings_of))
    if all(one.rate != fps for one in sources):
        sources[0] = Source(sources[0].frames, fps, preset, sources[0].keys, sources[0].options)
    bare = Timeline(fps, tuple(sources), (), ())
    kinds, windows, head = [], [], 0
    for length, following in pairwise(bare.lengths()):
        head = draw(st.integers(0, min(length - head, following)))
        kinds.append(draw(st.sampled_from(KINDS)) if head else TransitionKind.CUT)
        windows.append(head)
    return Timeline(fps, tuple(sources), tuple(kinds), tuple(windows))


def joined(line: Timeline, folder: Path) -> tuple[list[Path], Film]:
    clips = [source.make(folder, n) for n, source in enumerate(line.sources)]
    mixed = any(line.windows)
    seconds = tuple(float(count / line.fps) or 1.0 for count in line.windows) if mixed else ()
    return clips, join(clips, Wish(transitions=line.kinds, seconds=seconds), folder / "film.mp4")


def obeys_the_laws_of_joining(line: Timeline, folder: Path) -> None:
    clips, film = joined(line, folder)
    lengths, step = line.lengths(), 1 / line.fps
    count = sum(lengths) - sum(line.windows)
    got, times = hashes(film.path), packet_times(film.path)
    assert len(got) == film.facts["frames"] == count, f"{len(got)} frames, not {count}: {film.facts}"
    assert sorted(pts for pts, _ in times) == [n * step for n in range(count)], "frames are shown unevenly"
    assert [dts - times[0][1] for _, dts in times] == [n * step for n in range(count)], "frames are decoded unevenly"
    assert film.path.read_bytes().count(b"avcC") == 1
    assert not units_in(film.path) & {7, 8}, "parameter sets among the pictures"
    decode_strictly(film.path)
    seen = [read_code(luma(planes)) for planes in decode(film.path)]
    begin = copied = 0
    for n, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        head = line.windows[n - 1] if n else 0
        tail = line.windows[n] if n < len(line.windows) else 0
        begin -= head
        treatment = film.facts["clips"][n]["treatment"]
        if line.sources[n].rate == line.fps:
            assert treatment != "conformed", film.facts
            assert seen[begin + head : begin + length - tail] == [(n, k) for k in range(head, length - tail)]
        if treatment == "copied":
            usable = [cut for cut in inspect(clip, line.fps, "it").cuts if head <= cut <= length - tail]
            first, end = min(usable), max(usable)
            assert got[begin + first : begin + end] == hashes(clip)[first:end], f"clip {n} has changed"
            copied += end - first
        begin += length
    assert film.facts["frames_copied"] == copied, film.facts


@pytest.mark.slow
@FEW
@given(line=timelines())
def test_a_few_timelines_of_any_clips_obey_the_laws(line: Timeline, tmp_path_factory: pytest.TempPathFactory) -> None:
    obeys_the_laws_of_joining(line, tmp_path_factory.mktemp("film"))


@pytest.mark.soak
@MANY
@given(line=timelines())
def test_two_hundred_timelines_of_any_clips_obey_the_laws(
    line: Timeline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    obeys_the_laws_of_joining(line, tmp_path_factory.mktemp("film"))


_PLAY = """async name => {
    const film = document.createElement("video");
    film.muted = true;
    film.playbackRate = 4;
    document.body.append(film);
    const ended = new Promise((done, fail) => {
        film.onended = () => done({at: film.currentTime, width: film.videoWidth});
        film.onerror = () => fail(new Error("decode error " + film.error.code + ": " + film.error.message));
    });
    film.src = name;
    await film.play();
    return await ended;
}"""


@pytest.mark.slow
def test_a_browser_plays_every_kind_of_film_to_its_end(tmp_path: Path) -> None:
    strangers = [
        with_tone(make_clip(tmp_path / f"raw{n}.mp4", 20, 30, clip=n, options=foreign()), tmp_path / f"s{n}.mp4", 440)
        for n in range(2)
    ]
    encode = EncodeSettings(crf=20, preset="medium")
    ours = [
        conform_clip(tmp_path / f"o{n}", strangers[n], 20, 30, head=6 * n, tail=6 - 6 * n, encode=encode).files["main"]
        for n in range(2)
    ]
    fades = Wish(transitions=(TransitionKind.CROSSFADE,), seconds=(0.2,))
    films = {
        "copy": join(strangers, Wish(), tmp_path / "copy.mp4"),
        "one_pass": join(strangers, fades, tmp_path / "one_pass.mp4"),
        "smart": join(ours, fades, tmp_path / "smart.mp4"),
    }
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browser.page() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/nothing")
        for method, film in films.items():
            assert film.facts["method"] == method
            played = page.evaluate(_PLAY, f"/{method}.mp4")
            assert played["width"] == 160
            assert played["at"] == pytest.approx(film.facts["duration"], abs=0.05), f"{method} ended at {played['at']}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
