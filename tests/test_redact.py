"""A canary secret never appears in what any handler writes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from callsheet.redact import REDACTED, redact, redacted_logs

CANARY = 'k9/+="ca\\nary'


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own whose handler writes message, traceback and every extra field."""
    out = io.StringIO()

    class Everything(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return super().format(record) + repr(vars(record))

    handler = logging.StreamHandler(out)
    handler.setFormatter(Everything())
    log = logging.Logger("test")
    log.addHandler(handler)
    log.manager.loggerDict["canary-test"] = log
    yield log, out
    del log.manager.loggerDict["canary-test"]


def _leak(log: logging.Logger, how: str) -> None:
    if how == "message":
        log.warning(f"key {CANARY} refused")
    elif how == "argument":
        log.warning("key %s refused", CANARY)
    elif how == "argument in a container":
        log.warning("headers %s", {"authorization": [f"Bearer {CANARY}"]})
    elif how == "traceback":
        try:
            raise ValueError(f"bad key {CANARY}")
        except ValueError:
            log.exception("failed")
    elif how == "extra":
        log.warning("failed", extra={"request": {"headers": [("authorization", CANARY)]}, "key": CANARY})
    elif how == "stack":
        log.warning("failed %s", CANARY, stack_info=True)


HOWS = ["message", "argument", "argument in a container", "traceback", "extra", "stack"]


def _spellings() -> set[str]:
    return {CANARY, json.dumps(CANARY)[1:-1], repr(CANARY)[1:-1]}


@pytest.mark.parametrize("how", HOWS)
def test_the_canary_leaks_without_the_filter(how: str, logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, out = logger
    _leak(log, how)
    assert any(s in out.getvalue() for s in _spellings()), f"this way of leaking tests nothing: {how}"


@pytest.mark.parametrize("how", HOWS)
def test_the_canary_never_appears_in_a_log(how: str, logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, out = logger
    with redacted_logs({CANARY}):
        _leak(log, how)
    assert not any(s in out.getvalue() for s in _spellings()), out.getvalue()
    assert REDACTED in out.getvalue()


def test_a_handler_that_is_added_later_is_covered_too() -> None:
    out = io.StringIO()
    with redacted_logs({CANARY}):
        log = logging.Logger("later")
        log.addHandler(logging.StreamHandler(out))
        log.error("key %s", CANARY)
    assert out.getvalue() == f"key {REDACTED}\n"


def test_afterwards_logging_is_as_before() -> None:
    before = logging.getLogRecordFactory()
    with redacted_logs({CANARY}):
        assert logging.getLogRecordFactory() is not before
    assert logging.getLogRecordFactory() is before


@pytest.mark.parametrize("text", [
    CANARY, f"https://x/?k={'k9%2F%2B%3D%22ca%5Cnary'}&a=1", json.dumps({"key": CANARY}), repr([CANARY]),
])
def test_each_spelling_of_a_secret_is_replaced(text: str) -> None:
    assert "nary" not in redact(text, {CANARY})


def test_a_secret_inside_another_leaves_no_rest() -> None:
    assert redact("see abcdef", {"abc", "abcdef"}) == f"see {REDACTED}"


def test_an_empty_secret_changes_nothing() -> None:
    assert redact("plain", {""}) == "plain"


def test_a_wrong_format_string_does_not_let_the_secret_through() -> None:
    with redacted_logs({CANARY}):
        record = logging.getLogRecordFactory()("n", logging.INFO, "p", 1, "key %d %s", (CANARY,), None)
    assert CANARY not in record.getMessage()
    assert repr(CANARY)[1:-1] not in record.getMessage()
