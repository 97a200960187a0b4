"""`callsheet doctor`: each check with what is there and what is missing, and how the checks are run."""

from __future__ import annotations

import io
import json
import shutil
import stat
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console
from typer.testing import CliRunner

from callsheet.doors import checks_machine as machine
from callsheet.doors import checks_services as services
from callsheet.doors import doctor
from callsheet.doors.checks_manifest import manifest
from callsheet.doors.cli import app
from callsheet.doors.finding import ADDRESSES, Check, Finding, Level, Site
from callsheet.errors import StoreError
from callsheet.media import ffmpeg
from callsheet.project import root
from callsheet.settings import Settings
from callsheet.store.local import LocalStore
from tests.doors.loopback import Answer, Loopback, answering
from tests.support.s3_server import S3Server

CANARY = "canary-4f1d9e"
EXAMPLES = root() / "manifests" / "examples"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, no variable of ours in the environment, and no AWS of this machine's owner."""
    monkeypatch.chdir(tmp_path)
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return tmp_path


def site(manifest: Path | None = None, environment: dict[str, str] | None = None, **settings: str) -> Site:
    return Site(Settings.load(settings), manifest, environment or {})


def asking(server: Loopback, **settings: str) -> Site:
    """A site for which every service of the world is this one."""
    return Site(Settings.load(settings), None, {}, dict.fromkeys(ADDRESSES, server.url))


def looked(check: Check, at: Site) -> Finding:
    (finding,) = doctor.examine(at, [check])
    return finding


# ---- how checks are run

def test_a_finding_that_is_not_ok_must_have_a_remedy() -> None:
    for level in (Level.WARNING, Level.PROBLEM):
        with pytest.raises(ValueError, match="without a remedy"):
            Finding("any", level, "something")


def test_a_check_that_raises_is_a_problem_with_a_remedy_and_the_others_go_on() -> None:
    def ours(site: Site) -> Finding:
        raise StoreError(url="s3://films", detail="busy")

    def another(site: Site) -> Finding:
        raise ZeroDivisionError("by nothing")

    findings = doctor.examine(site(), [Check("a", ours), Check("b", another), Check("c", machine.python)])
    assert [(f.name, f.level, f.found) for f in findings[:2]] == [
        ("a", Level.PROBLEM, "store s3://films: busy"),
        ("b", Level.PROBLEM, "ZeroDivisionError: by nothing"),
    ]
    assert all(finding.remedy for finding in findings[:2])
    assert findings[2].level is Level.OK


def test_a_check_that_does_not_end_is_told_with_its_level_and_keeps_nobody() -> None:
    end = threading.Event()

    def endless(site: Site) -> Finding:
        end.wait()
        return Finding("late", Level.OK, "too late")

    try:
        late = looked(Check("late", endless, limit_s=0.05, late=Level.WARNING), site())
        assert (late.level, late.found) == (Level.WARNING, "no answer within 0.05 s")
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "doctor: late")
    finally:
        end.set()


def test_checks_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3)

    def meets(site: Site) -> Finding:
        meeting.wait(timeout=20)
        return Finding("met", Level.OK, "met")

    findings = doctor.examine(site(), [Check("met", meets)] * 3)
    assert [finding.level for finding in findings] == [Level.OK] * 3


def test_a_fresh_machine_has_no_problem_and_nobody_outside_is_asked() -> None:
    with answering(Answer(200)) as server:
        findings = doctor.examine(asking(server))
    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert server.seen == []
    assert len(findings) == len(doctor.CHECKS)


def test_whatever_is_wrong_has_a_remedy_and_no_secret_is_printed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    settings = {
        "R2_BUCKET": "films", "R2_SECRET_KEY": f"{CANARY}1", "AWS_SECRET_ACCESS_KEY": f"{CANARY}2",
        "RUNPOD_API_KEY": f"{CANARY}3", "ELEVENLABS_API_KEY": f"{CANARY}4 with spaces", "HF_TOKEN": f"{CANARY}5",
        "OPENAI_API_KEY": f"{CANARY}6", "CALLSHEET_DATABASE_URL": f"postgresql://me:{CANARY}7@127.0.0.1:9/db",
        "CALLSHEET_STORE": str(home / "file" / "store"), "CALLSHEET_DELIVERY": str(home / "file" / "delivery"),
    }
    (home / "file").write_text("in the way")

    def careless(site: Site) -> Finding:
        raise RuntimeError(f"header x: {site.settings.runpod_api_key.get_secret_value()}")  # type: ignore[union-attr]

    with answering(Answer(401, echo=True)) as server:
        at = asking(server, **settings)
        at = Site(at.settings, home / "none.csv", {"PREFECT_API_URL": f"http://me:{CANARY}8@127.0.0.1:9/api"},
                  at.addresses)
        findings = doctor.examine(at, [*doctor.CHECKS, doctor.OF_A_MANIFEST, Check("careless", careless)])
    bad = {finding.name: finding for finding in findings if finding.level is not Level.OK}
    assert bad.keys() >= {"speech", "buckets", "store", "delivery", "runpod", "network", "manifest", "careless"}
    assert [finding.name for finding in bad.values() if not finding.remedy] == []
    assert any(CANARY in seen.headers.get("authorization", "") for seen in server.seen), "nothing could leak"
    out = Console(file=io.StringIO(), width=100)
    doctor.show(out, findings)
    doctor.show_settings(out, at.settings.table())
    assert isinstance(out.file, io.StringIO)
    assert CANARY not in out.file.getvalue() + json.dumps(doctor.as_json(findings)) + repr(findings)


# ---- this machine

def test_the_versions_of_python_are_those_of_the_project() -> None:
    wanted = tomllib.loads((root() / "pyproject.toml").read_text())["project"]["requires-python"]
    least, below = (".".join(map(str, version)) for version in machine.PYTHONS)
    assert wanted == f">={least},<{below}"


@pytest.fixture
def other_ffmpeg(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A program that says it is ffmpeg and can do nothing but libx264."""
    program = home / "ffmpeg"
    program.write_text("#!/bin/sh\ncase $* in *-version) echo ffmpeg version 1.0 ;; "
                       "*-encoders) echo ' V....D libx264 H.264' ;; esac\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(program))
    for cached in (ffmpeg.resolve_ffmpeg, ffmpeg.ffmpeg_version):
        cached.cache_clear()
    yield program
    for cached in (ffmpeg.resolve_ffmpeg, ffmpeg.ffmpeg_version):
        cached.cache_clear()


def test_an_ffmpeg_without_what_is_needed_is_a_problem_that_names_it(other_ffmpeg: Path) -> None:
    finding = machine.ffmpeg(site())
    assert finding.level is Level.PROBLEM
    assert finding.found == f"1.0 at {other_ffmpeg} lacks ass, xfade"


def test_a_dotenv_file_that_names_an_ffmpeg_is_told_that_it_is_not_read(home: Path) -> None:
    (home / ".env").write_text("CALLSHEET_FFMPEG=/opt/ffmpeg\n")
    finding = machine.ffmpeg(site())
    assert finding.level is Level.WARNING
    assert "/opt/ffmpeg" in finding.found


def _nvidia_smi(home: Path, script: str) -> Finding:
    program = home / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return machine.gpu_memory(site(environment={"PATH": str(home)}))


def test_free_gpu_memory_is_told_for_each_gpu(home: Path) -> None:
    finding = _nvidia_smi(home, "echo 'NVIDIA L40S, 40960, 46080'; echo 'NVIDIA GB10, [N/A], [N/A]'")
    assert finding == Finding("gpu memory", Level.OK,
                              "NVIDIA L40S: 40.0 of 45.0 GiB free; NVIDIA GB10: memory not told")


def test_a_driver_that_fails_is_a_warning_with_its_words(home: Path) -> None:
    finding = _nvidia_smi(home, "echo 'no devices were found' >&2; exit 6")
    assert (finding.level, finding.found) == (Level.WARNING, "nvidia-smi failed: no devices were found")


@pytest.mark.parametrize(("gib", "level"), [(0.5, Level.PROBLEM), (5, Level.WARNING), (50, Level.OK)])
def test_little_free_disk_is_a_warning_and_none_a_problem(
    gib: float, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(int(gib * 2**30)))
    finding = machine.disk(site())
    assert finding.level is level
    assert f"{gib:.1f} GiB free for the home" in finding.found


def test_a_bad_elevenlabs_key_is_a_problem_although_espeak_speaks() -> None:
    finding = looked(Check("speech", machine.speech), site(ELEVENLABS_API_KEY="two words"))
    assert finding.level is Level.PROBLEM
    assert "espeak: able" in finding.found


def test_each_engine_for_pictures_is_able_or_says_why_not_and_what_to_do(home: Path) -> None:
    finding = looked(Check("pictures", machine.pictures), site(CALLSHEET_MODELS=str(home / "models")))
    assert finding.level is Level.OK, finding
    assert "diffusers: " in finding.found and finding.found.endswith("auto takes placeholder"), finding.found
    assert "callsheet[models]" in finding.remedy or "callsheet models download" in finding.remedy, finding.remedy


def test_an_engine_that_is_asked_for_and_is_not_able_is_a_problem(home: Path) -> None:
    models = str(home / "models")
    finding = looked(Check("pictures", machine.pictures), site(CALLSHEET_MODELS=models, CALLSHEET_ENGINE="diffusers"))
    assert finding.level is Level.PROBLEM and finding.remedy, finding


# ---- store and delivery

def test_looking_at_a_store_twice_leaves_one_file_an_hour(home: Path) -> None:
    levels = [looked(Check("store", services.store), site()).level for _ in range(2)]
    assert levels == [Level.OK, Level.OK]
    assert len(list((home / ".callsheet" / "store" / "doctor" / "probe").iterdir())) in (1, 2)      # an hour may end


class Overwriting(LocalStore):
    """As a server that ignores If-None-Match."""

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        path = self.root / key
        path.unlink(missing_ok=True)
        return super().put_if_absent(key, source)


def test_a_store_that_overwrites_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tasks.backends

    monkeypatch.setattr("tasks.backends.open_store", lambda place, s3: Overwriting(Path(place)))
    tasks.backends.backends.cache_clear()
    try:
        finding = looked(Check("store", services.store), site(CALLSHEET_STORE=str(home / "overwriting")))
    finally:
        tasks.backends.backends.cache_clear()
    assert finding.level is Level.PROBLEM
    assert "overwrites" in finding.found


@pytest.mark.parametrize(("name", "look", "variable"), [
    ("store", services.store, "CALLSHEET_STORE"), ("delivery", services.delivery, "CALLSHEET_DELIVERY"),
])
def test_a_place_that_cannot_be_written_to_is_a_problem(name: str, look: Any, variable: str, home: Path) -> None:
    (home / "file").write_text("in the way")
    finding = looked(Check(name, look), site(**{variable: str(home / "file" / "below")}))
    assert finding.level is Level.PROBLEM
    assert finding.remedy


def test_a_delivery_is_written_to_and_its_public_address_told(home: Path) -> None:
    finding = looked(Check("delivery", services.delivery), site(CALLSHEET_PUBLIC_URL="https://films.example.com"))
    assert finding.level is Level.OK
    assert "https://films.example.com/doctor/probe.txt" in finding.found
    assert (home / ".callsheet" / "delivery" / "doctor" / "probe.txt").is_file()


@pytest.mark.slow
def test_a_bucket_is_looked_at_as_a_folder_is(s3_server: S3Server) -> None:
    keys = {"AWS_ACCESS_KEY_ID": s3_server.key, "AWS_ENDPOINT_URL": s3_server.endpoint, "AWS_REGION": "us-east-1",
            "CALLSHEET_STORE": s3_server.new_url(), "CALLSHEET_DELIVERY": s3_server.new_url()}
    checks = [Check("store", services.store), Check("delivery", services.delivery), Check("buckets", services.buckets),
              Check("network", services.network)]
    good = doctor.examine(site(AWS_SECRET_ACCESS_KEY=s3_server.secret, **keys), checks)
    assert [(f.name, f.level) for f in good] == [(check.name, Level.OK) for check in checks], good
    bad = doctor.examine(site(AWS_SECRET_ACCESS_KEY=CANARY, **keys), checks[:2])
    assert ["refused the credentials" in finding.found for finding in bad] == [True, True], bad


# ---- buckets

@pytest.mark.parametrize(("settings", "level", "found"), [
    ({}, Level.OK, "none is named"),
    ({"R2_BUCKET": "films"}, Level.PROBLEM,
     "R2 endpoint is required; R2 access key is required; R2 secret key is required"),
    ({"R2_BUCKET": "films", "R2_ENDPOINT": "https://r2", "R2_ACCESS_KEY": "a", "R2_SECRET_KEY": CANARY}, Level.OK,
     "credentials are there for films"),
    ({"AWS_USER_IMAGES_BUCKET": "images"}, Level.PROBLEM, "S3 access key with its secret is required"),
    ({"AWS_USER_IMAGES_BUCKET": "images", "AWS_ACCESS_KEY_ID": "a"}, Level.PROBLEM,
     "S3 access key with its secret is required"),
    ({"CALLSHEET_STORE": "s3://store/a"}, Level.PROBLEM, "S3 access key with its secret is required"),
    ({"CALLSHEET_STORE": "s3://store/a", "AWS_ACCESS_KEY": "a", "AWS_ACCESS_SECRET": CANARY}, Level.OK,
     "credentials are there for store"),
    ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": CANARY}, Level.WARNING, "S3 bucket is required"),
])
def test_a_bucket_needs_credentials_and_credentials_a_bucket(
    settings: dict[str, str], level: Level, found: str
) -> None:
    finding = looked(Check("buckets", services.buckets), site(**settings))
    assert (finding.level, finding.found.startswith(found)) == (level, True), finding


def test_a_role_of_this_machine_counts_as_credentials(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "profile").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "profile"))
    assert services.buckets(site(AWS_USER_IMAGES_BUCKET="images")).level is Level.OK


# ---- RunPod and the network

@pytest.mark.parametrize(("status", "level"), [
    (200, Level.OK), (401, Level.PROBLEM), (402, Level.PROBLEM), (403, Level.PROBLEM), (429, Level.WARNING),
    (500, Level.WARNING),
])
def test_the_runpod_key_is_tried_once(status: int, level: Level) -> None:
    with answering(Answer(status)) as server:
        finding = services.runpod(asking(server, RUNPOD_API_KEY=CANARY))
    assert finding.level is level, finding
    assert [(seen.method, seen.path, seen.headers["authorization"]) for seen in server.seen] == [
        ("GET", "/v2/pods", f"Bearer {CANARY}")]


def test_a_runpod_that_does_not_answer_is_a_warning() -> None:
    with answering(Answer(200)) as server:
        at = asking(server, RUNPOD_API_KEY="key")
    assert services.runpod(at).level is Level.WARNING


def test_without_a_runpod_key_gpu_work_runs_here_and_that_is_no_fault() -> None:
    finding = services.runpod(site())
    assert finding.level is Level.OK
    assert finding.found.startswith("RunPod API key is required")
    assert services.runpod(site(CALLSHEET_GPU="pool")).level is Level.WARNING


@pytest.mark.parametrize("variable", ["RUNPOD_API_KEY", "ELEVENLABS_API_KEY", "HF_TOKEN", "OPENAI_API_KEY"])
def test_a_service_is_asked_when_it_is_configured_whatever_it_says(variable: str) -> None:
    with answering(Answer(404)) as server:
        finding = services.network(asking(server, **{variable: "key", "CALLSHEET_OPENAI_URL": server.url}))
    assert finding.level is Level.OK, finding
    assert [seen.method for seen in server.seen] == ["HEAD"]
    assert "authorization" not in server.seen[0].headers


def test_the_network_check_names_who_is_silent() -> None:
    with answering(Answer(200)) as gone:
        pass
    with answering(Answer(403)) as server:
        at = Site(Settings.load({"CALLSHEET_DELIVERY": "s3://films", "AWS_ENDPOINT_URL": gone.url,
                                 "CALLSHEET_DATABASE_URL": server.url.replace("http", "postgresql")}),
                  None, {"PREFECT_API_URL": f"{server.url}/api"})
        finding = services.network(at)
    assert finding.level is Level.WARNING
    assert finding.found == f"no answer from S3 at {gone.url.removeprefix('http://')} (ConnectError)"


# ---- a manifest

def test_the_example_manifest_is_ready_and_its_loras_are_known() -> None:
    finding = manifest(site(EXAMPLES / "actors.csv"))
    assert finding == Finding(
        "manifest", Level.OK, f"3 ready and 0 waiting in {EXAMPLES / 'actors.csv'}; LoRAs: 3 flux")


def test_every_mistake_of_a_manifest_up_to_five_is_told(home: Path) -> None:
    rows = "".join(f"a{n},nobody.safetensors,{7 + n}\n" for n in range(7))
    (home / "actors.csv").write_text(f"id,lora,lora_strength\n{rows}")
    finding = manifest(site(home / "actors.csv"))
    lines = finding.found.splitlines()
    assert finding.level is Level.PROBLEM
    assert len(lines) == 7, finding.found
    assert lines[1].startswith(f"{home / 'actors.csv'}: row 2")
    assert lines[-1].startswith("and ")


@pytest.fixture
def copied(home: Path) -> Path:
    """The example manifest with its files."""
    shutil.copytree(EXAMPLES, home / "examples", ignore=shutil.ignore_patterns("*.py"))
    return home / "examples"


def test_a_lora_that_is_not_whole_is_a_problem_that_names_it(copied: Path) -> None:
    lora = copied / "loras" / "0001_european_20_female.safetensors"
    lora.write_bytes(lora.read_bytes()[:-10])
    finding = manifest(site(copied / "actors.csv"))
    assert finding.level is Level.PROBLEM
    assert "LoRAs: 2 flux, 1 wrong" in finding.found
    assert "0001_european_20_female.safetensors is not a whole safetensors file" in finding.found


def test_a_lora_of_another_family_than_its_row_says_is_a_problem(copied: Path) -> None:
    table = (copied / "actors.csv").read_text().replace("0.8,flux", "0.8,sdxl")
    (copied / "actors.csv").write_text(table)
    finding = manifest(site(copied / "actors.csv"))
    assert "is a flux LoRA, but sdxl was asked for" in finding.found
    assert "sdxl" in finding.remedy


def test_a_row_that_waits_is_counted_and_its_lora_is_not_looked_at(copied: Path) -> None:
    table = (copied / "actors.csv").read_text().replace("202,trained", "202,training")
    (copied / "actors.csv").write_text(table)
    (copied / "loras" / "0002_european_35_female.safetensors").unlink()
    finding = manifest(site(copied / "actors.csv"))
    assert finding.level is Level.OK, finding
    assert finding.found.startswith("2 ready and 1 waiting")


# ---- the command

def test_the_command_prints_json_and_fails_only_on_a_problem(home: Path) -> None:
    good = CliRunner().invoke(app, ["doctor", str(EXAMPLES / "actors.csv"), "--json"])
    assert good.exit_code == 0, good.output
    lines = json.loads(good.stdout)
    assert [line["name"] for line in lines] == [*(check.name for check in doctor.CHECKS), "manifest"]
    assert {tuple(line) for line in lines} == {("name", "level", "found", "remedy")}
    bad = CliRunner().invoke(app, ["doctor", str(home / "none.csv"), "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)[-1]["level"] == "problem"


def test_a_setting_that_cannot_be_read_is_a_line_and_every_setting_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_GPU", "mars")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "CALLSHEET_GPU cannot be 'mars'" in " ".join(done.stdout.split())
    assert [row.name for row in Settings.model_construct(CALLSHEET_HOME=Path()).table()
            if row.name not in done.stdout] == []


def test_verbose_lists_every_setting_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2_SECRET_KEY", CANARY)
    done = CliRunner().invoke(app, ["doctor", "--verbose"])
    assert CANARY not in done.output
    assert "(set, hidden)" in done.output
