"""Programs are started under limits, and never outlive whoever waits for them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import HOSTILE_VIDEO, Command, end_programs, local_input, reader, run, writer
from tests.media.clips import foreign, make_clip

ENDLESS = ("-re", "-t", "30", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10", "-f", "null", "-")


def programs() -> list[str]:
    """Programs that this process has running."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):       # it ended while it was looked at
            line = " ".join(child.cmdline())
            found += [line] if child.status() != psutil.STATUS_ZOMBIE and "testsrc2=s=64x64" in line else []
    return found


def interrupt_soon() -> None:
    def send() -> None:
        while not programs():
            time.sleep(0.02)
        time.sleep(0.3)                               # it is there a moment before whoever starts it can wait for it
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()


def test_a_program_ends_when_what_waits_for_it_is_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)     # what runs in the background ignores it
    try:
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            run(Command(ENDLESS, "wait for ever"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert programs() == []


def test_a_program_that_is_fed_ends_when_its_feeder_is_interrupted() -> None:
    line = ("-f", "s16le", "-i", "pipe:0", *ENDLESS)
    with pytest.raises(KeyboardInterrupt), writer(Command(line, "be fed")) as pipe:
        pipe.write(b"unsent")
        raise KeyboardInterrupt
    assert programs() == []


def test_a_program_that_is_read_ends_when_its_reader_fails() -> None:
    line = ("-re", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10", "-f", "rawvideo", "pipe:1")
    with pytest.raises(ZeroDivisionError), reader(Command(line, "be read")) as pipe:
        pipe.read(10)
        raise ZeroDivisionError
    assert programs() == []


def test_programs_of_a_thread_can_be_ended_from_another() -> None:
    failed: list[str] = []

    def wait() -> None:
        with pytest.raises(MediaError) as error:
            run(Command(ENDLESS, "wait for ever"))
        failed.append(str(error.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not programs():
        time.sleep(0.02)
    end_programs({threading.get_ident()})
    assert len(programs()) == 1, "a program of another thread was ended"
    end_programs({waiting.ident or 0})
    waiting.join()
    assert len(failed) == 1 and programs() == []


def test_last_words_hold_no_addresses() -> None:
    with pytest.raises(MediaError) as refused:
        run(Command((*ENDLESS[:-3], "-vf", "nosuch", *ENDLESS[-3:]), "filter it"))
    assert "No such filter" in str(refused.value) and "0x" not in str(refused.value), refused.value


def test_a_clip_cut_within_an_open_gop_decodes_to_its_end(tmp_path: Path) -> None:
    gops = ("-x264-params", "keyint=30:open-gop=1:bframes=3:scenecut=0")
    whole = make_clip(tmp_path / "whole.mp4", 150, 30, options=foreign("veryfast", *gops))
    run(Command(("-ss", "2.5", "-i", local_input(whole), "-c", "copy", local_input(tmp_path / "cut.mp4")), "cut"))
    line = (*HOSTILE_VIDEO, "-i", local_input(tmp_path / "cut.mp4"), "-f", "framemd5", "pipe:1")
    with reader(Command(line, "decode a cut clip", timeout_s=30)) as pipe:
        shown = [row for row in pipe.read().splitlines() if not row.startswith(b"#")]
    assert len(shown) >= 75, f"{len(shown)} frames: the last 2.5 of 5 s at 30 a second are whole"
