"""A ComfyUI server on loopback, HTTP and websocket on one port, with the real one's odd ways.

It validates, queues, caches, names and forgets as version 0.33 does (tests name each behaviour); what a job makes is
drawn by comfyui_drawing.py. Faults are attributes that a test sets. No model, no GPU.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import traceback
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.comfyui_drawing import Drawing, Graph, above, jpeg, mp4, png
from tests.support.comfyui_http import Handler
from tests.support.comfyui_intake import OUTPUTS, Intake

SCHEMA = Path(__file__).resolve().parents[1] / "engines" / "data" / "node_schema_small.json"
FILES: Mapping[str, tuple[str, ...]] = {
    "ckpt_name": ("flux1-dev-fp8.safetensors", "sd_xl_base_1.0.safetensors", "ltx-video-2b-v0.9.5.safetensors"),
    "unet_name": ("wan2.2_ti2v_5B_fp16.safetensors", "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
                  "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
                  "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "flux1-dev.safetensors"),
    "clip_name": ("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "t5xxl_fp16.safetensors"),
    "clip_name1": ("clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors"),
    "clip_name2": ("clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors"),
    "vae_name": ("wan2.2_vae.safetensors", "wan_2.1_vae.safetensors", "ae.safetensors"),
}


class FakeComfyUI(Intake):
    """The server. `folder` holds its input, output and loras."""

    def __init__(self, folder: Path, token: str = "", version: str = "0.33.0") -> None:
        self.folder, self.token, self.version = folder, token, version
        self.schema: dict[str, Any] = json.loads(SCHEMA.read_text())
        self.files = {key: list(names) for key, names in FILES.items()}
        for name in ("input", "output", "temp", "loras"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.asked: list[str] = []
        """Every request as `METHOD /path`."""
        self.posted: list[Graph] = []
        self.freed = 0
        self.step_s = 0.0
        self.hold = threading.Event()
        """Cleared: the job at work stands still before its next step."""
        self.hold.set()
        self.silent = False
        """The websocket connects and says nothing any more."""
        self.deaf = False
        """Websockets are refused."""
        self.out_of_memory = 0
        """So many jobs end with OutOfMemoryError; /free changes nothing of it."""
        self.full = False
        """Out of memory until /free."""
        self.crashes = 0
        """So many jobs are lost with everything the server knows, in the middle of their work."""
        self.lost_answers = 0
        """So many posts are taken and their connection is cut."""
        self.gone_files = 0
        """So many jobs' files vanish as soon as they are made."""
        self.error: Mapping[str, str] | None = None
        """exception_type, exception_message and node_type of every job's failure."""
        self.output_key = "images"
        self.extra_outputs: dict[str, Any] = {}
        """Of every job: node -> outputs, such as temporary previews."""
        self.previews: tuple[int, int] | None = None
        """Size of the pictures that are sent at each step; None: only broken ones."""
        self.busy = 0
        """So many requests are answered 503."""
        self.other: bytes = b""
        """What is answered to everything, as if something else than ComfyUI stood there."""
        self.cut = 0
        """Files come so many bytes short of what is announced."""
        self.drop_frames = 0
        """Clips come so many frames too short."""
        self._lock = threading.RLock()
        self._forget()
        self._cache: dict[str, dict[str, Any]] = {}
        self._counters: dict[str, int] = {}
        self._listeners: dict[str, list[Any]] = {}
        self._stop = threading.Event()
        outer = self

        class Here(Handler):
            server_of = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Here)
        self._http.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
            threading.Thread(target=self._work, daemon=True),
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> FakeComfyUI:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.hold.set()
        self._http.shutdown()
        self._http.server_close()
        for listeners in list(self._listeners.values()):
            for listener in listeners:
                with contextlib.suppress(OSError):
                    listener.close()
        self._threads[1].join(timeout=5)

    def add_lora(self, name: str, data: bytes = b"") -> Path:
        path = self.folder / "loras" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def object_info(self) -> dict[str, Any]:
        """The schema with this server's files as choices."""
        loras = sorted(
            str(path.relative_to(self.folder / "loras")) for path in (self.folder / "loras").rglob("*.safetensors"))
        pictures = sorted(path.name for path in (self.folder / "input").iterdir() if path.is_file())
        lists = {**self.files, "lora_name": loras, "image": pictures}
        info: dict[str, Any] = json.loads(json.dumps(self.schema))
        for node in info.values():
            for group in node["input"].values():
                for key, spec in group.items():
                    if key in lists and isinstance(spec, list) and spec and isinstance(spec[0], list):
                        spec[0] = lists[key]
        return info

    # ---- jobs

    def crash(self) -> None:
        """kill -9, and started again: it knows nothing any more. Files stay."""
        with self._lock:
            self._forget()

    def interrupt_by_hand(self) -> None:
        """Somebody presses the button on the server's own page."""
        self._interrupted = True

    @property
    def running(self) -> list[str]:
        return [job["id"] for job in self._running]

    def _forget(self) -> None:
        self.history: dict[str, Any] = {}
        self._pending: list[dict[str, Any]] = []
        self._running: list[dict[str, Any]] = []
        self._interrupted = False

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                job = self._pending.pop(0) if self._pending else None
                if job:
                    self._running, self._interrupted = [job], False
            if job is None:
                time.sleep(0.005)
                continue
            status, outputs = self._executed(job)
            with self._lock:
                if job in self._running:                  # else it crashed meanwhile
                    self._running = []
                    self.history[job["id"]] = {
                        "prompt": [0, job["id"], job["graph"], {}, job["outputs"]], "outputs": outputs,
                        "status": status, "meta": {},
                    }
            self._say(job, "executing", node=None)

    def _executed(self, job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        outputs: dict[str, Any] = {}
        messages: list[Any] = [["execution_start", {"prompt_id": job["id"], "timestamp": 1}]]

        def end(word: str, **facts: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            good = word == "execution_success"
            messages.append([word, {"prompt_id": job["id"], **facts}])
            self._say(job, word, **facts)
            return {"status_str": "success" if good else "error", "completed": good, "messages": messages}, outputs

        self._say(job, "execution_start")
        graph = {name: node for name, node in job["graph"].items()
                 if any(name in above(job["graph"], each) for each in job["outputs"])}
        order = sorted(graph, key=lambda name: len(list(above(graph, name))))
        for name in order:
            kind = graph[name]["class_type"]
            facts = {"node_id": name, "node_type": kind, "executed": []}
            self._say(job, "executing", node=name, display_node=name)
            if failed := self._failure(kind):
                return end("execution_error", **facts, traceback=["..."], current_inputs={}, current_outputs=[],
                           **failed)
            if "Sampler" in kind and "positive" in graph[name]["inputs"]:
                steps = graph[name]["inputs"].get("steps", 4)
                for step in range(1, steps + 1):
                    if not self._step(job, name, step, steps):
                        return end("execution_interrupted", **facts)
            if kind in OUTPUTS:
                try:
                    outputs[name] = self._saved(graph, name)
                except Exception:
                    return end("execution_error", **facts, exception_type="Exception",
                               exception_message=traceback.format_exc()[-300:], traceback=[])
                self._say(job, "executed", node=name, output=outputs[name])
        outputs.update(self.extra_outputs)
        if self.gone_files:
            self.gone_files -= 1
            self.delete_outputs()
        return end("execution_success")

    def delete_outputs(self) -> None:
        for path in (self.folder / "output").rglob("*.*"):
            path.unlink()

    def _failure(self, kind: str) -> dict[str, str] | None:
        if "Sampler" in kind and (self.full or self.out_of_memory):
            self.out_of_memory = max(0, self.out_of_memory - 1)
            return {"exception_type": "torch.OutOfMemoryError",
                    "exception_message": "CUDA out of memory. Tried to allocate 2.00 GiB."}
        if self.error and self.error["node_type"] == kind:
            return {key: text for key, text in self.error.items() if key != "node_type"}
        return None

    def _step(self, job: dict[str, Any], name: str, step: int, steps: int) -> bool:
        while not self.hold.wait(0.01) and not self._interrupted and not self._stop.is_set():
            pass
        time.sleep(self.step_s)
        if self.crashes and step > 1:
            self.crashes -= 1
            self.crash()
        if self._interrupted or self._stop.is_set() or job not in self._running:
            return False
        self._say(job, "progress", value=step, max=steps, node=name)
        self._say(job, "progress_state", nodes={})
        self._send(job["client"], b"\x00\x00\x00\x01\x00\x00\x00\x01\xff\xd8 broken", 2)
        self._send(job["client"], b"\x00\x00\x00\x09 of a kind that nobody knows", 2)
        if self.previews:
            self._send(job["client"], b"\x00\x00\x00\x01\x00\x00\x00\x01" + jpeg(self.previews), 2)
        self._send(job["client"], json.dumps({"type": "crystools.monitor", "data": {"cpu": 3}}).encode())
        return True

    def _saved(self, graph: Graph, name: str) -> dict[str, Any]:
        """The files of an output node; the same node again gives the same names, whatever became of the files."""
        node, drawing = graph[name], Drawing(graph, self.folder / "input")
        if node["class_type"] == "PreviewImage":
            return {"images": [{"filename": "preview_00001_.png", "subfolder": "", "type": "temp"}]}
        prefix = node["inputs"]["filename_prefix"]
        key = f"{drawing.digest(name)} {prefix}"
        if key in self._cache:
            return self._cache[key]
        folder, _, stem = prefix.rpartition("/")
        target = self.folder / "output" / folder
        target.mkdir(parents=True, exist_ok=True)
        frames = drawing.frames(name)
        names = []
        if node["class_type"] == "SaveImage":
            for frame in frames:
                names.append(f"{stem}_{self._count(prefix):05}_.png")
                (target / names[-1]).write_bytes(png(frame, graph))
        else:
            names.append(f"{stem}_{self._count(prefix):05}_.mp4")
            kept = frames[: len(frames) - self.drop_frames]
            mp4(kept, drawing.rate(name), graph, target / names[-1])
        made: dict[str, Any] = {
            self.output_key: [{"filename": each, "subfolder": folder, "type": "output"} for each in names]}
        if node["class_type"] == "SaveVideo":
            made["animated"] = [True]
        self._cache[key] = made
        return made

    def _count(self, prefix: str) -> int:
        self._counters[prefix] = self._counters.get(prefix, 0) + 1
        return self._counters[prefix]

    # ---- the websocket

    def _say(self, job: dict[str, Any], word: str, **data: Any) -> None:
        message = {"type": word, "data": {"prompt_id": job["id"], **data}}
        self._send(job["client"], json.dumps(message).encode())

    def _send(self, client: str, data: bytes, opcode: int = 1) -> None:
        if self.silent:
            return
        size = len(data)
        head = bytes([0x80 | opcode]) + (
            bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big") if size < 65536
            else bytes([127]) + size.to_bytes(8, "big"))
        for listener in list(self._listeners.get(client, [])):
            with contextlib.suppress(OSError):
                listener.sendall(head + data)

    # ---- requests

    def stop(self, body: Mapping[str, Any]) -> None:
        """POST /interrupt: a wrong id gets 200 too."""
        wanted = body.get("prompt_id")
        if not wanted or wanted in self.running:
            self._interrupted = True

    def delete(self, names: list[str]) -> None:
        with self._lock:
            self._pending = [job for job in self._pending if job["id"] not in names]

    def queue(self) -> dict[str, Any]:
        with self._lock:
            return {f"queue_{word}": [[n, job["id"], job["graph"], {}, job["outputs"]] for n, job in enumerate(jobs)]
                    for word, jobs in (("running", self._running), ("pending", self._pending))}

    def upload(self, name: str, data: bytes) -> dict[str, str]:
        """Another content under a name that is taken becomes `name (1)`."""
        target, number = self.folder / "input" / name, 0
        while target.exists() and target.read_bytes() != data:
            number += 1
            target = self.folder / "input" / f"{Path(name).stem} ({number}){Path(name).suffix}"
        target.write_bytes(data)
        return {"name": target.name, "subfolder": "", "type": "input"}
