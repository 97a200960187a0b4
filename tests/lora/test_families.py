"""The family of a LoRA is told from its layers' names and widths, and only then from its metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_files import FLUX, Shapes, lora, pair

from callsheet.errors import LoraFamilyUnknown, LoraUnreadable
from callsheet.lora.inspect import LoraFacts, inspect
from callsheet.models import Family

SDXL_ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
SDXL_KOHYA = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
SD15_KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
SELF_ATTENTION = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def facts(tmp_path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> LoraFacts:
    path = tmp_path / "a.safetensors"
    path.write_bytes(lora(shapes, metadata))
    return inspect(path)


def unknown(tmp_path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> str:
    with pytest.raises(LoraFamilyUnknown) as caught:
        facts(tmp_path, shapes, metadata)
    return str(caught.value)


FLUX_LAYOUTS: dict[str, tuple[Shapes, str]] = {
    "peft": (FLUX, "peft"),
    "peft, named adapter": (
        {"transformer.single_transformer_blocks.7.attn.to_v.lora_A.default.weight": (4, 3072),
         "transformer.single_transformer_blocks.7.attn.to_v.lora_B.default.weight": (3072, 4)}, "peft"),
    "kohya": (pair("lora_unet_double_blocks_0_img_attn_proj", 3072, 3072, style="kohya", alpha=True), "kohya"),
    "kohya, single": (pair("lora_unet_single_blocks_37_linear2", 15360, 3072, style="kohya", alpha=True), "kohya"),
    "kohya, with its text encoder": (
        {**pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 768, 3072, style="kohya"),
         **pair("lora_unet_double_blocks_18_txt_mlp_0", 3072, 12288, style="kohya")}, "kohya"),
    "XLabs": (
        {"double_blocks.0.processor.qkv_lora1.down.weight": (16, 3072),
         "double_blocks.0.processor.qkv_lora1.up.weight": (9216, 16),
         "double_blocks.0.processor.qkv_lora2.down.weight": (16, 3072),
         "double_blocks.0.processor.qkv_lora2.up.weight": (9216, 16)}, "diffusers"),
    "BFL": (pair("double_blocks.0.img_attn.proj", 3072, 3072), "peft"),
    "BFL, prefixed": (pair("diffusion_model.single_blocks.3.linear1", 3072, 21504), "peft"),
    "OneTrainer": (pair("lora_transformer_single_transformer_blocks_0_attn_to_q", 3072, 3072, style="kohya"), "kohya"),
    "reduced": (pair("transformer.single_transformer_blocks.0.attn.to_q", 32, 32), "peft"),
}


@pytest.mark.parametrize("layout", FLUX_LAYOUTS)
def test_flux_is_known_in_every_trainers_layout(tmp_path: Path, layout: str) -> None:
    shapes, style = FLUX_LAYOUTS[layout]
    found = facts(tmp_path, shapes)
    assert (found.family, found.style) == (Family.FLUX, style)


@pytest.mark.parametrize(
    "shapes",
    [
        pair(f"unet.{SDXL_ATTENTION}", 2048, 640),
        pair(SDXL_KOHYA, 2048, 640, style="kohya", alpha=True),
        pair("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_v", 2048, 640, style="diffusers"),
        pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120, style="kohya", alpha=True),
        {**pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120, style="kohya"),
         **pair(SDXL_KOHYA, 2048, 640, style="kohya")},
        pair("text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj", 1280, 1280),
    ],
    ids=["peft", "kohya", "diffusers", "second CLIP", "UNet and second CLIP", "second CLIP, peft"],
)
def test_sdxl_is_known_by_its_text_width_or_its_second_text_encoder(tmp_path: Path, shapes: Shapes) -> None:
    assert facts(tmp_path, shapes).family is Family.SDXL


@pytest.mark.parametrize(
    "shapes",
    [
        pair("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v", 768, 320),
        pair(SD15_KOHYA, 768, 320, style="kohya", alpha=True),
        pair("mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k", 768, 1280, style="diffusers"),
    ],
    ids=["peft", "kohya", "diffusers"],
)
def test_sd15_is_known_by_its_text_width(tmp_path: Path, shapes: Shapes) -> None:
    assert facts(tmp_path, shapes).family is Family.SD15


@pytest.mark.parametrize("width", [1536, 3072, 5120])
@pytest.mark.parametrize(
    ("layer", "style"),
    [
        ("diffusion_model.blocks.0.self_attn.q", "peft"),
        ("blocks.0.cross_attn.k", "peft"),
        ("lora_unet_blocks_0_self_attn_q", "kohya"),
        ("transformer.blocks.0.attn1.to_q", "peft"),
    ],
)
def test_wan_is_known_in_each_of_its_widths(tmp_path: Path, layer: str, style: str, width: int) -> None:
    assert facts(tmp_path, pair(layer, width, width, style=style)).family is Family.WAN


def test_a_unets_blocks_are_not_taken_for_wans(tmp_path: Path) -> None:
    wide = pair("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 1536, 1536)
    shapes = {**wide, **pair(SDXL_ATTENTION, 2048, 640)}
    assert facts(tmp_path, shapes).family is Family.SDXL


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        (pair("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 1024, 1280), "1024"),
        ({**pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120, style="kohya"),
          **pair(SD15_KOHYA, 768, 320, style="kohya")}, "second CLIP"),
        (pair("blocks.0.self_attn.q", 4096, 4096), "4096"),
        ({**pair("blocks.0.self_attn.q", 5120, 5120), **pair("blocks.1.self_attn.q", 1536, 1536)}, "1536, 5120"),
        (pair("transformer.single_transformer_blocks.0.attn.to_q", 6144, 6144), "6144"),
        (pair("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 3072, 27648), "to_qkv_mlp_proj"),
        (pair("transformer.single_transformer_blocks.38.attn.to_q", 3072, 3072), "38"),
        (pair("lora_unet_double_blocks_0_img_mod_linear", 3072, 18432, style="kohya"), "img_mod_linear"),
        ({**FLUX, **pair(SDXL_ATTENTION, 2048, 640)}, "mixes layers of flux and sdxl"),
    ],
    ids=["SD 2", "two CLIPs", "4096", "two Wans", "FLUX.2", "FLUX.2 fused", "38 blocks", "HunyuanVideo", "merged"],
)
def test_a_model_that_callsheet_does_not_know_is_refused_with_what_was_seen(
    tmp_path: Path, shapes: Shapes, why: str
) -> None:
    assert why in unknown(tmp_path, shapes, {"ss_base_model_version": "flux1"}), "metadata must not overrule the layers"


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "flux1"}, Family.FLUX),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, Family.SDXL),
        ({"ss_base_model_version": "sd_v1"}, Family.SD15),
        ({"ss_base_model_version": "sd_1.5"}, Family.SD15),
        ({"ss_base_model_version": "wan2.1"}, Family.WAN),
        ({"modelspec.architecture": "flux-1-dev/lora"}, Family.FLUX),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, Family.SDXL),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, Family.SD15),
    ],
)
def test_metadata_decides_when_the_layers_do_not(tmp_path: Path, metadata: dict[str, str], family: Family) -> None:
    shapes = pair("transformer_blocks.0.attn.add_q_proj", 3072, 3072)
    assert facts(tmp_path, shapes, metadata).family is family


@pytest.mark.parametrize("said", ["", "flux2_klein_9b", "flux-2", "sd_v2", "sd3m", "hunyuan", "wander"])
def test_metadata_of_another_model_decides_nothing(tmp_path: Path, said: str) -> None:
    shapes = pair("transformer_blocks.0.attn.add_q_proj", 3072, 3072)
    assert "add_q_proj" in unknown(tmp_path, shapes, {"ss_base_model_version": said})


def test_metadata_only_chooses_among_what_the_layers_leave_open(tmp_path: Path) -> None:
    shapes = pair(SELF_ATTENTION, 640, 640)
    assert facts(tmp_path, shapes, {"ss_base_model_version": "sdxl_base_v1-0"}).family is Family.SDXL
    assert "says flux" in unknown(tmp_path, shapes, {"ss_base_model_version": "flux1"})
    assert "does not tell" in unknown(tmp_path, shapes)


def test_metadata_never_overrules_the_layers(tmp_path: Path) -> None:
    assert facts(tmp_path, FLUX, {"ss_base_model_version": "sdxl_base_v1-0"}).family is Family.FLUX


@pytest.mark.parametrize("shapes", [{}, {"double_blocks.0.img_attn.qkv.weight": (9, 3)}, {"emb_params": (4, 768)}])
def test_a_file_without_lora_layers_is_refused(tmp_path: Path, shapes: Shapes) -> None:
    assert "no LoRA layers" in unknown(tmp_path, shapes, {"ss_base_model_version": "flux1"})


def test_a_matrix_without_its_partner_is_refused_by_layer(tmp_path: Path) -> None:
    lonely = dict(list(FLUX.items())[:1])
    with pytest.raises(LoraUnreadable, match=r"attn\.to_q has only one"):
        facts(tmp_path, lonely)


@pytest.mark.parametrize(
    ("down", "up"), [((2, 3072), (3072, 4)), ((0, 3072), (3072, 0)), ((3072,), (3072, 2)), ((), ())]
)
def test_matrices_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, down: tuple[int, ...], up: tuple[int, ...]
) -> None:
    with pytest.raises(LoraUnreadable, match="do not fit"):
        facts(tmp_path, dict(zip(FLUX, (down, up), strict=True)))
