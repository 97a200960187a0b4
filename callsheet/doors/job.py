"""`callsheet job`: one request envelope, run here as a pod would run it."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.doors.served import served
from callsheet.errors import CallsheetError, FileMissing, InputError, RequestInvalid
from callsheet.settings import Settings

if TYPE_CHECKING:
    from callsheet.jobs.reply import Reply
    from callsheet.jobs.requests import AnyRequest

EXIT_FAILED, EXIT_INPUT = 1, 2


@dataclass(frozen=True)
class Ended:
    """A reply, and the error behind one without success."""

    reply: Reply
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """0 only on success, 2 when the input has to be corrected, else 1."""
        if self.error is None:
            return 0
        return EXIT_INPUT if isinstance(self.error, InputError) else EXIT_FAILED


def run_job(path_or_dash: str, verbose: bool = False) -> Ended:
    """Run the request in a file, or on standard input for `-`. There is a reply whatever happens.

    The request may name files of this machine. Nothing is written to standard output. Everything that can be
    checked without a server is checked before one starts.
    """
    from callsheet.jobs.reading import parse_envelope, read_request
    from callsheet.jobs.reply import Reply

    began = time.monotonic()
    request: AnyRequest | None = None
    try:
        request = read_request(parse_envelope(_text(path_or_dash)))
        settings = Settings.load()
        with contextlib.redirect_stdout(sys.stderr), served(settings, verbose):
            return Ended(_run(request))
    except Exception as error:
        return Ended(Reply.failed(request, error, round((time.monotonic() - began) * 1000)), error)


def _run(request: AnyRequest) -> Reply:
    """Through the flow of its job type. The flow raises, so that its run ends as failed; so does this."""
    from tasks.inputs import inbox

    with inbox(local=True) as box:
        reply: Reply = flow_of(request)(box.keep(request))
        return reply


def flow_of(request: AnyRequest) -> Any:
    """The flow that runs a request of this type."""
    from flows.animation import animation
    from flows.frames import frames
    from flows.lipsync_only import lipsync_only
    from flows.persona_build import persona_build
    from flows.poster_frame import poster_frame
    from flows.segment import segment
    from flows.video_render import video_render

    flows = (animation, frames, lipsync_only, persona_build, poster_frame, segment, video_render)
    return next(flow for flow in flows if flow.name == request.job_type)


def _text(path_or_dash: str) -> str:
    from callsheet.jobs.reading import MAX_ENVELOPE_BYTES

    try:
        if path_or_dash == "-":
            raw = sys.stdin.buffer.read(MAX_ENVELOPE_BYTES + 1)
        else:
            with Path(path_or_dash).open("rb") as file:
                raw = file.read(MAX_ENVELOPE_BYTES + 1)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise FileMissing(path=path_or_dash, what="the request", remedy="check the path, or write - and pipe it in") \
            from None
    except UnicodeDecodeError:
        raise _unreadable(path_or_dash, "it is not UTF-8") from None
    except OSError as error:
        raise _unreadable(path_or_dash, error.strerror or "not readable") from None


def _unreadable(path: str, detail: str) -> CallsheetError:
    return RequestInvalid(field="(the envelope)", detail=f"{path} cannot be read: {detail}", remedy="send a JSON file")
