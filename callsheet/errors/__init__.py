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
    │   ├── LoraUnfit             lora.unfit             its layers are not those of the base model
    │   └── WrongFamily           lora.wrong_family      trained for another base model
    ├── NotReady                train.not_ready        training has not finished: the actor waits
    ├── EngineError             engine.failed          an engine could not make what it was asked
    │   ├── EngineUnable          engine.unable          no configured engine can do this
    │   │   ├── EngineNotHere       engine.not_here        what it works with is not here: card, library, weights
    │   │   ├── NoImageModels       engine.none            "No image generation models available"
    │   │   ├── GraphRefused        graph.refused          a ComfyUI server would not make a graph as it is
    │   │   └── PromptRefused       engine.prompt_refused  a service will not make a picture of these words
    │   ├── OutOfMemory           engine.memory          too little memory for a model or its work
    │   ├── AnswerLost            engine.answer_lost     sent and perhaps paid, and no whole answer came
    │   ├── EngineTimedOut        engine.timed_out       it worked longer than it may
    │   ├── EngineUnreached       engine.unreached       the server that it works on does not answer
    │   ├── PosterFailed          poster.failed          "Poster frame generation failed"
    │   ├── FrameFailed           frame.failed           "AI frame generation failed"
    │   └── SpeechFailed          speech.failed          a line could not be spoken
    │       └── VoiceUnknown        speech.voice_unknown   the engine has no such voice or language
    ├── ProviderError           provider.failed        the GPU provider answered with an error (retryable)
    │   ├── ProviderBusy          provider.busy          it asks for patience (429)
    │   ├── AnswerUnknown         provider.answer_unknown  a request may have been carried out: look first
    │   ├── ProviderUnreached     provider.unreached     nothing answers at its address
    │   ├── ProviderDenied        provider.denied        the key was refused
    │   ├── ProviderUnpaid        provider.unpaid        the account has no money
    │   ├── ProviderRefused       provider.refused       it will never take this request
    │   ├── NoCapacity            provider.no_capacity   no GPU of those allowed is free
    │   ├── QueueStuck            provider.queue_stuck   a queue does not move, and why
    │   ├── JobFailed             provider.job_failed    the job's own code failed
    │   ├── JobTimedOut           provider.timed_out     a job took longer than it may
    │   ├── JobLost               provider.lost          a job is gone, and so is its result
    │   └── NoImages              provider.no_images     "No images in RunPod output"
    ├── BudgetExceeded          budget.exceeded        the next step could cost more than is allowed
    ├── DownloadFailed          download.failed        time-out or lost connection (retryable)
    │   └── DownloadGone          download.gone          the server says that it is not there, or not for us
    ├── MediaError              media.failed           ffmpeg failed on our own material
    ├── DrawnRefused            fallback.drawn         a picture was drawn where the order wants none
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

from callsheet.errors.base import (
    CallsheetError,
    Cancelled,
    Fenced,
    as_ours,
)
from callsheet.errors.inputs import (
    AddressRefused,
    ClipTooShort,
    DialogueInvalid,
    FileChanged,
    FileMissing,
    FileUnreadable,
    InputError,
    KeyRefused,
    LoraFamilyUnknown,
    LoraUnfit,
    LoraUnreadable,
    LoraUnsafe,
    ManifestInvalid,
    MediaUnreadable,
    OrderInvalid,
    Problem,
    RequestInvalid,
    SceneTooShort,
    SettingInvalid,
    SettingMissing,
    WrongFamily,
)
from callsheet.errors.provider import (
    AnswerUnknown,
    BudgetExceeded,
    JobFailed,
    JobLost,
    JobTimedOut,
    NoCapacity,
    NoImages,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnpaid,
    ProviderUnreached,
    QueueStuck,
)
from callsheet.errors.server import (
    ServerDied,
    ServerError,
)
from callsheet.errors.store import (
    NotInStore,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    UploadFailed,
)
from callsheet.errors.work import (
    AnswerLost,
    DownloadFailed,
    DownloadGone,
    DrawnRefused,
    EngineError,
    EngineNotHere,
    EngineTimedOut,
    EngineUnable,
    EngineUnreached,
    FrameFailed,
    GraphRefused,
    MediaError,
    NoImageModels,
    NotReady,
    OutOfMemory,
    PosterFailed,
    PromptRefused,
    QualityRefused,
    SpeechFailed,
    VoiceUnknown,
)

__all__ = [
    "AddressRefused",
    "AnswerLost",
    "AnswerUnknown",
    "BudgetExceeded",
    "CallsheetError",
    "Cancelled",
    "ClipTooShort",
    "DialogueInvalid",
    "DownloadFailed",
    "DownloadGone",
    "DrawnRefused",
    "EngineError",
    "EngineNotHere",
    "EngineTimedOut",
    "EngineUnable",
    "EngineUnreached",
    "Fenced",
    "FileChanged",
    "FileMissing",
    "FileUnreadable",
    "FrameFailed",
    "GraphRefused",
    "InputError",
    "JobFailed",
    "JobLost",
    "JobTimedOut",
    "KeyRefused",
    "LoraFamilyUnknown",
    "LoraUnfit",
    "LoraUnreadable",
    "LoraUnsafe",
    "ManifestInvalid",
    "MediaError",
    "MediaUnreadable",
    "NoCapacity",
    "NoImageModels",
    "NoImages",
    "NotInStore",
    "NotReady",
    "OrderInvalid",
    "OutOfMemory",
    "PosterFailed",
    "Problem",
    "PromptRefused",
    "ProviderBusy",
    "ProviderDenied",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnpaid",
    "ProviderUnreached",
    "QualityRefused",
    "QueueStuck",
    "RequestInvalid",
    "SceneTooShort",
    "ServerDied",
    "ServerError",
    "SettingInvalid",
    "SettingMissing",
    "SpeechFailed",
    "StoreCorrupt",
    "StoreDenied",
    "StoreError",
    "UploadFailed",
    "VoiceUnknown",
    "WrongFamily",
    "as_ours",
]
