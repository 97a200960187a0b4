"""Keeps secrets out of logs: their values are replaced before any handler sees a record.

Covers log records (message, arguments, tracebacks, extra fields) and plain text. Knows a secret only by its
exact text, as it stands, percent-encoded or JSON-escaped; what encodes it otherwise is not recognised.
"""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

REDACTED = "[secret]"

_PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def redact(text: str, secrets: Collection[str]) -> str:
    """`text` with every secret, in each of its spellings, replaced by REDACTED."""
    for spelling in _spellings(secrets):
        text = text.replace(spelling, REDACTED)
    return text


def _spellings(secrets: Collection[str]) -> list[str]:
    forms = {form for s in secrets if s for form in (s, quote(s, safe=""), json.dumps(s)[1:-1], repr(s)[1:-1])}
    return sorted(forms, key=len, reverse=True)       # the longest first: one secret may contain another


class SecretFilter(logging.Filter):
    """Rewrites a record so that it holds no secret; lets every record through.

    Message and arguments are merged, a traceback becomes text, and extra fields are cleaned, however nested.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__()
        self._secrets = frozenset(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:                             # a wrong format string: logging reports it by itself
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message, self._secrets), None
        if record.exc_info and record.exc_info[0]:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_info = None                    # handlers that draw their own traceback would show it all
        for name in ("exc_text", "stack_info"):
            if text := getattr(record, name):
                setattr(record, name, redact(text, self._secrets))
        for name in set(vars(record)) - _PLAIN_FIELDS:
            setattr(record, name, self._clean(getattr(record, name)))
        return True

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return redact(value, self._secrets)
        if isinstance(value, dict):
            return {self._clean(k): self._clean(v) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._clean(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        shown = str(value)
        return redact(shown, self._secrets) if redact(shown, self._secrets) != shown else value


@contextlib.contextmanager
def redacted_logs(secrets: Collection[str]) -> Iterator[None]:
    """While it is open, no log record of this process holds a secret, whatever logger or handler it meets.

    A record is cleaned when it is made, so handlers that are added later are covered too; extra fields are
    cleaned by the handlers that exist now.
    """
    cleaner, make = SecretFilter(secrets), logging.getLogRecordFactory()

    def make_clean(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        cleaner.filter(record)
        return record

    handlers = _handlers()
    logging.setLogRecordFactory(make_clean)
    for handler in handlers:
        handler.addFilter(cleaner)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        for handler in handlers:
            handler.removeFilter(cleaner)


def _handlers() -> list[logging.Handler]:
    loggers = [logging.root, *(x for x in logging.root.manager.loggerDict.values() if isinstance(x, logging.Logger))]
    return list({id(h): h for logger in loggers for h in logger.handlers}.values())
