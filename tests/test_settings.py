"""Settings: names, defaults, which of two names wins, and what a bad value says."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import SettingInvalid
from callsheet.models import Gpu
from callsheet.settings import HIDDEN, Settings

CANARY = "canary-4f1d9e"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, and no variable of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_any_setting_everything_lies_in_the_working_folder(nothing_set: Path) -> None:
    settings = Settings.load()
    assert settings.home == nothing_set / ".callsheet"
    assert settings.store == str(nothing_set / ".callsheet" / "store")
    assert settings.delivery == str(nothing_set / ".callsheet" / "delivery")
    assert settings.aws_region == "us-west-1"
    assert settings.gpu is Gpu.AUTO


def test_the_home_follows_the_working_folder(nothing_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing_set / "elsewhere").mkdir()
    monkeypatch.chdir(nothing_set / "elsewhere")
    assert Settings.load().home == nothing_set / "elsewhere" / ".callsheet"


@pytest.mark.parametrize(("ours", "boto3s", "field"), [
    ("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_DEFAULT_REGION", "AWS_REGION", "aws_region"),
])
def test_both_names_are_read_and_boto3s_wins(
    ours: str, boto3s: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ours, "one")
    assert getattr(Settings.load(), field) == "one"
    monkeypatch.setenv(boto3s, "two")
    assert getattr(Settings.load(), field) == "two"


def test_both_names_of_the_aws_secret_are_read_and_boto3s_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_SECRET", "one")
    assert Settings.load().secrets() == {"one"}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    assert Settings.load().secrets() == {"two"}


def test_a_dotenv_file_in_the_working_folder_is_read_and_the_environment_wins(
    nothing_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nothing_set / ".env").write_text("R2_BUCKET=from-file\nHF_TOKEN=abc\nUNRELATED=1\n")
    assert Settings.load().r2_bucket == "from-file"
    monkeypatch.setenv("R2_BUCKET", "from-environment")
    assert Settings.load().r2_bucket == "from-environment"


def test_a_dotenv_file_that_is_not_text_is_named(nothing_set: Path) -> None:
    (nothing_set / ".env").write_bytes(b"R2_BUCKET=\xff\xfe")
    with pytest.raises(SettingInvalid, match=r"\.env cannot be read"):
        Settings.load()


def test_an_override_goes_before_the_environment_and_an_empty_one_counts_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALLSHEET_STORE", "s3://environment/a")
    assert Settings.load({"CALLSHEET_STORE": "s3://option/b/"}).store == "s3://option/b"
    assert Settings.load({"CALLSHEET_STORE": ""}).store == "s3://environment/a"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "")
    assert Settings.load().runpod_api_key is None


def test_films_go_to_the_bucket_that_is_named_r2_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USER_IMAGES_BUCKET", "images")
    assert Settings.load().delivery == "s3://images"
    monkeypatch.setenv("R2_BUCKET", "films")
    assert Settings.load().delivery == "s3://films"
    monkeypatch.setenv("CALLSHEET_DELIVERY", "out")
    assert Settings.load().delivery == str(Path("out").absolute())


@pytest.mark.parametrize(("variable", "value"), [
    ("CALLSHEET_GPU", "mars"),
    ("CALLSHEET_STORE", "gs://bucket"),
    ("CALLSHEET_DELIVERY", "s3://"),
    ("CALLSHEET_PUBLIC_URL", "films.example.com"),
    ("AWS_REGION", "US West"),
    ("AWS_USER_IMAGES_BUCKET", "My Bucket"),
    ("R2_ENDPOINT", "account.r2.cloudflarestorage.com"),
    ("CALLSHEET_ALLOWED_HOSTS", "localhost"),
    ("CALLSHEET_ALLOWED_HOSTS", "localhost:70000"),
    ("CALLSHEET_ALLOWED_HOSTS", "http://localhost:80"),
])
def test_a_bad_value_is_told_with_its_variable_and_itself(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingInvalid) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"{variable} cannot be {value!r} ("), str(caught.value)


def test_loras_are_looked_up_at_home_unless_folders_are_named(
    nothing_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().loras == (nothing_set / ".callsheet" / "loras",)
    monkeypatch.setenv("CALLSHEET_LORAS", "a: /b :")
    assert Settings.load().loras == (nothing_set / "a", Path("/b"))


def test_no_host_is_allowed_unless_it_is_named_with_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().allowed_hosts == frozenset()
    monkeypatch.setenv("CALLSHEET_ALLOWED_HOSTS", "Studio.local:9000, [::1]:80")
    assert Settings.load().allowed_hosts == {("studio.local", 9000), ("::1", 80)}


def test_a_bad_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_DATABASE_URL", f"sqlite:///{CANARY}")
    with pytest.raises(SettingInvalid, match="CALLSHEET_DATABASE_URL cannot be") as caught:
        Settings.load()
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__, "the cause, which holds the value, would be printed"


def test_secrets_are_stripped_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNPOD_API_KEY", "AWS_SECRET_ACCESS_KEY", "R2_SECRET_KEY", "ELEVENLABS_API_KEY", "HF_TOKEN",
                 "OPENAI_API_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"{CANARY}{name}\n")
    monkeypatch.setenv("CALLSHEET_DATABASE_URL", f"postgresql://me:{CANARY}@host/db")
    settings = Settings.load()
    assert CANARY not in f"{settings!r}{settings}{settings.table()}{settings.model_dump()}{settings.model_dump_json()}"
    assert f"{CANARY}HF_TOKEN" in settings.secrets()
    assert CANARY in settings.secrets(), "the password inside the database's address is a secret of its own"
    assert sum(row.value == HIDDEN for row in settings.table()) == 8


def test_the_table_has_every_setting_with_a_meaning() -> None:
    table = Settings.load().table()
    assert len(table) == len(Settings.model_fields)
    assert [row.name for row in table if len(row.meaning) < 10] == []


def test_a_child_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_SECRET", CANARY)
    monkeypatch.setenv("CALLSHEET_GPU", "pool")
    monkeypatch.setenv("CALLSHEET_LORAS", "a:b")
    settings = Settings.load()
    monkeypatch.delenv("AWS_ACCESS_SECRET")
    monkeypatch.delenv("CALLSHEET_GPU")
    monkeypatch.delenv("CALLSHEET_LORAS")
    assert Settings.load(settings.environment()) == settings


def test_settings_are_frozen_and_hashable() -> None:
    settings = Settings.load()
    assert hash(settings) == hash(Settings.load())
    with pytest.raises(ValueError, match="frozen"):
        settings.gpu = Gpu.HERE
