"""Networks of single files (.pth, .safetensors) that turn pictures into pictures, loaded by spandrel.

Covers finding out which architecture a file is, half precision on CUDA, and batches. A .pth is read with
weights_only=True: numbers, never code. Knows neither faces nor clips.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import EngineUnable, OutOfMemory

Pictures = NDArray[np.uint8]
"""N x H x W x 3, RGB."""

_SIGNED = frozenset({"GFPGAN"})
"""Architectures whose colours go from -1 to 1."""
_SHIMMED = "torchvision"
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Network:
    """A loaded network. The same pictures give the same result on the same device."""

    name: str
    """How people call the file."""
    architecture: str
    scale: int
    """A picture comes out so many times as large."""
    device: str
    half: bool
    run: Callable[[Any], Any]
    """N x 3 x H x W tensors in and out, 0 to 1."""

    def __call__(self, pictures: Pictures) -> Pictures:
        """`scale` times as large. Raises OutOfMemory."""
        import torch

        values = torch.from_numpy(np.array(pictures.transpose(0, 3, 1, 2), order="C")).to(self.device)
        values = values.to(torch.float16 if self.half else torch.float32) / 255
        try:
            with torch.inference_mode():
                made = self.run(values).float().clamp(0, 1)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(engine=self.name, what="a picture", detail=str(error).splitlines()[0][:200]) from error
        numbers: Pictures = (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return numbers


def load(path: Path, device: str) -> Network:
    """The network in a file; the last ones asked for stay loaded.

    Raises EngineUnable for a file that is none, OutOfMemory where it does not fit.
    """
    with _LOCK:
        key = (path.resolve(), path.stat().st_mtime_ns, device)
        if key not in _WARM:
            while len(_WARM) >= _KEPT:                # the oldest goes
                del _WARM[next(iter(_WARM))]
            _WARM[key] = _load(path, device)
        return _WARM[key]


_KEPT = 2
_WARM: dict[tuple[Path, int, str], Network] = {}


def _load(path: Path, device: str) -> Network:
    import torch

    descriptor = _descriptor(path)
    identity = descriptor.architecture.id
    half = device.startswith("cuda") and bool(descriptor.supports_half)
    try:
        descriptor.to(device).eval()
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(engine=path.name, what="pictures", detail=str(error)[:200]) from error
    for parameter in descriptor.model.parameters():
        parameter.requires_grad_(False)
    if half:
        descriptor.half()
    run = _signed(descriptor.model) if identity in _SIGNED else descriptor
    return Network(path.name, str(identity), int(descriptor.scale), device, half, run)


def _signed(model: Any) -> Callable[[Any], Any]:
    """A face network's call: spandrel's own leaves out the range of its colours, and lets noise differ each time."""

    def run(values: Any) -> Any:
        made, _ = model(values * 2 - 1, return_rgb=False, randomize_noise=False)
        return made / 2 + 0.5

    return run


def _descriptor(path: Path) -> Any:
    """What spandrel makes of a file."""
    import torch

    spandrel = spandrel_module()
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        found = spandrel.ModelLoader("cpu").load_from_state_dict(spandrel.canonicalize_state_dict(state))
    except Exception as error:                        # pickle, zip, safetensors and spandrel: each has its own kinds
        raise EngineUnable(
            engine=path.name, what="pictures", detail=f"its weights cannot be read: {_line(error)}",
            remedy=f"remove {path} and fetch it again with `callsheet models download`",
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise EngineUnable(engine=path.name, what="pictures", detail="it is no network from pictures to pictures",
                           remedy="put the file there that `callsheet models list` names")
    return found


def _line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:160]}" if text else type(error).__name__


def spandrel_module() -> Any:
    """The package, imported also where torchvision is absent."""
    with _torchvision_for_spandrel():
        import spandrel
    return spandrel


@contextmanager
def _torchvision_for_spandrel() -> Iterator[None]:
    """Where torchvision is absent, what two of spandrel's architectures want of it while they are imported.

    Neither is used here; torchvision itself would bring a torch of its own.
    """
    if "spandrel" in sys.modules or find_spec(_SHIMMED) is not None:
        yield
        return
    names = (_SHIMMED, f"{_SHIMMED}.transforms", f"{_SHIMMED}.transforms.functional")
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, loader=None)
    functional: Any = modules[names[-1]]
    functional.InterpolationMode, functional.rotate, functional.normalize = type("Absent", (), {}), _absent, _absent
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)


def _absent(*_: Any, **__: Any) -> Any:
    raise EngineUnable(engine="spandrel", what="pictures of this architecture", detail="torchvision is not installed",
                       remedy="use the weights that `callsheet models list` names")
