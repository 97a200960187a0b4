"""Stands for LatentSync's scripts/inference.py: its arguments, its rate, its loop back and forth, and its habits.

It darkens the middle of the picture while the sound is loud. A file `mode` beside it asks for a failure.
"""

import argparse
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import av
import numpy as np

HERE = Path.cwd()
"""It looks for everything below its working directory."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("unet_config_path", "inference_ckpt_path", "video_path", "audio_path", "video_out_path", "temp_dir"):
        parser.add_argument(f"--{name}", type=str, required=True)
    parser.add_argument("--inference_steps", type=int, default=20)
    parser.add_argument("--guidance_scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1247)
    return parser.parse_args()


def fail(mode: str) -> None:
    """As asked."""
    if mode == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    if mode == "faceless":
        sys.exit("RuntimeError: Face not detected")
    if mode == "fail":
        sys.exit("RuntimeError: no such layer")
    if mode == "hang":
        child = subprocess.Popen(["sleep", "600"])
        (HERE / "pids").write_text(str(child.pid))
        time.sleep(600)


def main() -> None:
    asked, mode = arguments(), (HERE / "mode").read_text() if (HERE / "mode").exists() else ""
    for needed in (asked.unet_config_path, asked.inference_ckpt_path, "checkpoints/whisper/tiny.pt"):
        assert Path(needed).is_file(), needed
    subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True)
    (HERE / "asked.txt").write_text("\n".join(sys.argv[1:]))
    Path(asked.temp_dir).mkdir()                       # the test asks that it is new
    fail(mode)
    with av.open(asked.video_path) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 25
    with wave.open(asked.audio_path) as file:
        assert (file.getframerate(), file.getnchannels()) == (16000, 1)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    count = -(-len(sound) * 25 // 16000)
    there_and_back = frames + frames[::-1]
    shown = [there_and_back[n % len(there_and_back)].copy() for n in range(count)]
    height, width = frames[0].shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    middle = np.hypot(x - width / 2, y - height / 2) < 0.08 * width
    with av.open(asked.video_out_path, "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "2", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n, frame in enumerate(shown[: -10 if mode == "short" else None]):
            if np.abs(sound[n * 640 : (n + 1) * 640]).mean() > 0.02:
                frame[middle] = 30
            print(f"\rDoing inference...: {100 * (n + 1) // count:3d}%|###", end="", flush=True)
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    shutil.rmtree(asked.temp_dir)


if __name__ == "__main__":
    main()
