"""Weights -> pipeline: one line a base model, and whether there is room for it.

    loaded = load(base_model("flux1-dev"), settings.models, device_of("auto"), work=4.0)

A maker is a module with `load`, and `picture`, `pictures` or `frames` (see Maker); it makes the pipeline on the
processor, holding.py moves it. Only safetensors on this machine are read, and nothing is ever fetched.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

from PIL import Image

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers.holding import hold
from callsheet.engines.diffusers.memory import Held, Plan, plan
from callsheet.engines.diffusers.work import Job, Tell
from callsheet.errors import EngineNotHere, OutOfMemory
from callsheet.weights import Weights, weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

ENGINE = "diffusers"


class Maker(Protocol):
    """What a module offers that makes a kind of model's pictures or clips.

    Makers of pictures have `picture` and `pictures`, makers of clips have `frames`. One whose model has several
    networks has `load_lora(pipe, folder, **how)` too, and one that can leave something out `warnings(pipe, job)`.
    """

    def load(self, folders: Mapping[str, Path], dtype: torch.dtype, model: BaseModel) -> Any:
        """The pipeline, on the processor. `folders`: where each of `model.weights` lies, by its name. Passes
        `use_safetensors=True, local_files_only=True` to whatever reads them."""

    def picture(self, pipe: Any, job: Job, tell: Tell) -> Image.Image:
        """RGB, exactly job.width x job.height."""

    def pictures(self, pipe: Any, jobs: list[Job], tell: Tell) -> list[Image.Image]:
        """Of jobs that differ in prompt, negative and seed alone: each equals `picture` of that job."""

    def frames(self, pipe: Any, job: Job, tell: Tell) -> NDArray[np.uint8]:
        """frames x height x width x 3, RGB: exactly what the job says. `job.first` already has the job's size."""


@dataclass(frozen=True)
class Loader:
    """How a base model becomes a pipeline."""

    module: str
    """Below this package."""
    dtype: str
    """torch's name of the precision on a GPU; the processor works in float32."""

    def maker(self) -> Maker:
        return cast(Maker, importlib.import_module(f"{__package__}.{self.module}"))


LOADERS: Mapping[str, Loader] = MappingProxyType({
    "flux1-dev": Loader("pictures", "bfloat16"),
    "sdxl-base-1.0": Loader("pictures", "float16"),
    "sd15": Loader("pictures", "float16"),
    "wan2.2-i2v-a14b": Loader("wan", "bfloat16"),
    "wan2.2-ti2v-5b": Loader("wan", "bfloat16"),
    "animatediff-sdxl": Loader("animatediff", "float16"),
    "animatediff-sd15": Loader("animatediff", "float16"),
})
"""By base model. A new model is one line here, one in base_models.py and its weights in weights.py."""


@dataclass
class Loaded:
    """A pipeline that is ready, and how it is held."""

    model: BaseModel
    pipe: Any
    maker: Maker
    plan: Plan
    device: str
    dtype: Any
    """torch's precision that it works in."""
    work: float = 0.0
    """GiB beside the weights that were planned for."""
    mounted: dict[str, str] = field(default_factory=dict)
    """Adapter -> digest of the LoRA file that is in it (stack.py)."""
    rank: int = 0
    """Rank that every adapter is padded to."""


def folders_of(model: BaseModel, models: Path) -> dict[str, Path]:
    """Where each of the model's weights lies, or would; its extras only where they are whole."""
    there = [name for name in model.extras if _whole(weights(name), models / weights(name).folder)]
    return {name: models / weights(name).folder for name in (*model.weights, *there)}


def missing(model: BaseModel, models: Path) -> tuple[str, ...]:
    """Names of the model's weights that are not, or not wholly, below `models`."""
    return tuple(name for name in model.weights if not _whole(weights(name), models / weights(name).folder))


def _whole(of: Weights, folder: Path) -> bool:
    """Whether a file is there for each of its patterns. Digests were checked when it was fetched."""
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    there = [name for name in there if not any(part.startswith(".") for part in name.split("/"))]
    return bool(there) and all(any(fnmatch(name, pattern) for name in there) for pattern in of.files)


def device_of(wanted: str) -> str:
    """torch's name of the device; empty where `auto` finds no GPU or the one that is wanted is not there."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else ""
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        return wanted if cuda and number < torch.cuda.device_count() else ""
    return wanted if wanted == "cpu" or mps else ""


def load(model: BaseModel, models: Path, device: str, work: float, decided: Plan | None = None) -> Loaded:
    """The model's pipeline on the device, held as memory allows.

    Args:
        models: Folder of all weights.
        device: As device_of says.
        work: GiB that the work beside the weights takes.
        decided: How it is to be held; None decides it by the memory that is free.

    Raises EngineUnable when weights are missing, OutOfMemory when they do not fit in any way.
    """
    absent = missing(model, models)
    if absent:
        raise EngineNotHere(
            engine=ENGINE, what=model.name, detail=f"{' and '.join(absent)} not whole in {models}",
            remedy=f"callsheet models download {' '.join(absent)}",
        )
    folders, loader = folders_of(model, models), LOADERS[model.name]
    dtype, maker = dtype_of(loader, device), loader.maker()
    if decided is None:
        size = sum(map(weights_gib, folders.values()))
        decided = require_room(model, device, free_gib(device), size * (2 if device == "cpu" else 1), work)
    pipe = _read(maker, folders, dtype, model)
    hold(pipe, decided.held, device, dtype)
    return Loaded(model, pipe, maker, decided, device, dtype, work)


def _read(maker: Maker, folders: Mapping[str, Path], dtype: torch.dtype, model: BaseModel) -> Any:
    from safetensors import SafetensorError

    try:
        with quiet():
            return maker.load(folders, dtype, model)
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        raise EngineNotHere(
            engine=ENGINE, what=model.name, detail=f"its weights cannot be read: {' '.join(str(error).split())[:200]}",
            remedy=f"move them away and fetch them again: callsheet models download {' '.join(model.weights)}",
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a library says so: each device has its own words."""
    if isinstance(error, MemoryError):
        return True
    name = type(error).__name__
    return name in ("OutOfMemoryError", "AcceleratorError", "RuntimeError") and "out of memory" in str(error).lower()


def require_room(model: BaseModel, device: str, free: float, weights: float, work: float) -> Plan:
    """How the model is held on the device, in GiB. The processor's memory can be swapped out, so that there the work
    is not counted. Raises OutOfMemory when it does not fit in any way.
    """
    gpu = device.startswith("cuda")
    decided = plan(free, weights, 0.0 if device == "cpu" else work, may_cast=gpu, may_offload=gpu)
    if decided.held is Held.REFUSED:
        detail = f"it needs {decided.needed:.1f} GiB in the smallest way, and {device} has {free:.1f} GiB free"
        raise OutOfMemory(engine=ENGINE, what=model.name, detail=detail, **_smaller(model))
    return decided


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' bars, and without their warnings: about old configurations, and about what a LoRA might
    lack, which is looked for afterwards."""
    with unheard(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def unheard() -> Iterator[None]:
    """Without what the libraries log: what matters of it they also raise, and we tell in one sentence."""
    import diffusers.utils.logging as theirs
    import transformers.utils.logging as also_theirs

    levels = [(library, library.get_verbosity()) for library in (theirs, also_theirs)]
    for library, _ in levels:
        library.set_verbosity(logging.CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in levels:
            library.set_verbosity(level)


def _smaller(model: BaseModel) -> dict[str, str]:
    return {"remedy": f"set clip_model to {model.smaller}, or take a larger card"} if model.smaller else {}


def dtype_of(loader: Loader, device: str) -> torch.dtype:
    """The processor is exact and slow in half precision: float32 there."""
    import torch

    return cast("torch.dtype", torch.float32 if device == "cpu" else getattr(torch, loader.dtype))


def weights_gib(folder: Path) -> float:
    """Of the safetensors in a folder. Where a network is there in half precision too, that one is counted."""
    files = [path for path in folder.rglob("*.safetensors") if path.is_file()]
    halves = {path.parent for path in files if ".fp16." in path.name}
    return sum(path.stat().st_size for path in files if path.parent not in halves or ".fp16." in path.name) / 2**30


def free_gib(device: str) -> float:
    """What a device has left, after what is cached was given back."""
    import psutil
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info(torch.device(device))[0]) / 2**30
    if device == "mps":
        used = torch.mps.driver_allocated_memory()
        return float(torch.mps.recommended_max_memory() - used) / 2**30
    return psutil.virtual_memory().available / 2**30
