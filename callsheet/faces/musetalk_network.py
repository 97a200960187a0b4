"""MuseTalk 1.5 out of library parts: an autoencoder, a U-Net and one step that paints the lower half of a face.

The U-Net takes eight channels: the latents of the face with its lower half hidden, and of the same face whole. What it
hears goes into its cross-attention. There is no noise and no schedule, so equal faces and sounds give equal pictures.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from callsheet.errors import EngineUnable, OutOfMemory
from callsheet.faces.ears import Window
from callsheet.faces.spandrel_models import Pictures

SIDE = 256
"""Pixels of the faces that go in and come out."""

_LOCK = threading.Lock()
_WARM: dict[tuple[Path, str], Painter] = {}


def open_painter(unet: Mapping[str, Path], vae: Path, device: str) -> Painter:
    """The loaded networks; the last ones stay loaded.

    Args:
        unet: Its files by suffix: .json the configuration, .pth the weights.
        vae: Folder of the autoencoder.
        device: Where they run.

    Raises EngineUnable for files that are not theirs, OutOfMemory where they do not fit.
    """
    import torch

    with _LOCK:
        key = (unet[".pth"].resolve(), device)
        if key not in _WARM:
            _WARM.clear()
            try:
                _WARM[key] = Painter(_unet(unet[".json"], unet[".pth"]), _vae(vae), device)
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(engine="musetalk", what="lip-sync", detail=str(error)[:200]) from error
            except Exception as error:                # pickle, JSON, torch and diffusers: each has its own kinds
                raise EngineUnable(
                    engine="musetalk", what="lip-sync",
                    detail=f"its weights cannot be read: {type(error).__name__}: {str(error).strip()[:160]}",
                    remedy=f"remove {unet['.pth'].parent} and {vae}, then `callsheet models download musetalk "
                           "musetalk-vae`",
                ) from error
        return _WARM[key]


def _unet(config: Path, state: Path) -> Any:
    import torch
    from diffusers import UNet2DConditionModel

    fields = json.loads(config.read_text(encoding="utf-8"))
    net = UNet2DConditionModel.from_config(fields)
    if state.suffix == ".safetensors":
        from safetensors.torch import load_file

        net.load_state_dict(load_file(state))
    else:
        net.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))
    return net


def _vae(folder: Path) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder, use_safetensors=True)


class Painter:
    """Paints mouths."""

    def __init__(self, unet: Any, vae: Any, device: str) -> None:
        import torch

        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._unet, self._vae = (
            torch.nn.Module.to(net, device, self._dtype).eval().requires_grad_(False) for net in (unet, vae)
        )
        self._device = device

    def __call__(self, faces: Pictures, sounds: list[Window]) -> Pictures:
        """The same faces, SIDE x SIDE, saying what is heard. Raises OutOfMemory."""
        import torch

        values = torch.from_numpy(np.array(faces.transpose(0, 3, 1, 2), order="C")).to(self._device)
        heard = torch.from_numpy(np.stack(sounds)).to(self._device)
        try:
            with torch.inference_mode():
                made = self._painted(values.to(self._dtype) / 127.5 - 1, heard)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(engine="musetalk", what="a mouth", detail=str(error).splitlines()[0][:200]) from error
        pictures: Pictures = (made.float() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8).permute(
            0, 2, 3, 1).cpu().numpy()
        return pictures

    def _painted(self, faces: Any, heard: Any) -> Any:
        """Tensors from -1 to 1."""
        import torch

        hidden = faces.clone()
        hidden[:, :, SIDE // 2 :] = -1
        scaling = self._vae.config.scaling_factor
        latents = torch.cat([self._vae.encode(part).latent_dist.mode() for part in (hidden, faces)], 1) * scaling
        heard = (heard + _places(heard)).to(self._dtype)
        moment = torch.zeros(1, dtype=torch.long, device=self._device)
        painted = self._unet(latents, moment, encoder_hidden_states=heard).sample
        return self._vae.decode(painted / scaling).sample


def _places(heard: Any) -> Any:
    """Sines and cosines that tell the network the order of what it hears."""
    import torch

    _, count, width = heard.shape
    turn = torch.arange(count, device=heard.device)[:, None] * torch.exp(
        torch.arange(0, width, 2, device=heard.device) * (-np.log(10000.0) / width)
    )
    return torch.stack((turn.sin(), turn.cos()), -1).reshape(count, width)
