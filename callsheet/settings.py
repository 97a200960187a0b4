"""Settings: every environment variable that callsheet reads, in one frozen object.

Covers names, defaults, meanings and checks of single values; a `.env` file in the working directory counts
as environment (the environment proper wins). Does not connect to anything and does not decide whether a key
is needed: what needs one raises SettingMissing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from callsheet.errors import SettingInvalid
from callsheet.models import Fallback, Gpu
from callsheet.pricing import CARDS, Card, card

VOLUMES = (Path("/runpod-volume"), Path("/workspace"))
"""Where a rented machine has its volume: an endpoint's worker, a pod."""

HIDDEN = "(set, hidden)"
"""What stands for a secret's value wherever people look."""


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value     # keys are pasted with a line end


def _web_address(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value.strip()) is None:
        raise ValueError("it is not an http(s) address")
    return value.strip().rstrip("/")


def _secret_address(value: Any) -> Any:
    address = _web_address(value)
    if not re.match(r"https://|http://(127\.0\.0\.1|\[::1\]|localhost)([:/]|$)", address):
        raise ValueError("it is not https, and a key would travel unencrypted")
    return address


def _place(value: Any) -> Any:
    text = str(value).strip()
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        return str(Path(text).expanduser().absolute())
    if scheme[1] == "file":
        return text.removeprefix("file://")
    if re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?", text) is None:
        raise ValueError("it is neither a folder nor s3://bucket/prefix")
    return text.rstrip("/")


def _folders(value: Any) -> Any:
    named = [part.strip() for part in str(value).split(os.pathsep) if part.strip()]
    return os.pathsep.join(str(Path(part).expanduser().absolute()) for part in named)


def _hosts(value: Any) -> Any:
    named = [part for part in re.split(r"[,\s]+", str(value).strip().lower()) if part]
    for part in named:
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9._-]*):([0-9]{1,5})", part)
        if found is None or not 0 < int(found[2]) < 65536:
            raise ValueError("it is not host:port, or several with commas between them")
    return ",".join(named)


def _matching(pattern: str, what: str) -> BeforeValidator:
    def check(value: Any) -> str:
        if re.fullmatch(pattern, str(value).strip()) is None:
            raise ValueError(f"it is not {what}")
        return str(value).strip()

    return BeforeValidator(check)


def _postgres_address(value: Any) -> Any:
    if re.match(r"postgres(ql)?(\+asyncpg)?://", str(value).strip()) is None:
        raise ValueError("only postgresql:// addresses work: SQLite loses requests under load")
    return str(value).strip()


def _cards(value: Any) -> str:
    named = [part.strip() for part in str(value).split(",") if part.strip()]
    try:
        return ",".join(card(name).name for name in named)
    except KeyError as unknown:
        raise ValueError(f"{unknown.args[0]} is not one of {', '.join(each.name for each in CARDS)}") from None


Text = Annotated[str, BeforeValidator(_stripped)]
Usd = Annotated[float, Field(gt=0, le=1_000_000)]
Secret = Annotated[SecretStr, Field(min_length=1), BeforeValidator(_stripped)]
Bucket = Annotated[str, _matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name")]
Region = Annotated[str, _matching(r"[a-z0-9-]{2,32}", "a region's name, such as us-west-1")]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
Folder = Annotated[Path, BeforeValidator(lambda value: Path(str(value).strip()).expanduser().absolute())]
Folders = Annotated[str, BeforeValidator(_folders)]
"""Absolute folders with the system's path separator between them."""
Hosts = Annotated[str, BeforeValidator(_hosts)]
"""host:port, several with commas between them."""
Place = Annotated[str, BeforeValidator(_place)]
"""An absolute folder, or s3://bucket/prefix without a slash at the end."""


def _setting(*names: str, meaning: str, default: Any = None) -> Any:
    return Field(default=default, validate_default=True, validation_alias=AliasChoices(*names), description=meaning)


class Row(NamedTuple):
    """One line of `Settings.table()`."""

    name: str
    """The variable; where several are read, the first wins and the rest stand in `also`."""
    also: tuple[str, ...]
    value: str
    """As it is in force; HIDDEN for a secret, empty where nothing is set."""
    meaning: str


class Settings(BaseSettings):
    """What is configured. Read it with `Settings.load()`, which turns bad values into SettingInvalid."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, env_file=".env",
        hide_input_in_errors=True,
    )

    home: Folder = _setting(
        "CALLSHEET_HOME", default=".callsheet",
        meaning="Folder of callsheet's own state: store, logs, the server's files. Default: ./.callsheet")
    store_place: Place | None = _setting(
        "CALLSHEET_STORE",
        meaning="Where finished work is kept for reuse: a folder or s3://bucket/prefix. Default: <home>/store")
    delivery_place: Place | None = _setting(
        "CALLSHEET_DELIVERY",
        meaning="Where films go: a folder or s3://bucket/prefix. Default: the bucket of R2_BUCKET, else of "
                "AWS_USER_IMAGES_BUCKET, else <home>/delivery")
    public_url: WebAddress | None = _setting(
        "CALLSHEET_PUBLIC_URL",
        meaning="Address under which the public reads the delivery; manifests get it plus the key")
    database_url: Annotated[Secret, BeforeValidator(_postgres_address)] | None = _setting(
        "CALLSHEET_DATABASE_URL",
        meaning="PostgreSQL of the Prefect server (postgresql://...). Default: a private one, started as needed")
    lora_folders: Folders | None = _setting(
        "CALLSHEET_LORAS",
        meaning="Folders where jobs find LoRAs by name, with : between several. Default: <home>/loras")
    allowed: Hosts | None = _setting(
        "CALLSHEET_ALLOWED_HOSTS",
        meaning="host:port, with commas between several, that downloads may open although the address is private "
                "or the port unusual. Default: none, so only ports 80 and 443 of the public internet")
    engine: Text | None = _setting(
        "CALLSHEET_ENGINE",
        meaning="Engine for posters and clips where an order says auto. Default: the best one that is able here; set "
                "it where the GPU work runs on other machines than the one that plans it")
    lipsync: Text | None = _setting(
        "CALLSHEET_LIPSYNC",
        meaning="Lip-sync of real pictures where an order says auto. Default: the best one that is able here; set it "
                "where the GPU work runs on other machines than the one that plans it")
    restore: Text | None = _setting(
        "CALLSHEET_RESTORE",
        meaning="What restores faces where an order says auto, such as gfpgan. Default: the best one that is able "
                "here; set it where the GPU work runs on other machines than the one that plans it")
    fallback: Fallback = _setting(
        "CALLSHEET_FALLBACK", default=Fallback.SMALLER,
        meaning="What follows when an engine fails and the order says nothing: never, smaller (a smaller model or "
                "picture) or placeholder (then also drawn ones, which are delivered). Default: smaller")
    models_folder: Folder | None = _setting(
        "CALLSHEET_MODELS", meaning="Folder of model weights. Default: models on the volume, else <home>/models")
    device: Annotated[str, _matching(r"auto|cpu|mps|cuda(:[0-9]+)?", "auto, cpu, mps or cuda")] = _setting(
        "CALLSHEET_DEVICE", default="auto",
        meaning="Where models run: auto (a GPU, and never the processor by itself), cuda, mps or cpu. Default: auto")
    comfyui_url: WebAddress | None = _setting(
        "CALLSHEET_COMFYUI_URL", meaning="A ComfyUI server, such as http://127.0.0.1:8188")
    comfyui_token: Secret | None = _setting(
        "CALLSHEET_COMFYUI_TOKEN", meaning="Bearer token of the proxy before the ComfyUI server")
    comfyui_loras: Folder | None = _setting(
        "CALLSHEET_COMFYUI_LORAS",
        meaning="The ComfyUI server's loras folder, where this machine can write it: LoRAs are then put there")
    comfyui_endpoint: Annotated[str, _matching(r"[A-Za-z0-9_-]{3,64}", "an endpoint's id")] | None = _setting(
        "CALLSHEET_COMFYUI_ENDPOINT", meaning="RunPod serverless endpoint of the stock worker-comfyui image")
    latentsync: Folder | None = _setting(
        "CALLSHEET_LATENTSYNC",
        meaning="Folder of a LatentSync checkout with its own environment in .venv, for lip-sync on a GPU")
    ffmpeg: Text | None = _setting(
        "CALLSHEET_FFMPEG", meaning="The ffmpeg program. Default: the one that is installed with callsheet")
    gpu: Gpu = _setting(
        "CALLSHEET_GPU", default=Gpu.AUTO,
        meaning="Where GPU work runs: here (in the run's own process), pool (the GPU work pool) or endpoint (a RunPod "
                "serverless endpoint). auto is the pool when RUNPOD_API_KEY is set, else here")
    runpod_api_key: Secret | None = _setting(
        "RUNPOD_API_KEY", meaning="RunPod account key: serverless endpoints and the GPU work pool")
    runpod_endpoint: Annotated[str, _matching(r"[A-Za-z0-9_-]{3,64}", "an endpoint's id")] | None = _setting(
        "RUNPOD_ENDPOINT_ID", meaning="Serverless endpoint that runs our image; `callsheet runpod up` creates one")
    runpod_api: WebAddress = _setting(
        "CALLSHEET_RUNPOD_API", default="https://api.runpod.io",
        meaning="RunPod's control plane: pods, endpoints, volumes, prices, bills. Default: https://api.runpod.io")
    runpod_jobs: WebAddress = _setting(
        "CALLSHEET_RUNPOD_JOBS", default="https://api.runpod.ai/v2",
        meaning="RunPod's jobs: /run, /status and the rest below it. Default: https://api.runpod.ai/v2")
    runpod_image: Text | None = _setting(
        "CALLSHEET_RUNPOD_IMAGE", meaning="Container image of pods and endpoint, built from infra/")
    runpod_gpus: Annotated[str, BeforeValidator(_cards)] = _setting(
        "CALLSHEET_RUNPOD_GPUS", default="A40,L40S",
        meaning="Cards that may be rented, with commas between them: A40, L40S, RTX A6000, A100, H100. Default: "
                "A40,L40S")
    runpod_volume: Annotated[str, _matching(r"[A-Za-z0-9_-]{3,64}", "a volume's id")] | None = _setting(
        "CALLSHEET_RUNPOD_VOLUME", meaning="Network volume with the models, mounted in every pod")
    volume: Folder | None = _setting(
        "CALLSHEET_VOLUME", meaning="Folder of models, personas and caches on a rented machine. Default: the network "
                                    "volume, /runpod-volume or /workspace, whichever is there")
    prefect_public_url: WebAddress | None = _setting(
        "CALLSHEET_PREFECT_PUBLIC_URL", meaning="Address under which pods reach Prefect's API, such as "
                                                "https://prefect.studio.example/api")
    budget_batch: Usd | None = _setting("CALLSHEET_BUDGET_BATCH", meaning="USD that one batch may cost in a day")
    budget_day: Usd | None = _setting("CALLSHEET_BUDGET_DAY", meaning="USD that a day (UTC) may cost, whoever asks")
    budget_order: Usd | None = _setting(
        "CALLSHEET_BUDGET_ORDER", meaning="USD that one order may cost, where it says no budget of its own")
    budget_soft: Annotated[float, Field(gt=0, le=1)] = _setting(
        "CALLSHEET_BUDGET_SOFT", default=0.8,
        meaning="Share of a budget after which no further film is begun; those begun are finished. Default: 0.8")
    aws_access_key_id: Text | None = _setting(
        "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", meaning="AWS access key id. Default: boto3's own search")
    aws_secret_access_key: Secret | None = _setting(
        "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_SECRET", meaning="The secret that belongs to the AWS access key id")
    aws_session_token: Secret | None = _setting(
        "AWS_SESSION_TOKEN", meaning="Belongs to temporary AWS credentials")
    aws_region: Region = _setting(
        "AWS_REGION", "AWS_DEFAULT_REGION", default="us-west-1", meaning="AWS region. Default: us-west-1")
    aws_user_images_bucket: Bucket | None = _setting(
        "AWS_USER_IMAGES_BUCKET", meaning="S3 bucket for poster frames and films")
    aws_endpoint_url: WebAddress | None = _setting(
        "AWS_ENDPOINT_URL", meaning="Another S3-compatible service than Amazon's")
    r2_endpoint: WebAddress | None = _setting(
        "R2_ENDPOINT", meaning="Cloudflare R2: https://<account>.r2.cloudflarestorage.com")
    r2_access_key: Text | None = _setting("R2_ACCESS_KEY", meaning="R2 access key id")
    r2_secret_key: Secret | None = _setting("R2_SECRET_KEY", meaning="R2 secret access key")
    r2_bucket: Bucket | None = _setting("R2_BUCKET", meaning="R2 bucket for videos, thumbnails and sound")
    elevenlabs_api_key: Secret | None = _setting(
        "ELEVENLABS_API_KEY", meaning="Speech by ElevenLabs")
    hf_token: Secret | None = _setting("HF_TOKEN", meaning="Hugging Face: gated model weights")
    openai_api_key: Secret | None = _setting("OPENAI_API_KEY", meaning="Pictures by OpenAI")
    openai_url: Annotated[str, BeforeValidator(_secret_address)] = _setting(
        "CALLSHEET_OPENAI_URL", default="https://api.openai.com",
        meaning="Where pictures by OpenAI come from: the service itself, or one that takes the same requests below "
                "/v1/images. Default: https://api.openai.com")

    @classmethod
    def load(cls, overrides: Mapping[str, str] | None = None) -> Self:
        """The settings in force. `overrides` (by variable name, such as a command line's options) go first.

        Raises SettingInvalid naming the variable; a secret's value is not repeated.
        """
        try:
            return cls(**{k: v for k, v in (overrides or {}).items() if v})  # type: ignore[arg-type]    # by variable name, not by field
        except ValidationError as error:
            raise _as_setting_invalid(error, overrides or {}) from None
        except UnicodeDecodeError:
            raise SettingInvalid(variable=".env", value="read", detail="it is not UTF-8 text") from None
        except OSError as error:
            raise SettingInvalid(variable=".env", value="read", detail=error.strerror or "not readable") from None

    @property
    def store(self) -> str:
        """Absolute folder or s3://bucket/prefix."""
        return self.store_place or str(self.home / "store")

    @property
    def delivery(self) -> str:
        """Absolute folder or s3://bucket/prefix.

        Whoever names a bucket expects the films there, so a bucket goes before the local folder; R2, the
        bucket for videos, before AWS_USER_IMAGES_BUCKET.
        """
        if self.delivery_place:
            return self.delivery_place
        bucket = self.r2_bucket or self.aws_user_images_bucket
        return f"s3://{bucket}" if bucket else str(self.home / "delivery")

    @property
    def loras(self) -> tuple[Path, ...]:
        """Folders where LoRAs are looked up by name, in order."""
        if self.lora_folders is None:
            return (self.home / "loras",)
        return tuple(Path(folder) for folder in self.lora_folders.split(os.pathsep))

    @property
    def models(self) -> Path:
        """Where model weights lie: as set, else on this machine's volume, else in the home."""
        if self.models_folder or self.volume:
            return self.models_folder or Path(self.volume or ".") / "models"
        mounted = next((place for place in VOLUMES if place.is_dir()), None)
        return (mounted or self.home) / "models"

    @property
    def gpu_place(self) -> Gpu:
        """Where GPU work runs, `auto` resolved: the pool when RunPod is configured, else here."""
        if self.gpu is not Gpu.AUTO:
            return self.gpu
        return Gpu.POOL if self.runpod_api_key else Gpu.HERE

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that may be rented, in the user's order."""
        return tuple(card(name) for name in self.runpod_gpus.split(","))

    @property
    def allowed_hosts(self) -> frozenset[tuple[str, int]]:
        """(host, port) that downloads may open beyond the public internet; a host is in lower case."""
        pairs = (each.rpartition(":") for each in (self.allowed or "").split(",") if each)
        return frozenset((host.strip("[]"), int(port)) for host, _, port in pairs)

    def secrets(self) -> frozenset[str]:
        """The text of every secret that is set, and the passwords inside addresses: what no log may show."""
        found = {v.get_secret_value() for v in self.__dict__.values() if isinstance(v, SecretStr)}
        for text in tuple(found):
            password = re.match(r"\w[\w+]*://[^:/?#@]*:([^/?#]+)@", text)
            if password:
                found.add(password[1])
        return frozenset(filter(None, found))

    def table(self) -> tuple[Row, ...]:
        """Every setting for people: name, other names, value in force with secrets hidden, meaning."""
        return tuple(
            Row(*_names(field), value=self._shown(name), meaning=field.description or "")
            for name, field in type(self).model_fields.items()
        )

    def environment(self) -> dict[str, str]:
        """What is set, secrets in clear, as variables for a child process. Never for a log."""
        values = {_names(field)[0]: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items() if value is not None
        }

    def _shown(self, name: str) -> str:
        in_force = {
            "store_place": self.store,
            "delivery_place": self.delivery,
            "models_folder": str(self.models),
            "lora_folders": os.pathsep.join(map(str, self.loras)),
        }
        value = in_force.get(name, getattr(self, name))
        if isinstance(value, SecretStr):
            return HIDDEN
        return "" if value is None else str(value)


def _as_setting_invalid(error: ValidationError, overrides: Mapping[str, str]) -> SettingInvalid:
    first = error.errors(include_url=False)[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    for field in Settings.model_fields.values():
        name, also = _names(field)
        if place in (name, *also):
            secret = "SecretStr" in repr(field.annotation)
            value = HIDDEN if secret else _value_of(place, overrides)
            return SettingInvalid(variable=place, value=value, detail=_reason(first["msg"]))
    raise error


def _value_of(variable: str, overrides: Mapping[str, str]) -> str:
    from dotenv import dotenv_values

    value = overrides.get(variable) or os.environ.get(variable) or dotenv_values(".env").get(variable)
    return repr(value)


def _reason(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _names(field: FieldInfo) -> tuple[str, tuple[str, ...]]:
    choices = field.validation_alias
    assert isinstance(choices, AliasChoices)
    names = tuple(str(choice) for choice in choices.choices)
    return names[0], names[1:]
