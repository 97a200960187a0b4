"""A header that lies about its file is refused before anything is loaded."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lora_files import FLUX, FLUX_LAYER, header_of, lora, packed

from callsheet.errors import CallsheetError, FileMissing, LoraUnreadable, LoraUnsafe
from callsheet.lora.header import MAX_HEADER_BYTES, read_header
from callsheet.lora.inspect import check_finite, inspect

A, B = f"{FLUX_LAYER}.lora_A.weight", f"{FLUX_LAYER}.lora_B.weight"


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoraUnreadable) as caught:
        inspect(path)
    assert type(caught.value) is LoraUnreadable, f"{caught.value!r} should not claim that the file runs code"
    assert "a.safetensors" in str(caught.value)
    return str(caught.value)


def changed(**fields: Any) -> bytes:
    """A FLUX LoRA whose first entry has other fields than it should."""
    header = header_of(FLUX)
    header[A] = {**header[A], **fields}
    return packed(header, bytes(2 * 2 * 3072 * 2))


def test_a_true_header_gives_each_tensors_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(lora(FLUX, {"ss_steps": "7"}))
    header = read_header(path)
    assert [t.name for t in header.tensors] == [A, B]
    assert header.tensors[0].end == header.tensors[1].start
    assert header.tensors[-1].end == header.size == path.stat().st_size
    assert header.metadata == {"ss_steps": "7"}


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_any_protocol_is_unsafe_under_a_safe_name(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "renamed.safetensors"
    for value in ({"state_dict": {A: [0.0] * 8}}, os.getcwd, [os.path.join, 1], {"a": os.getcwd}):
        path.write_bytes(pickle.dumps(value, protocol))
        with pytest.raises(LoraUnsafe, match="pickle"):
            inspect(path)


def test_a_pickle_that_begins_like_a_short_headers_length_is_unsafe(tmp_path: Path) -> None:
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(pickle.dumps(0.0, 2))
    with pytest.raises(LoraUnsafe, match="pickle"):
        inspect(path)


def test_a_zip_checkpoint_is_unsafe_under_a_safe_name(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(content.getvalue())
    with pytest.raises(LoraUnsafe, match="zip"):
        inspect(path)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_looks_like_a_pickles_first_bytes_is_read(tmp_path: Path, length: int) -> None:
    text = json.dumps(header_of(FLUX)).encode().ljust(length)
    content = packed(text, bytes(2 * 2 * 3072 * 2))
    assert content[0] == 0x80, "the case this test is about"
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert inspect(path).layers == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in refused(tmp_path, b"")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = lora(FLUX)
    for kept in (1, 7, 8, 9, 50, 200, len(whole) // 2, len(whole) - 1):
        refused(tmp_path, whole[:kept])


def test_bytes_after_the_last_tensor_are_refused(tmp_path: Path) -> None:
    assert "1 bytes follow" in refused(tmp_path, lora(FLUX) + b"x")


def test_an_oversized_header_is_refused_by_its_length_alone(tmp_path: Path) -> None:
    content = (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}"
    assert f"{MAX_HEADER_BYTES + 1} bytes" in refused(tmp_path, content)


def test_a_header_that_goes_beyond_the_file_is_refused(tmp_path: Path) -> None:
    assert "inside its header" in refused(tmp_path, (1000).to_bytes(8, "little") + b'{"a":1}')


@pytest.mark.parametrize(
    "text",
    [
        b"[]", b"null", b'"text"', b"{", b"{'a': 1}", b'{"a": 1}}', b'{"a": \xff}', b" {}",
        b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"9" * 5000 + b"}", b'{"__metadata__": {"a": "\0"}}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda text: text[:20].decode("latin-1"),
)
def test_a_header_that_is_no_plain_json_object_is_refused(tmp_path: Path, text: bytes) -> None:
    refused(tmp_path, packed(text, b""))


def test_a_tensor_named_twice_is_refused_by_name(tmp_path: Path) -> None:
    entry = '{"dtype":"F16","shape":[1],"data_offsets":[0,2]}'
    assert "twin is there twice" in refused(tmp_path, packed(f'{{"twin":{entry},"twin":{entry}}}'.encode(), b"\0\0"))


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    text = b'{"t":{"dtype":"F16","shape":[1],"shape":[2],"data_offsets":[0,2]}}'
    assert "shape is there twice" in refused(tmp_path, packed(text, b"\0\0"))


@pytest.mark.parametrize("dtype", ["F17", "f16", "", None, 16, ["F16"], "F4"])
def test_an_unknown_dtype_is_refused(tmp_path: Path, dtype: Any) -> None:
    assert "unknown dtype" in refused(tmp_path, changed(dtype=dtype))


@pytest.mark.parametrize(
    "shape", [None, 3072, "2", [2, -3072], [2, 3072.0], [True, 3072], [2**63], [2, 3072, *[1] * 7], [[2]]]
)
def test_an_impossible_shape_is_refused(tmp_path: Path, shape: Any) -> None:
    assert "shape" in refused(tmp_path, changed(shape=shape))


@pytest.mark.parametrize("offsets", [None, [], [0], [0, 1, 2], [2, 0], [-2, 0], [0.0, 2.0], ["0", "2"], [False, 2]])
def test_impossible_offsets_are_refused(tmp_path: Path, offsets: Any) -> None:
    assert "offsets" in refused(tmp_path, changed(data_offsets=offsets))


def test_offsets_that_differ_from_the_shape_are_refused(tmp_path: Path) -> None:
    assert "4 bytes" in refused(tmp_path, changed(data_offsets=[0, 4]))


def test_overlapping_tensors_are_refused_by_name(tmp_path: Path) -> None:
    header = header_of(FLUX)
    header[B]["data_offsets"] = header[A]["data_offsets"]
    assert "lora_B.weight overlaps" in refused(tmp_path, packed(header))


def test_a_gap_between_tensors_is_refused(tmp_path: Path) -> None:
    header = header_of(FLUX)
    header[B]["data_offsets"] = [n + 8 for n in header[B]["data_offsets"]]
    assert "gap of 8 bytes" in refused(tmp_path, packed(header))


@pytest.mark.parametrize("metadata", [None, [], "text", {"steps": 7}, {"nested": {}}])
def test_metadata_that_is_no_table_of_texts_is_refused(tmp_path: Path, metadata: Any) -> None:
    assert "__metadata__" in refused(tmp_path, packed({**header_of(FLUX), "__metadata__": metadata}, bytes(24576)))


@pytest.mark.parametrize("name", ["", "two\nlines", "\ud800", "bell\x07", "n" * 513])
def test_a_tensor_name_that_could_not_be_shown_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, packed(header_of({name: (1,)})))
    assert message.isprintable(), f"{message!r} would break a log"
    assert len(message) < 400


def test_a_number_that_json_does_not_have_is_refused_even_where_nobody_looks(tmp_path: Path) -> None:
    assert "NaN" in refused(tmp_path, changed(comment=float("nan")))


@pytest.mark.parametrize("lacking", ["dtype", "shape", "data_offsets"])
def test_an_entry_without_all_its_fields_is_refused(tmp_path: Path, lacking: str) -> None:
    header = header_of(FLUX)
    del header[A][lacking]
    assert "lacks" in refused(tmp_path, packed(header, bytes(24576)))


def test_a_missing_file_is_missing_and_not_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"nobody\.safetensors"):
        inspect(tmp_path / "nobody.safetensors")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoraUnreadable, match="regular file"):
        inspect(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(LoraUnreadable, match="regular file"):
        inspect(tmp_path / "pipe.safetensors")


def examine(content: bytes) -> None:
    """Both readers answer or raise an error of the tree; anything else fails the property."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(content)
        for read in (inspect, check_finite):
            try:
                read(path)
            except CallsheetError as error:
                assert str(error).isprintable(), f"{str(error)!r} would break a log"


@given(st.binary(max_size=300))
def test_random_bytes_never_raise_anything_but_our_errors(content: bytes) -> None:
    examine(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["F16", "F32", "dtype", "shape", "data_offsets"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text(max_size=10) | st.sampled_from(["__metadata__", A, B, "lora_unet_down_blocks_0.lora_down.weight"])
ENTRIES = JSON | st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F16", "F8_E4M3", "F64"]) | JSON,
     "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
     "data_offsets": st.lists(st.integers(0, 40), min_size=2, max_size=2) | JSON},
)


@given(st.dictionaries(NAMES, ENTRIES, max_size=4), st.binary(max_size=40))
def test_random_headers_never_raise_anything_but_our_errors(header: dict[str, Any], data: bytes) -> None:
    examine(packed(json.dumps(header).encode(), data))


@given(st.integers(0, 300), st.integers(0, 255))
def test_one_changed_byte_never_raises_anything_but_our_errors(place: int, byte: int) -> None:
    content = bytearray(lora(FLUX, {"trigger_words": '["a"]'}))
    content[place] = byte
    examine(bytes(content))
