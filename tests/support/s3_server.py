"""A real S3 server for tests: SeaweedFS on loopback, in a temporary folder, with credentials.

`s3_server` is a session fixture; tests that use it are slow. Conditional writes, checksums, signatures and
expiry are the server's own, so what passes here is not what a fake was told to answer.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from callsheet.store.s3 import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc",
)
_READY_S = 60.0
BUCKET = "callsheet-tests"


@dataclass(frozen=True)
class S3Server:
    """A running server. `key` and `secret` are the only credentials it takes."""

    endpoint: str
    key: str
    secret: str
    pid: int

    @cached_property
    def shared(self) -> S3Client:
        """One client for all tests that change nothing about it: making one takes 0.2 s."""
        return self.client()

    def client(self, key: str = "", secret: str = "") -> S3Client:
        """A new client; whoever asked for it closes it."""
        return s3_client(self.endpoint, "us-east-1", key or self.key, SecretStr(secret or self.secret))

    def new_url(self) -> str:
        """s3:// URL of an empty place in the one bucket: this server reserves space for each bucket."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Start a server whose data lies in `folder`, wait until it stores files, and kill it afterwards."""
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    key, secret = "TESTKEY" + uuid.uuid4().hex[:12].upper(), "test-secret-" + uuid.uuid4().hex
    log = folder / "server.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            _command(folder, ports, key, secret), stdout=words, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            cwd=folder,
        )
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}", key, secret, process.pid)
    try:
        _wait_until_ready(server, process, log)
        yield server
        server.shared.close()
    finally:
        process.kill()                                # its graceful end takes 15 s, and nothing is to be kept
        process.wait()
        for name in ("master", "volume", "filer", "s3"):        # sockets that it leaves in /tmp
            Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.port.grpc']}.sock").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


def _command(folder: Path, ports: dict[str, int], key: str, secret: str) -> list[str]:
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    data = folder / "data"
    data.mkdir()
    return [
        _program(), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
        f"-s3.config={config}", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-s3.localSocket={folder / 's3.sock'}", f"-filer.localSocket={folder / 'filer.sock'}",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=40",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.fail("these tests need SeaweedFS: install the dev extra")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", int(server.endpoint.rpartition(":")[2])), timeout=1):
                pass
            client = server.client()
            if BUCKET not in (each["Name"] for each in client.list_buckets()["Buckets"]):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")
            client.close()
            return
        except Exception:                             # not yet: its parts start one after the other
            time.sleep(0.1)
    pytest.fail(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")
