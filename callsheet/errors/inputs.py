"""What was asked for cannot be done as it is written: nothing was spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from callsheet.errors.base import CallsheetError


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


class LoraUnfit(InputError):
    """Of the right family, and yet its layers are not those of the base model."""

    code = "lora.unfit"
    summary = "{path} cannot be loaded into {model} ({detail})"
    remedy = "train it on {model} itself, or export it in the layout of peft or kohya"


class WrongFamily(InputError):
    code = "lora.wrong_family"
    summary = "{path} is a {found} LoRA, but {wanted} was asked for"
    remedy = "train it on {wanted}, or set base_model to {found}"
