"""Words -> numbers for models whose CLIP reads 75 tokens at a time: a long prompt goes in as several parts.

    pipe(**embedded(pipe, jobs))

The poster's template is longer than one part, and what does not fit would be dropped without a word. Each part is
encoded by itself and all are put in a row, as ComfyUI does. All texts of a batch get as many parts as the longest one:
the rest is padding. Works for the pipelines of SD 1.5 and SDXL, pictures and clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callsheet.engines.diffusers.work import Job


def embedded(pipe: Any, jobs: Sequence[Job]) -> dict[str, Any]:
    """Arguments of the pipeline in place of prompt and negative_prompt, in the order of the jobs."""
    prompts, negatives = [job.prompt for job in jobs], [job.negative for job in jobs]
    if len({parts_of(pipe, job) for job in jobs}) > 1:
        raise ValueError("texts of one batch must come to as many parts")
    parts = parts_of(pipe, jobs[0])
    words, pooled = encode(pipe, prompts, parts)
    unwanted, unpooled = encode(pipe, negatives, parts)
    given = {"prompt_embeds": words, "negative_prompt_embeds": unwanted}
    if pooled is not None:
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": unpooled}
    return given


def parts_of(pipe: Any, job: Job) -> int:
    """How many parts a job's longer text comes to."""
    room = int(pipe.tokenizer.model_max_length) - 2
    longest = max(len(_tokens(pipe.tokenizer, text)) for text in (job.prompt, job.negative))
    return max(1, -(-longest // room))


def encode(pipe: Any, texts: Sequence[str], parts: int) -> tuple[Any, Any]:
    """texts x (parts * 77) x width, and the pooled words of the first part for SDXL, else None."""
    import torch

    device = pipe._execution_device
    with torch.no_grad():
        if not hasattr(pipe, "text_encoder_2"):
            rows = _rows(pipe.tokenizer, texts, parts, device)
            return _joined(pipe.text_encoder(rows)[0], texts), None
        outputs = [
            encoder(_rows(tokenizer, texts, parts, device), output_hidden_states=True)
            for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))
        ]
    words = torch.cat([_joined(output.hidden_states[-2], texts) for output in outputs], dim=-1)
    pooled = outputs[1].text_embeds.view(len(texts), parts, -1)[:, 0]
    return words, pooled


def _tokens(tokenizer: Any, text: str) -> list[int]:
    """Without those that begin and end a part."""
    found: list[int] = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    return found


def _rows(tokenizer: Any, texts: Sequence[str], parts: int, device: Any) -> Any:
    """(texts * parts) x 77: each part begins, ends and is padded like a text of its own."""
    import torch

    size = tokenizer.model_max_length
    rows = []
    for text in texts:
        tokens = _tokens(tokenizer, text)
        for n in range(parts):
            part = [tokenizer.bos_token_id, *tokens[n * (size - 2) : (n + 1) * (size - 2)], tokenizer.eos_token_id]
            rows.append(part + [tokenizer.pad_token_id] * (size - len(part)))
    return torch.tensor(rows, device=device)


def _joined(states: Any, texts: Sequence[str]) -> Any:
    """Parts in a row again."""
    return states.reshape(len(texts), -1, states.shape[-1])
