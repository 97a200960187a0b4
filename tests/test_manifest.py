"""Reading actor manifests: formats, rows, orders."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from callsheet.errors import FileMissing, FileUnreadable, InputError, ManifestInvalid
from callsheet.manifest import read_manifest
from callsheet.models import CaptionMode, CheckPolicy, Fallback, Family, Format, Transition
from callsheet.orders import order_for
from callsheet.presets import Quality, TransitionKind

FORMATS = (".csv", ".parquet", ".json", ".yaml")


def write(folder: Path, rows: Sequence[Mapping[str, str]], suffix: str = ".csv") -> Path:
    """A manifest with these rows, and a LoRA file for each that says trained."""
    (folder / "loras").mkdir(exist_ok=True)
    for row in rows:
        if row.get("status") == "trained" and "lora" not in row:
            (folder / "loras" / f"{row['id']}.safetensors").touch()
    path = folder / f"actors{suffix}"
    if suffix == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".parquet":
        import pandas

        pandas.DataFrame(list(rows)).to_parquet(path)
    else:
        path.write_text(json.dumps(list(rows)))                 # JSON is YAML too
    return path


def film(actor: str, **words: str) -> dict[str, str]:
    return {"id": actor, "prompt": "a street", "status": "trained", **words}


def told(path: Path) -> list[str]:
    with pytest.raises(ManifestInvalid) as refused:
        read_manifest(path)
    return [f"{problem.where} | {problem.value} | {problem.message} | {problem.remedy}"
            for problem in refused.value.problems]



@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_orders(tmp_path: Path, suffix: str) -> None:
    rows = [film("0001", name="NA", seconds="4.5", seed="7"), film("ava", dialogue="[S1] Ja.", language="de")]
    manifest = read_manifest(write(tmp_path, rows, suffix))
    first, second = manifest.orders
    assert (first.cast[0].id, first.cast[0].name) == ("0001", "NA"), "ids like 0001 and names like NA survive"
    assert (first.scenes[0].seconds, first.seed) == (4.5, 7)
    assert (second.scenes[0].lines[0].text, second.scenes[0].language) == ("Ja.", "de")
    assert [row.number for row in manifest.rows] == ([2, 3] if suffix == ".csv" else [1, 2])


def test_plain_yaml_keeps_ids_that_look_like_numbers(tmp_path: Path) -> None:
    write(tmp_path, [film("0001")])
    path = tmp_path / "actors.yaml"
    path.write_text("- id: 0001\n  prompt: a street\n  status: trained\n  name: no\n  seconds: 5\n")
    (order,) = read_manifest(path).orders
    assert (order.cast[0].id, order.cast[0].name, order.scenes[0].seconds) == ("0001", "no", 5.0)


def test_parquet_numbers_are_read_as_what_they_are(tmp_path: Path) -> None:
    import pandas

    write(tmp_path, [film("ava"), film("leo")])
    path = tmp_path / "typed.parquet"
    pandas.DataFrame({
        "id": ["ava", "leo"], "prompt": ["a", "b"], "status": ["trained"] * 2, "seed": [5, None],
        "seconds": [2.5, 3.0], "with": [["leo"], None],
    }).to_parquet(path)
    first, second = read_manifest(path).orders
    assert (first.seed, second.seed, first.scenes[0].seconds) == (5, 0, 2.5)
    assert [actor.id for actor in first.cast] == ["ava", "leo"]


def test_a_full_row_becomes_a_full_order(tmp_path: Path) -> None:
    for name in ("m.flac", "r.flac", "c.flac"):
        (tmp_path / name).touch()
    words = film(
        "ava", name="Ava", lora_strength="0.8", base_model="FLUX", description="a woman", appearance="brown hair",
        clothing="coat", style="ink", negative="hat", voice="en-us+f3", user_id="user_1", dialogue="Hi.", seconds="6",
        emotion="happy", angle="closeup", intensity="0.9", language="en-gb", music="m.flac", music_volume="0.2",
        duck_db="-6", ambience="r.flac", ambience_volume="0.3", effects="c.flac@1.5:0.6; c.flac@2", captions="BURNED",
        format="1080x1920@29.97", quality="Ultra", engine="placeholder", fit="error", seed="9", title="T", job_id="j1",
        steps="18", width="768", sampler_name="dpmpp_2m", style_lora_strength="0.9", background="harbour",
    )
    (order,) = read_manifest(write(tmp_path, [words])).orders
    (actor,), (scene,) = order.cast, order.scenes
    assert (actor.display_name, actor.lora_strength, actor.base_model, actor.user_id) == (
        "Ava", 0.8, Family.FLUX, "user_1")
    assert (actor.sheet.appearance, actor.sheet.clothing, actor.sheet.style, actor.sheet.negative) == (
        "brown hair", "coat", "ink", "hat")
    assert actor.lora.path == str(tmp_path / "loras" / "ava.safetensors")
    assert (scene.seconds, scene.emotion, scene.angle, scene.intensity, scene.language) == (
        6.0, "happy", "closeup", 0.9, "en-gb")
    assert order.format == Format(width=1080, height=1920, fps=Fraction(30000, 1001))
    assert (order.quality, order.captions.mode, order.fit, order.seed) == (
        Quality.PREMIUM, CaptionMode.BURNED, "error", 9)
    assert (order.title, order.job_id, order.generate.engine, actor.voice.name) == (
        "T", "j1", "placeholder", "en-us+f3")
    sound = order.sound
    assert sound.music and sound.music.path == str(tmp_path / "m.flac")
    assert (sound.ducking.base_volume, sound.ducking.duck_db, sound.ambience_volume) == (0.2, -6.0, 0.3)
    assert [(effect.start, effect.volume) for effect in sound.effects] == [(1.5, 0.6), (2.0, 1.0)]
    poster = order.poster
    assert (poster.steps, poster.width, poster.height, poster.sampler_name, poster.style_lora_strength) == (
        18, 768, 1024, "dpmpp_2m", 0.9)
    assert poster.background == "harbour"


def test_what_makes_the_clips_and_what_may_stand_in_can_be_said_in_a_row(tmp_path: Path) -> None:
    words = film("ava", engine="diffusers", clip_model="wan2.2-i2v-a14b", fallback="Never", restore="off")
    asked, silent = (order.generate for order in read_manifest(write(tmp_path, [words, film("leo")])).orders)
    assert (asked.engine, asked.model, asked.fallback, asked.restore) == (
        "diffusers", "wan2.2-i2v-a14b", Fallback.NEVER, "off")
    assert (silent.model, silent.fallback, silent.restore) == ("", None, "auto")


def test_how_a_film_sounds_is_captioned_and_checked_can_be_said_in_a_row(tmp_path: Path) -> None:
    words = film("ava", platform="Podcast", stems="Yes", captions="burned", karaoke="on", check="STOP",
                 upscale="auto", margin="no")
    (order,) = read_manifest(write(tmp_path, [words])).orders
    assert (order.sound.loudness.lufs, order.sound.loudness.true_peak_dbtp, order.sound.stems) == (-16.0, -1.0, True)
    assert (order.captions.style.karaoke, order.check.policy) == (True, CheckPolicy.STOP)
    assert (order.generate.upscale, order.generate.margin) == ("auto", False)


def test_an_answer_that_is_neither_yes_nor_no_is_refused(tmp_path: Path) -> None:
    (line,) = told(write(tmp_path, [film("ava", stems="perhaps")]))
    assert "column stems | perhaps | is neither yes nor no | write yes or no" in line


@pytest.mark.parametrize("words", [{"karaoke": "yes"}, {"karaoke": "yes", "captions": "beside"}])
def test_karaoke_without_burned_captions_is_a_mistake(tmp_path: Path, words: dict[str, str]) -> None:
    (line,) = told(write(tmp_path, [film("ava", **words)]))
    assert "column karaoke | yes | needs burned captions | set captions to burned, or empty it" in line


def test_the_source_systems_names_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").touch()
    row = {"actor_id": "ava", "character_lora_name": "x.safetensors", "custom_actor_description": "a woman",
           "character_lora_strength": "0.5", "prompt": "a"}
    (order,) = read_manifest(write(tmp_path, [row])).orders
    actor = order.cast[0]
    assert (actor.id, actor.description, actor.lora_strength) == ("ava", "a woman", 0.5)
    assert actor.lora.path == str(tmp_path / "x.safetensors")


@pytest.mark.parametrize("named", ["ava_v1.5", "ava_v1.5.safetensors", "loras/ava_v1.5", "./loras/ava_v1.5"])
def test_a_lora_is_found_with_or_without_its_suffix(tmp_path: Path, named: str) -> None:
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "ava_v1.5.safetensors").touch()
    (order,) = read_manifest(write(tmp_path, [film("ava", lora=named)])).orders
    assert order.cast[0].lora.path == str(tmp_path / "loras" / "ava_v1.5.safetensors")


def test_a_lora_in_a_bucket_is_not_looked_for_here(tmp_path: Path) -> None:
    (order,) = read_manifest(write(tmp_path, [film("ava", lora="s3://bucket/loras/ava")])).orders
    assert order.cast[0].lora.path == "s3://bucket/loras/ava.safetensors"


def test_an_actor_in_training_waits_and_the_others_do_not(tmp_path: Path) -> None:
    rows = [film("ava"), film("leo", status="training"), film("marta", status="")]
    manifest = read_manifest(write(tmp_path, rows))
    assert [order.cast[0].id for order in manifest.orders] == ["ava"]
    assert [(row.actor_id, row.waiting) for row in manifest.waiting] == [
        ("leo", "training has not finished"), ("marta", "its LoRA marta.safetensors is not there yet")]


def test_a_film_waits_for_the_training_of_its_whole_cast(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, [film("ava", **{"with": "leo"}), film("leo", status="training")]))
    row = manifest.row("ava")
    assert row and row.order is None
    assert row.waiting == "leo is in its cast: training has not finished"


def test_a_waiting_row_is_checked_like_the_others(tmp_path: Path) -> None:
    assert told(write(tmp_path, [film("leo", status="training", seed="x")])) == [
        "row 2, column seed | x | is no whole number | write a whole number"]


def test_a_training_that_has_just_finished_beats_the_status(tmp_path: Path) -> None:
    (tmp_path / "new.safetensors").touch()
    path = write(tmp_path, [film("leo", status="training"), film("ava", status="training")])
    manifest = read_manifest(path, trained={"leo": str(tmp_path / "new.safetensors")})
    (order,) = manifest.orders
    assert order.cast[0].lora.path == str(tmp_path / "new.safetensors")
    assert [row.actor_id for row in manifest.waiting] == ["ava"]


def test_partners_come_after_the_rows_own_actor(tmp_path: Path) -> None:
    rows = [film("ava"), film("leo", dialogue="[S1] Ava: Hi. [S2] Ho.", **{"with": "ava"}), film("marta")]
    rows[0]["name"] = "Ava"
    order = read_manifest(write(tmp_path, rows)).orders[1]
    assert [actor.id for actor in order.cast] == ["leo", "ava"]
    assert [line.speaker for line in order.scenes[0].lines] == ["ava", "ava"]


def test_a_script_gives_scenes_title_and_sound_and_the_row_beats_its_sound(tmp_path: Path) -> None:
    for name in ("own.flac", "script.flac"):
        (tmp_path / name).touch()
    (tmp_path / "s.yaml").write_text(
        "title: T\nscenes: [{prompt: a, transition: wipe}, {prompt: b, emotion: sad}]\n"
        "sound: {music: script.flac, music_volume: 0.3, ambience: script.flac}\n")
    row = {"id": "ava", "script": "s.yaml", "status": "trained", "music": "own.flac", "emotion": "happy",
           "transition": "slide", "transition_seconds": "1"}
    (order,) = read_manifest(write(tmp_path, [row])).orders
    assert order.title == "T"
    assert [scene.emotion for scene in order.scenes] == ["happy", "sad"]
    assert order.scenes[0].transition == Transition(kind=TransitionKind.WIPE, seconds=1)
    sound = order.sound
    assert sound.music and sound.ambience
    assert (Path(sound.music.path).name, Path(sound.ambience.path).name) == ("own.flac", "script.flac")
    assert sound.ducking.base_volume == 0.3


@pytest.mark.parametrize(("words", "label"), [
    ({}, "1280x720@30"), ({"orientation": "Portrait"}, "720x1280@30"), ({"orientation": "square"}, "720x720@30"),
    ({"format": "854X480@24", "orientation": "landscape", "quality": "HIGH"}, "854x480@24"),
    ({"format": "854x480@30000/1001"}, "854x480@29.97"),
])
def test_format_beats_orientation_beats_the_tier(tmp_path: Path, words: dict[str, str], label: str) -> None:
    (order,) = read_manifest(write(tmp_path, [film("ava", **words)])).orders
    assert order.delivered.label == label


def test_csv_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    path = write(tmp_path, [film("ava"), film("leo")])
    path.write_text('id,prompt,status\n\nava,"two\nlines",trained\n\nleo,a,tra\n')
    assert told(path)[0].startswith("row 6, column status | tra | is not a word known here | did you mean ")


@pytest.mark.parametrize("text", ["id;prompt;status\nava;a, b;trained\n",
                                  "id\tprompt\tstatus\r\nava\ta, b\ttrained\r\n",
                                  "\ufeffID,Prompt, status\nava,\"a, b\",trained\n"])
def test_a_spreadsheets_own_csv_is_read(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, [film("ava")])
    path.write_bytes(text.encode())
    (order,) = read_manifest(path).orders
    assert order.scenes[0].prompt == "a, b"


def test_a_row_with_too_many_cells_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [film("ava")])
    path.write_text("id,prompt,status\nava,a, b,trained\n")
    assert told(path)[0].startswith("row 2 |  | has 4 cells, but there are 3 columns | put cells with a comma in")


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.csv", "id,prompt\n", "has no rows"), ("a.csv", "", "has no rows"), ("a.csv", 'id\n"ava', "is no CSV"),
    ("a.csv", "name\nAva\n", "column id"), ("a.txt", "id\nava\n", "is no manifest format"),
    ("a.json", '{"id": "ava"}', "is no list"), ("a.json", "[]", "has no rows"), ("a.json", "[5]", "column id"),
    ("a.yaml", "- &a {id: ava}\n- *a\n", "anchor"), ("a.parquet", "PAR1 nonsense PAR1", "Parquet"),
    ("a.json", '[{"id": "ava", "id": "leo"}]', "twice"), ("a.csv", "id,actor_id\nava,ava\n", "a second time"),
    ("a.json", '[{"id": "ava", "prompt": {"x": "y"}}]', "is nested"), ("a.csv", "id,\nava,\n", "has no name"),
])
def test_a_file_of_another_shape_is_refused_as_a_whole(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    lines = told(path)
    assert any(message in line for line in lines), lines


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"gone\.csv is not there"):
        read_manifest(tmp_path / "gone.csv")


def test_a_scripts_mistakes_are_told_once_however_many_rows_name_it(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("scenes: [{prompt: a, seconds: x}]")
    rows = [{"id": name, "script": "s.yaml", "status": "trained"} for name in ("ava", "leo", "marta")]
    with pytest.raises(ManifestInvalid) as refused:
        read_manifest(write(tmp_path, rows))
    (problem,) = refused.value.problems
    assert (problem.file, problem.where) == (str(tmp_path / "s.yaml"), "scenes[0].seconds")


@pytest.mark.parametrize(("words", "expected"), [
    ({"lora": "http://x/a.safetensors"}, "column lora | http://x/a.safetensors | is an address"),
    ({"lora": "s3://b"}, "column lora | s3://b | is no s3 address"),
    ({"lora": "a.ckpt"}, "column lora | a.ckpt | is a .ckpt file"),
    ({"lora": "gone"}, "column lora | gone.safetensors | is not there, though status says trained"),
    ({"music": "file:///etc/passwd"}, "column music | file:///etc/passwd | is an address"),
    ({"music": "concat:a|b"}, "column music | concat:a|b | is an address"),
    ({"music_volume": "1e9"}, "column music_volume | 1e9 | is over 4 | use at most 4"),
    ({"music_volume": "nan"}, "column music_volume | nan | "),
    ({"seconds": "inf"}, "column seconds | inf | "),
    ({"format": "1080x1920@1000000"}, "column format | 1080x1920@1000000 | is over 120"),
    ({"format": "1081x1920@30"}, "column format | 1081x1920@30 | should be a multiple of 2"),
    ({"format": "1080x1920@1/0"}, "column format | 1080x1920@1/0 | is no format"),
    ({"format": "1080x1920"}, "column format | 1080x1920 | is no format"),
    ({"format": "480x854@24", "orientation": "landscape"}, "column orientation | landscape | contradicts the format"),
    ({"name": "a\x00b"}, "column name | a?b | holds a control character"),
    ({"prompt": "x" * 20_001}, "column prompt | " + "x" * 60 + "... | is over 20000 characters"),
    ({"effects": ";".join(["m.flac@1"] * 101)}, "has over 100 effects"),
    ({"with": "ava"}, "column with | ava | is in the cast already"),
    ({"transition": "cut", "transition_seconds": "1"}, "column transition_seconds | 1.0 | goes with no cut"),
    ({"id": "Ava", "lora": "s3://bucket/a"}, "column id | Ava | is no id"),
    ({"dialogue": "[S2] Hi."}, "column dialogue | [S2] Hi. | [S2] speaks, but the cast is ava"),
])
def test_a_hostile_or_wrong_cell_is_refused(tmp_path: Path, words: dict[str, str], expected: str) -> None:
    (tmp_path / "m.flac").touch()
    (line,) = told(write(tmp_path, [film(**{"actor": "ava", **{k: v for k, v in words.items() if k != "id"}}) | words]))
    assert expected in line


def test_a_form_gives_the_same_order_as_a_row(tmp_path: Path) -> None:
    words = film("ava", seconds="4", quality="draft", dialogue="[S1] Hi.")
    (order,) = read_manifest(write(tmp_path, [words])).orders
    assert order_for(words, tmp_path) == order


def test_a_forms_mistakes_name_its_fields(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        order_for({"prompt": "a", "quality": "hihg", "with": "leo"}, tmp_path)
    assert [(problem.where, problem.remedy) for problem in refused.value.problems] == [
        ("field quality", "did you mean high?"), ("field id", "write the actor's id"),
        ("field with", "give the other actors themselves")]


LONG = "scenes: [{prompt: a, seconds: 1, transition: {kind: wipe%s}}, {prompt: b, seconds: 1}, {prompt: c}]"


def test_transitions_that_do_not_fit_their_scenes_are_a_mistake_of_the_row(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(LONG % ", seconds: 3")
    (tmp_path / "bare.yaml").write_text(LONG % "")
    rows = [{**film("ava", script="own.yaml"), "prompt": ""},
            {**film("leo", script="bare.yaml", transition_seconds="3.5"), "prompt": ""},
            {**film("kai", script="bare.yaml"), "prompt": ""}]
    remedy = "make the scene longer or the transition shorter"
    assert told(write(tmp_path, rows)) == [
        f"row 2, column script | own.yaml | does not fit: scene 1 lasts 1.0 s but needs 1.533 s for its transitions"
        f" | {remedy}",
        f"row 3, column transition_seconds | 3.5 | does not fit: scene 1 lasts 1.0 s but needs 1.767 s for its "
        f"transitions | {remedy}"]


def test_a_row_that_waits_is_told_of_its_transitions_too(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(LONG % ", seconds: 3")
    row = {"id": "ava", "script": "own.yaml", "status": "training"}
    assert len(told(write(tmp_path, [row]))) == 1


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that not even root can read")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"actors{suffix}"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(FileUnreadable, match=rf"actors{suffix} cannot be read \(.+\): check its permissions"):
        read_manifest(path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that not even root can read")
def test_a_script_that_cannot_be_read_is_a_mistake_of_the_row(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").symlink_to("/proc/self/mem")
    (line,) = told(write(tmp_path, [{**film("ava", script="s.yaml"), "prompt": ""}]))
    assert line.startswith("row 2, column script | s.yaml | cannot be read ("), line
    assert line.endswith(" | check its permissions"), line


def test_a_name_that_is_too_long_for_the_disk_is_a_mistake_of_the_row(tmp_path: Path) -> None:
    long = "a" * 300
    rows = [{**film("ava", script=f"{long}.yaml"), "prompt": ""}, film("leo", music=f"{long}.flac")]
    first, second = told(write(tmp_path, rows))
    assert first.startswith("row 2, column script")
    assert second.startswith("row 3, column music")


def test_rows_are_taken_by_id_and_an_unknown_one_is_told_who_there_is(tmp_path: Path) -> None:
    book = read_manifest(write(tmp_path, [film("ava"), film("leo")]))
    assert [row.actor_id for row in book.taken(())] == ["ava", "leo"]
    assert [row.actor_id for row in book.taken(["leo"])] == ["leo"]
    with pytest.raises(InputError, match=r"actors\.csv has no actor kai, lea: choose of ava, leo"):
        book.taken(["leo", "kai", "lea"])
