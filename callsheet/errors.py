"""Every way callsheet can fail, as one tree.

    CallsheetError
    ├── InputError              what was asked for cannot be done as it is written: nothing was spent
    │   ├── ManifestInvalid       manifest.invalid       some rows are wrong; each problem is a line
    │   ├── OrderInvalid          order.invalid          an order contradicts itself
    │   ├── DialogueInvalid       dialogue.invalid       a tag or name in a dialogue fits nobody of the cast
    │   ├── SceneTooShort         scene.too_short        dialogue or transitions do not fit the scene
    │   ├── ClipTooShort          clip.too_short         the transitions at both ends of a clip do not fit into it
    │   ├── FileMissing           file.missing           a file that the order names is not there
    │   ├── FileUnreadable        file.unreadable        a file that the order names may not or cannot be read
    │   ├── FileChanged           file.changed           a file changed while its order was running
    │   ├── RequestInvalid        request.invalid        a job envelope has a wrong or missing field
    │   ├── SettingMissing        setting.missing        a key, bucket or program is not configured
    │   ├── SettingInvalid        setting.invalid        a setting has a value that it cannot have
    │   ├── MediaUnreadable       media.unreadable       a sound, picture or clip cannot be read
    │   ├── AddressRefused        download.refused       a URL that callsheet will not open
    │   ├── KeyRefused            store.key_refused      a key that no store will take
    │   ├── LoraUnreadable        lora.unreadable        not a whole safetensors file
    │   │   └── LoraUnsafe        lora.unsafe            a format that can run code when it is loaded
    │   ├── LoraFamilyUnknown     lora.family_unknown    no known base model fits its key names
    │   └── WrongFamily           lora.wrong_family      trained for another base model
    ├── NotReady                train.not_ready        training has not finished: the actor waits
    ├── EngineError             engine.failed          an engine could not make what it was asked
    │   ├── EngineUnable          engine.unable          no configured engine can do this
    │   ├── PosterFailed          poster.failed          "Poster frame generation failed"
    │   └── SpeechFailed          speech.failed          a line could not be spoken
    │       └── VoiceUnknown        speech.voice_unknown   the engine has no such voice or language
    ├── ProviderError           provider.failed        the GPU provider answered with an error (retryable)
    │   └── NoImages              provider.no_images     "No images in RunPod output"
    ├── DownloadFailed          download.failed        time-out or lost connection (retryable)
    │   └── DownloadGone          download.gone          the server says that it is not there, or not for us
    ├── MediaError              media.failed           ffmpeg failed on our own material
    ├── QualityRefused          check.refused          the finished film has faults, and its order delivers none
    ├── StoreError              store.failed           the store answered with an error (retryable)
    │   ├── NotInStore            store.missing          a file or record that should be there is not
    │   ├── StoreCorrupt          store.corrupt          bytes differ from their digest
    │   ├── StoreDenied           store.denied           the store refused the credentials
    │   └── UploadFailed          store.upload           a delivery could not be written (retryable)
    ├── Fenced                  claim.fenced           somebody else took this work over
    ├── ServerError             server.failed          Prefect's server or its database did not start
    │   └── ServerDied            server.died            a process that the others need ended on its own
    └── Cancelled               cancelled              stopped on request

Each class carries a stable `code`, a `summary` and a `remedy` (templates over the facts it is raised
with) and whether trying again can help. `str(error)` is one line a person can act on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


class CallsheetError(Exception):
    """Base of the tree. Raise a subclass with the facts its templates name, as keyword arguments."""

    code: ClassVar[str] = "callsheet.error"
    summary: ClassVar[str] = "{detail}"
    remedy: ClassVar[str] = "see the log of this run"
    retryable: ClassVar[bool] = False

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        self.facts = facts

    @property
    def what(self) -> str:
        """What went wrong, and where."""
        return _fill(self.summary, self.facts)

    @property
    def fix(self) -> str:
        """What to do about it."""
        given = self.facts.get("remedy")             # words of the moment, not a template
        return str(given) if given else _fill(self.remedy, self.facts)

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"

    def __reduce__(self) -> Any:                      # keyword-only facts survive a process boundary
        return (_rebuild, (type(self), self.facts))


def as_ours(error: BaseException) -> CallsheetError:
    """The error as one of the tree: itself, or, when it is a mistake of ours, its type and words on one line."""
    return error if isinstance(error, CallsheetError) else CallsheetError(detail=f"{type(error).__name__}: {error}")


def _rebuild(kind: type[CallsheetError], facts: dict[str, Any]) -> CallsheetError:
    return kind(**facts)


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def _fill(template: str, facts: dict[str, Any]) -> str:
    return template.format_map(_Facts(facts))


class InputError(CallsheetError):
    """The input is wrong. Nothing was spent."""

    code = "input.invalid"
    remedy = "correct it and start again"


@dataclass(frozen=True)
class Problem:
    """One mistake in a manifest or script, placed so that an editor can jump to it."""

    file: str
    where: str
    """`row 3, column seed`, or the path of a field such as `scenes[2].seconds`."""
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        shown = f" {self.value!r}" if self.value else ""
        return f"{self.file}: {self.where}:{shown} {self.message}: {self.remedy}"


class ManifestInvalid(InputError):
    """Some rows are wrong. `problems` has them all, in the file's order."""

    code = "manifest.invalid"
    summary = "{count} in {file}"
    remedy = "correct the lines above; nothing was started"

    def __init__(self, problems: Iterable[Problem], **facts: Any) -> None:
        self.problems = tuple(problems)
        files = sorted({p.file for p in self.problems})
        count = f"{len(self.problems)} mistake{'s' if len(self.problems) != 1 else ''}"
        super().__init__(**{"count": count, "file": ", ".join(files), "problems": self.problems, **facts})

    def __str__(self) -> str:
        return "\n".join([*map(str, self.problems), super().__str__()])


class OrderInvalid(InputError):
    code = "order.invalid"
    summary = "order {title}: {detail}"


class DialogueInvalid(InputError):
    code = "dialogue.invalid"
    summary = "dialogue: {detail}"
    remedy = "{advice}"


class SceneTooShort(InputError):
    code = "scene.too_short"
    summary = "scene {scene} lasts {seconds} s but needs {needed} s for its {reason}"
    remedy = "make the scene longer, shorten the {reason}, or set fit to grow"


class ClipTooShort(InputError):
    code = "clip.too_short"
    summary = "{clip} lasts {seconds} s but needs {needed} s for its transitions"
    remedy = "use a longer clip, or transitions of at most {most} s there: --seconds {most}"


class FileMissing(InputError):
    code = "file.missing"
    summary = "{path} is not there ({what})"
    remedy = "check the path; it is read relative to the file that names it"


class FileUnreadable(InputError):
    code = "file.unreadable"
    summary = "{path} cannot be read ({detail})"
    remedy = "check its permissions"


class FileChanged(InputError):
    code = "file.changed"
    summary = "{path} changed while its order was running"
    remedy = "start again: the new file is taken as a new one"


class RequestInvalid(InputError):
    code = "request.invalid"
    summary = "field {field}: {detail}"
    remedy = "see docs/jobs.md for the fields of each job type"


class SettingMissing(InputError):
    """`subject` reads as in the source systems: 'RunPod API key is required', 'S3 bucket is required'."""

    code = "setting.missing"
    summary = "{subject} is required"
    remedy = "set {variable}"


class SettingInvalid(InputError):
    """A secret's value is never among the facts."""

    code = "setting.invalid"
    summary = "{variable} cannot be {value} ({detail})"
    remedy = "correct {variable} in the environment or in .env; `callsheet doctor` lists every setting"


class MediaUnreadable(InputError):
    code = "media.unreadable"
    summary = "{path} cannot be read as {kind} ({detail})"
    remedy = "check that it plays, or convert it to a common format first"


class AddressRefused(InputError):
    code = "download.refused"
    summary = "{url} will not be opened ({detail})"
    remedy = "use an https address on the public internet, or send the bytes as base64"


class KeyRefused(InputError):
    code = "store.key_refused"
    summary = "key {key!r} is refused ({detail})"
    remedy = "use a relative key such as posters/a.jpg: short segments, none hidden, no .. and no control characters"


class LoraUnreadable(InputError):
    code = "lora.unreadable"
    summary = "{path} is not a whole safetensors file ({detail})"
    remedy = "export the LoRA again as .safetensors and wait until the copy has finished"


class LoraUnsafe(LoraUnreadable):
    code = "lora.unsafe"
    summary = "{path} is {detail}, which can run code when it is loaded"
    remedy = "convert the LoRA to .safetensors; callsheet never loads anything else"


class LoraFamilyUnknown(InputError):
    code = "lora.family_unknown"
    summary = "{path} fits no base model that callsheet knows ({detail})"
    remedy = "train for flux, sdxl, sd15 or wan, or check that this is a LoRA at all"


class WrongFamily(InputError):
    code = "lora.wrong_family"
    summary = "{path} is a {found} LoRA, but {wanted} was asked for"
    remedy = "train it on {wanted}, or set base_model to {found}"


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


class ProviderError(CallsheetError):
    code = "provider.failed"
    summary = "{provider} answered {detail}"
    remedy = "try again later; check the account's quota"
    retryable = True


class NoImages(ProviderError):
    code = "provider.no_images"
    summary = "No images in RunPod output ({detail})"
    remedy = "verify the workflow's parameters and that its LoRAs exist on the endpoint"
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


class StoreError(CallsheetError):
    code = "store.failed"
    summary = "store {url}: {detail}"
    remedy = "check that the store is reachable and that its credentials are valid"
    retryable = True


class NotInStore(StoreError):
    code = "store.missing"
    summary = "{key} is not in {url}"
    remedy = "run again: what is missing is made anew"
    retryable = False


class StoreCorrupt(StoreError):
    code = "store.corrupt"
    summary = "{key} in {url} differs from its digest ({detail})"
    remedy = "remove that file and run again: it is made anew"
    retryable = False


class StoreDenied(StoreError):
    """Trying again with the same credentials cannot help."""

    code = "store.denied"
    summary = "store {url} refused the credentials ({detail})"
    remedy = "check the access key, its secret, this machine's clock and what the key may do in that bucket"
    retryable = False


class UploadFailed(StoreError):
    code = "store.upload"
    summary = "{key} could not be written to {url} ({detail})"
    remedy = "check the bucket's name, its PutObject permission and the network"


class Fenced(CallsheetError):
    code = "claim.fenced"
    summary = "{key} was taken over by another run"
    remedy = "nothing to do: the other run's result is used"
    retryable = True


class ServerError(CallsheetError):
    code = "server.failed"
    summary = "{what} did not start ({detail})"
    remedy = "read {log}; another server on the same folder or port is the usual cause"


class ServerDied(ServerError):
    code = "server.died"
    summary = "{what} ended unexpectedly ({detail})"
    remedy = "read {log}, then start again: finished work is kept"


class Cancelled(CallsheetError):
    code = "cancelled"
    summary = "{what} was cancelled"
    remedy = "run again to go on: finished work is kept"
