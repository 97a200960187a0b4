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
    remedy = "choose another engine where this one is named: the order's or manifest's column, or the setting"
    retryable = False


class EngineNotHere(EngineUnable):
    """What it works with is not here: a card, a library, whole weights. The order is not at fault."""

    code = "engine.not_here"


class NoImageModels(EngineUnable):
    """Nothing but drawing is able here, and the order's policy does not allow that."""

    code = "engine.none"
    summary = "No image generation models available ({detail})"
    remedy = (
        "fetch weights with `callsheet models download` on a machine with a GPU, set CALLSHEET_COMFYUI_URL, or allow "
        "drawn pictures with fallback placeholder"
    )


class PromptRefused(EngineUnable):
    """The service will not make a picture of these words: asking again cannot help, and nothing was made."""

    code = "engine.prompt_refused"
    summary = "{engine} refused the words of {what} ({detail})"
    remedy = "change the prompt or the actor's description, or choose another engine"


class OutOfMemory(EngineError):
    """A model, or the work at one of its steps, needs more memory than there is. What it held is free again."""

    code = "engine.memory"
    summary = "{engine} has too little memory for {what} ({detail})"
    remedy = "choose a smaller model or size, or a card with more memory"
    retryable = False


class AnswerLost(EngineError):
    """Sent and perhaps paid; the engine cannot be asked what came of it. Not tried again by itself: that could be paid
    a second time.
    """

    code = "engine.answer_lost"
    summary = "{engine} may have made {what}, and its answer was lost ({detail})"
    remedy = "run again when it answers: this one may then be paid a second time"
    retryable = False


class EngineTimedOut(EngineError):
    """It worked longer than it may: the same again would take as long."""

    code = "engine.timed_out"
    summary = "{engine} took longer than {seconds:g} s for {what} ({detail})"
    remedy = "choose a smaller model or size, or a faster card"
    retryable = False


class EngineUnreached(EngineError):
    """The server that an engine works on could not be reached, or the connection broke before its answer came."""

    code = "engine.unreached"
    summary = "{engine}: the server at {url} does not answer ({detail})"
    remedy = "start the server, or correct its address"


class GraphRefused(EngineUnable):
    """`problems` has each thing that the server would refuse, ignore or change, with its node and near matches."""

    code = "graph.refused"
    summary = "{engine} cannot make {what} ({detail})"
    remedy = "put files that are named there where the server looks for them, or update the server"


class PosterFailed(EngineError):
    code = "poster.failed"
    summary = "Poster frame generation failed for {actor} ({detail})"
    remedy = "check the engine's log and quota, then run again: finished work is kept"


class FrameFailed(EngineError):
    """A single picture of a clip or of an animation."""

    code = "frame.failed"
    summary = "AI frame generation failed for {what} ({detail})"
    remedy = "check the engine's log and quota, then run again, or allow a smaller tier with fallback smaller"


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


class DrawnRefused(CallsheetError):
    """The film is made and kept, but not delivered."""

    code = "fallback.drawn"
    summary = "{title} is not delivered: {what} was drawn, and the order asked {asked}"
    remedy = "run again when that engine works, or set the order's fallback to placeholder"


class QualityRefused(CallsheetError):
    """The film is made and kept, but not delivered. `findings` names each fault with its place and remedy, `film`
    where it lies in the store."""

    code = "check.refused"
    summary = "{title} is not delivered, {count} found: {findings}; it can be looked at in {film}"
    remedy = "mend that, or set the policy of checks to retry (such scenes are shot anew) or to warn (it is delivered)"
