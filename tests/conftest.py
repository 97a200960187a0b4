"""Fixtures that suites of several rooms share, and which slow tests belong together when two processes run them."""

from __future__ import annotations

import pytest

from tests.support.prefect_server import prefect_here as prefect_here
from tests.support.s3_server import s3_server as s3_server

_SHARED = {"prefect_here": "prefect", "shipped": "prefect", "s3_server": "s3"}
"""Fixtures that cost so much that one process should have all who use them, and the name of that group."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `--dist loadgroup`: tests of one expensive fixture, else of one file, stay in one process."""
    for item in items:
        needed = getattr(item, "fixturenames", ())
        group = next((group for name, group in _SHARED.items() if name in needed), item.nodeid.partition("::")[0])
        item.add_marker(pytest.mark.xdist_group(group))
