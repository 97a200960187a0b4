"""Fonts of captions: every letter has a face, and what is measured is what is there."""

import pytest
from PIL import features

from callsheet.media import fonts
from callsheet.media.fonts import Typesetter, bundled, gather, runs, undrawn


def faces(text):
    return [(face.name.removeprefix("Noto Sans").strip(), run) for face, run in runs(text)]


def test_a_letter_is_drawn_by_the_first_bundled_font_that_has_all_of_it():
    assert faces("Größe Привет Ωμέγα हिन्दी") == [("Regular", "Größe Привет Ωμέγα हिन्दी")]
    assert faces("Hi مرحبا") == [("Regular", "Hi "), ("Arabic Regular", "مرحبا")]


def test_punctuation_and_digits_stay_with_the_script_around_them():
    assert faces("مرحبا، 12.") == [("Arabic Regular", "مرحبا، 12.")]


def test_a_conjunct_is_never_parted_between_fonts():
    assert all(len(runs(word)) == 1 for word in ("क्षत्रिय", "مُحَمَّد", "e\u0301e\u0308"))


def test_what_the_bundled_fonts_lack_is_looked_for_in_the_system(tmp_path, monkeypatch):
    """A font of another name, in a folder of its own, as a package of the system would bring it."""
    (tmp_path / "system").mkdir()
    (tmp_path / "system/Extra-Regular.ttf").symlink_to(bundled()[1].path)
    monkeypatch.setattr(fonts, "_font_folders", lambda: [tmp_path / "system"])
    latin = bundled()[:1]
    monkeypatch.setattr(fonts, "bundled", lambda: latin)
    caches = (fonts._system_faces, fonts.system_face, fonts.runs)
    for cache in caches:
        cache.cache_clear()
    try:
        assert [face.path.name for face, _ in runs("مرحبا")] == ["Extra-Regular.ttf"]
        assert undrawn(["مرحبا 你好"]) == "你好"
        linked = gather(["مرحبا"], tmp_path / "fonts")
        extra = (tmp_path / "system/Extra-Regular.ttf").resolve()
        assert {path.resolve() for path in linked.iterdir()} == {latin[0].path.resolve(), extra}
    finally:
        for cache in caches:
            cache.cache_clear()


def test_a_broken_font_file_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "Broken-Sans.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_font_folders", lambda: [tmp_path, tmp_path / "missing"])
    fonts._system_faces.cache_clear()
    try:
        assert fonts._system_faces() == ()
    finally:
        fonts._system_faces.cache_clear()


def test_the_folder_for_libass_holds_the_default_font_and_no_font_in_vain(tmp_path):
    latin = gather(["hello"], tmp_path / "a")
    both = gather(["hello", "مرحبا"], tmp_path / "b")
    assert len(list(latin.iterdir())) == 1 and len(list(both.iterdir())) == 2


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow measures letters one by one")
@pytest.mark.parametrize("text", ["مرحبا بالعالم", "विद्यार्थी प्रार्थना"])
def test_joined_letters_are_measured_as_they_are_drawn(text):
    apart = sum(Typesetter().width(c) for c in text)
    assert Typesetter().width(text) < 0.85 * apart, f"{Typesetter().width(text):.2f} of {apart:.2f} em"


def test_latin_is_as_wide_as_its_letters():
    assert Typesetter().width("Hello") == pytest.approx(sum(Typesetter().width(c) for c in "Hello"))


def test_marks_and_joiners_have_no_width():
    assert Typesetter().width("a\u2060b\u200d") == pytest.approx(Typesetter().width("ab"))
