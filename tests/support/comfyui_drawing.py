"""What the pretended ComfyUI makes of a graph: pictures that follow from everything above their node, drawn not made.

Every node has a digest of its class, its values and the digests of what it is linked to; a decoded batch is coloured
by that digest. So a changed seed, prompt, strength or file changes the pixels, and an equal graph repeats them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Graph = Mapping[str, Mapping[str, Any]]
Batch = NDArray[np.uint8]
"""N x H x W x 3."""

BLEND = 8
"""Frames in which a clip leaves the picture it starts from."""


def links(node: Mapping[str, Any]) -> Iterator[str]:
    """The nodes that a node takes from."""
    for value in node["inputs"].values():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            yield value[0]


def above(graph: Graph, name: str) -> Iterator[str]:
    """A node and all it depends on, nearest first."""
    seen, waiting = set(), [name]
    while waiting:
        here = waiting.pop(0)
        if here not in seen:
            seen.add(here)
            yield here
            waiting += links(graph[here])


class Drawing:
    """One graph, and the folder of its input pictures."""

    def __init__(self, graph: Graph, inputs: Path) -> None:
        self.graph = graph
        self.inputs = inputs

    def digest(self, name: str) -> str:
        node = self.graph[name]
        values = {
            key: ["link", self.digest(value[0]), value[1]] if isinstance(value, list) else value
            for key, value in sorted(node["inputs"].items()) if key != "filename_prefix"
        }
        if node["class_type"] == "LoadImage":
            values["bytes"] = hashlib.sha256((self.inputs / node["inputs"]["image"]).read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps([node["class_type"], values], sort_keys=True).encode()).hexdigest()

    def frames(self, name: str) -> Batch:
        """The pictures that come out of a node."""
        node = self.graph[name]
        kind, inputs = node["class_type"], node["inputs"]
        if kind == "LoadImage":
            with Image.open(self.inputs / inputs["image"]) as image:
                return np.asarray(image.convert("RGB"))[None]
        if kind.startswith("VAEDecode"):
            return self._decoded(name)
        source = self.frames(next(inputs[key][0] for key in ("image", "images", "video") if key in inputs))
        if kind == "ImageFromBatch":
            first = min(len(source) - 1, inputs["batch_index"])
            return source[first : first + inputs["length"]]
        if kind == "ImageCrop":
            x, y = inputs["x"], inputs["y"]
            return source[:, y : y + inputs["height"], x : x + inputs["width"]]
        if kind == "ImageScale":
            return np.stack([_resized(frame, (inputs["width"], inputs["height"])) for frame in source])
        return source

    def rate(self, name: str) -> Fraction:
        video = self.graph[self.graph[name]["inputs"]["video"][0]]
        return Fraction(video["inputs"]["fps"]).limit_denominator(1001)

    def _decoded(self, name: str) -> Batch:
        latent = next(
            self.graph[each]["inputs"] for each in above(self.graph, name)
            if "Latent" in self.graph[each]["class_type"] or self.graph[each]["class_type"].endswith("ToVideo")
        )
        width, height = latent["width"] // 8 * 8, latent["height"] // 8 * 8
        count = latent.get("length", latent.get("batch_size", 1))
        step = 8 if any("LTXV" in self.graph[each]["class_type"] for each in above(self.graph, name)) else 4
        if "length" in latent:
            count -= (count - 1) % step                   # the server makes fewer and says nothing
        dice = np.random.default_rng(int(self.digest(name)[:12], 16))
        small = Image.fromarray(dice.integers(0, 256, (4, 4, 3), np.uint8))
        wide = np.asarray(small.resize((width + count, height), Image.Resampling.BICUBIC))
        drawn = np.stack([wide[:, t : t + width] for t in range(count)])
        link = latent.get("start_image") or latent.get("image")
        if link is None:
            return drawn
        start = _resized(self.frames(link[0])[0], (width, height)).astype(np.float32)
        share = np.minimum(1, np.arange(count) / BLEND).astype(np.float32)[:, None, None, None]
        return ((1 - share) * start + share * drawn).astype(np.uint8)


def png(frame: Batch, graph: Graph) -> bytes:
    """With the whole graph inside, as the server writes them."""
    words = PngInfo()
    words.add_text("prompt", json.dumps(graph))
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", pnginfo=words, compress_level=1)
    return buffer.getvalue()


def jpeg(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "olive").save(buffer, "JPEG")
    return buffer.getvalue()


def mp4(frames: Batch, fps: Fraction, graph: Graph, target: Path) -> None:
    with av.open(str(target), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["prompt"] = container.metadata["comment"] = json.dumps(graph)
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _resized(frame: Batch, size: tuple[int, int]) -> Batch:
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
