"""Making, fetching and checking went wrong."""

from __future__ import annotations

from callsheet.errors.base import CallsheetError


class NotReady(CallsheetError):
    """Not a failure: the actor is taken the next time."""

    code = "train.not_ready"
    summary = "training of {actor} has not finished"
    remedy = "nothing to do: the next run takes it once its LoRA is there"


class EngineError(CallsheetError):
    code = "engine.failed"
    summary = "{engine} could not make {what} ({detail})"
    remedy = "try again, or choose another engine or a smaller tier"
    retryable = True


class EngineUnable(EngineError):
    code = "engine.unable"
    summary = "{engine} cannot make {what} ({detail})"
    remedy = "choose another engine with --engine"
    retryable = False


class PosterFailed(EngineError):
    code = "poster.failed"
    summary = "Poster frame generation failed for {actor} ({detail})"
    remedy = "check the engine's log and quota, then run again: finished work is kept"


class SpeechFailed(EngineError):
    code = "speech.failed"
    summary = "{engine} could not speak {text!r} ({detail})"
    remedy = "check the voice and language of the line"


class VoiceUnknown(SpeechFailed):
    """Asked for a voice or language that the engine does not have: asking again cannot help."""

    code = "speech.voice_unknown"
    remedy = "choose a voice and language that this engine has"
    retryable = False


class DownloadFailed(CallsheetError):
    code = "download.failed"
    summary = "{url} could not be fetched ({detail})"
    remedy = "check the address and the network, then run again"
    retryable = True


class DownloadGone(DownloadFailed):
    """The server's answer will not change by asking again."""

    code = "download.gone"
    remedy = "check the address; a signed one may have expired"
    retryable = False


class MediaError(CallsheetError):
    code = "media.failed"
    summary = "ffmpeg could not {what} ({detail})"
    remedy = "run again; if it fails the same way, report it with the log of this run"


class QualityRefused(CallsheetError):
    """The film is made and kept, but not delivered. `findings` names each fault with its place and remedy, `film`
    where it lies in the store."""

    code = "check.refused"
    summary = "{title} is not delivered, {count} found: {findings}; it can be looked at in {film}"
    remedy = "mend that, or set the policy of checks to retry (such scenes are shot anew) or to warn (it is delivered)"
