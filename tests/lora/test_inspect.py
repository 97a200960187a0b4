"""What is known of a LoRA, its numbers, its family against the one asked for, and where it lies."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from pathlib import Path

import pytest
from lora_files import FLUX, FLUX_LAYER, header_of, lora, packed, pair

from callsheet.errors import FileMissing, LoraUnreadable, LoraUnsafe, WrongFamily
from callsheet.lora.inspect import CHUNK_BYTES, check_finite, find_lora, inspect, require_family
from callsheet.models import Family


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def test_the_facts_are_those_of_the_file(file: Path) -> None:
    shapes = {**FLUX, **pair("transformer.single_transformer_blocks.1.attn.to_k", 3072, 3072, rank=16)}
    file.write_bytes(lora(shapes, dtype="BF16"))
    facts = inspect(file)
    assert (facts.rank, facts.layers, facts.dtypes, facts.size) == (16, 2, ("BF16",), file.stat().st_size)
    assert (facts.metadata, facts.trigger_words) == ({}, ())


def test_only_the_header_is_read(file: Path) -> None:
    width = 3072
    with file.open("wb") as out:                      # 1 GiB of hole: reading it all would show in memory and time
        content = packed(header_of(pair(FLUX_LAYER, width, width, rank=2**17)), b"")
        out.write(content)
        out.truncate(len(content) + 2 * 2**17 * width * 2)
    tracemalloc.start()
    assert inspect(file).rank == 2**17
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20, f"{peak} bytes in memory for a header of {len(content)}"


def test_facts_are_values_that_can_be_sent_and_compared(file: Path) -> None:
    file.write_bytes(lora(FLUX, {"ss_network_dim": "2"}))
    facts = inspect(file)
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert len({facts, inspect(file)}) == 1


def test_layers_factored_in_another_way_have_no_rank(file: Path) -> None:
    file.write_bytes(lora({"lora_unet_double_blocks_0_img_attn_proj.lokr_w1": (4, 4),
                           "lora_unet_double_blocks_0_img_attn_proj.lokr_w2": (768, 768)}))
    facts = inspect(file)
    assert (facts.family, facts.rank, facts.layers) == (Family.FLUX, None, 1)


def test_only_known_metadata_is_kept_and_in_one_printable_line(file: Path) -> None:
    said = {"ss_base_model_version": "flux1\n[ERROR] forged" + "x" * 999, "ss_train_data_dir": "/home/me"}
    file.write_bytes(lora(FLUX, said))
    kept = inspect(file).metadata
    assert list(kept) == ["ss_base_model_version"]
    assert kept["ss_base_model_version"].startswith("flux1?[ERROR]")
    assert len(kept["ss_base_model_version"]) == 300


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"trigger_words": "ohwx woman, , ohwx woman,sks"}, ("ohwx woman", "sks")),
        ({"modelspec.trigger_phrase": "ohwx", "trigger_word": "other"}, ("ohwx",)),
        ({"trigger_words": '["ohwx, young", 7]'}, ("ohwx, young",)),
        ({"trigger_words": "[not json"}, ()),
        ({"trigger_words": ",".join(map(str, range(99)))}, tuple(map(str, range(20)))),
        ({}, ()),
    ],
)
def test_trigger_words_are_those_the_trainer_wrote(
    file: Path, metadata: dict[str, str], words: tuple[str, ...]
) -> None:
    file.write_bytes(lora(FLUX, metadata))
    assert inspect(file).trigger_words == words


NUMBERS = [
    ("F16", "<H", 0x7BFF, (0x7C00, 0xFC00, 0x7E00)),
    ("BF16", "<H", 0x7F7F, (0x7F80, 0xFF80, 0x7FC0)),
    ("F32", "<I", 0x7F7FFFFF, (0x7F800000, 0xFF800000, 0x7FC00000)),
    ("F64", "<Q", 0x7FEFFFFFFFFFFFFF, (0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000)),
    ("F8_E5M2", "<B", 0x7B, (0x7C, 0xFC, 0x7F)),
    ("F8_E4M3", "<B", 0x7E, (0x7F, 0xFF)),
]


@pytest.mark.parametrize(("dtype", "form", "largest", "wrong"), NUMBERS, ids=[n[0] for n in NUMBERS])
def test_nan_and_infinity_are_refused_in_every_float_format(
    file: Path, dtype: str, form: str, largest: int, wrong: tuple[int, ...]
) -> None:
    header = header_of({"fine": (2,), "sick": (2,)}, dtype=dtype)
    fine = struct.pack(form, largest) * 3
    file.write_bytes(packed(header, fine + struct.pack(form, largest)))
    assert check_finite(file) == 2, "the largest number of a format is finite"
    for bits in wrong:
        file.write_bytes(packed(header, fine + struct.pack(form, bits)))
        with pytest.raises(LoraUnreadable, match="sick holds NaN or infinity"):
            check_finite(file)


def test_integers_of_any_bits_are_finite(file: Path) -> None:
    file.write_bytes(packed(header_of({"steps": (1,)}, dtype="I64"), b"\xff" * 8))
    assert check_finite(file) == 1


@pytest.mark.parametrize("place", [0, CHUNK_BYTES // 2 - 1, CHUNK_BYTES // 2, 3 * CHUNK_BYTES // 2])
def test_large_tensors_are_checked_to_the_end_in_bounded_memory(file: Path, place: int) -> None:
    numbers = 3 * CHUNK_BYTES // 2 + 1
    data = bytearray(numbers * 2)
    data[2 * place + 1] = 0x7E
    file.write_bytes(packed(header_of({"large": (numbers,)}), bytes(data)))
    tracemalloc.start()
    with pytest.raises(LoraUnreadable, match="large holds"):
        check_finite(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * CHUNK_BYTES, f"{peak} bytes in memory at once"


def test_check_finite_refuses_a_broken_file_too(file: Path) -> None:
    file.write_bytes(lora(FLUX)[:-1])
    with pytest.raises(LoraUnreadable, match="ends after"):
        check_finite(file)


def test_the_right_family_passes_and_a_wrong_one_is_named_with_the_way_out(file: Path) -> None:
    file.write_bytes(lora(FLUX))
    facts = inspect(file)
    require_family(facts, Family.FLUX, "anna")
    with pytest.raises(WrongFamily) as caught:
        require_family(facts, Family.SDXL, "anna")
    assert str(caught.value) == (
        "anna is a flux LoRA, but sdxl was asked for: train it on sdxl, or set base_model to flux"
    )


@pytest.mark.parametrize("name", ["anna_v1.5", "anna_v1.5.safetensors", "./anna_v1.5", "sub/../anna_v1.5"])
def test_a_lora_is_found_with_and_without_its_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / "anna_v1.5.safetensors").write_bytes(b"")
    assert find_lora(name, [tmp_path / "empty", tmp_path]) == tmp_path / "anna_v1.5.safetensors"


def test_the_first_folder_that_has_it_wins(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "anna.safetensors").write_bytes(b"")
    assert find_lora("anna", [tmp_path / "b", tmp_path / "a"]) == tmp_path / "b" / "anna.safetensors"


def test_a_lora_in_a_subfolder_is_named_with_it(tmp_path: Path) -> None:
    (tmp_path / "flux").mkdir()
    (tmp_path / "flux" / "anna.safetensors").write_bytes(b"")
    assert find_lora("flux/anna", [tmp_path]) == tmp_path / "flux" / "anna.safetensors"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pkl", ".PT"])
def test_a_suffix_of_pickles_is_unsafe_even_when_the_file_is_there(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"anna{suffix}").write_bytes(b"")
    with pytest.raises(LoraUnsafe, match=r"convert the LoRA to \.safetensors"):
        find_lora(f"anna{suffix}", [tmp_path])


def test_a_missing_lora_names_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(FileMissing) as caught:
        find_lora("anna", [tmp_path / "one", tmp_path / "two"])
    for part in ("anna.safetensors", str(tmp_path / "one"), str(tmp_path / "two")):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["../secret", "flux/../../secret", "/secret", "{root}/secret"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.safetensors").write_bytes(lora(FLUX))
    (tmp_path / "loras").mkdir()
    with pytest.raises(FileMissing, match="it leaves"):
        find_lora(name.format(root=tmp_path), [tmp_path / "loras"])


@pytest.mark.parametrize("name", ["", " ", "flux/", "a\0b", "two\nlines", "n" * 300])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileMissing):
        find_lora(name, [tmp_path])


def test_a_folder_called_like_a_lora_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "anna.safetensors").mkdir()
    with pytest.raises(FileMissing):
        find_lora("anna", [tmp_path])
