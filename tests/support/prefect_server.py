"""A Prefect server for flows that tests run in their own process.

`prefect_here` is a session fixture: the first test that asks for it waits for the server, all share it. What a
flow reads and writes is each test's own matter: it sets CALLSHEET_STORE and CALLSHEET_DELIVERY.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callsheet.doors.local.postgres import remove_database
from callsheet.doors.served import served
from callsheet.settings import Settings


def unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's reaches the tests: no key, bucket, database or GPU pool."""
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def prefect_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This process talks to a server of its own, as during `callsheet run`; gives its UI's address."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(home)                       # a .env of the developer's is not here
        unconfigured(monkeypatch)
        settings = Settings.load({"CALLSHEET_HOME": str(home)})
    with served(settings) as ui:
        yield ui
    remove_database(home)
