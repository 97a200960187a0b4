"""A Dia and its codec with random weights, in the files and the layout of the real ones.

What it says is noise, but it says it as the real one does: byte tokens in, nine delayed channels out, an end of its
own, a codec after that. 0.5 million weights, about 3 ms a token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callsheet.weights import weights

_ENDS = 1.1
"""How much the score of the end varies against other scores: it wins once in some eighty tokens."""

_MEMORY = 0.2
"""How much it heeds what it has read and said: with more it sometimes says the same for ever."""


def tiny_dia(models: Path) -> Path:
    """The folder `models`, with Dia and its codec below it."""
    import torch
    from transformers import DiaFeatureExtractor, DiaForConditionalGeneration, DiaTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    dia, dac = (models / weights(name).folder for name in ("dia", "dac"))
    if dia.exists():
        return models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = DiaForConditionalGeneration(_dia_config())
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if weight.ndim > 1:
                    weight.normal_(0, 1 if "embed" in name else weight.shape[-1] ** -0.5)
                if "o_proj" in name:
                    weight.mul_(_MEMORY)
            network.logits_dense.weight[network.config.decoder_config.eos_token_id] *= _ENDS
        network.save_pretrained(dia)
        _codec().save_pretrained(dac)
    DiaTokenizer().save_pretrained(dia)
    DiaFeatureExtractor(sampling_rate=44100).save_pretrained(dia)
    return models


def _dia_config() -> Any:
    from transformers import DiaConfig
    from transformers.models.dia.configuration_dia import DiaDecoderConfig, DiaEncoderConfig

    size: dict[str, Any] = {
        "num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "head_dim": 8,
    }
    encoder = DiaEncoderConfig(num_key_value_heads=2, **size)
    decoder = DiaDecoderConfig(
        num_key_value_heads=1, cross_num_attention_heads=2, cross_head_dim=8, cross_num_key_value_heads=2,
        cross_hidden_size=16, **size,
    )
    return DiaConfig(encoder_config=encoder.to_dict(), decoder_config=decoder.to_dict())


def _codec() -> Any:
    """At its first weights a codec is nearly silent: these are larger, without the biases that make a steady hum."""
    import torch
    from transformers import DacConfig, DacModel

    codec = DacModel(DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=64, hidden_size=32, downsampling_ratios=[2, 4, 8, 8],
        upsampling_ratios=[8, 8, 4, 2], n_codebooks=9, codebook_size=1024, codebook_dim=4, sampling_rate=44100,
    ))
    with torch.no_grad():
        for name, weight in codec.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
            elif weight.ndim == 3:
                weight.mul_(3)
            elif weight.ndim == 2:
                weight.normal_()
    return codec
