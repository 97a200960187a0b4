"""Prefect's server or its database."""

from __future__ import annotations

from callsheet.errors.base import CallsheetError


class ServerError(CallsheetError):
    code = "server.failed"
    summary = "{what} did not start ({detail})"
    remedy = "read {log}; another server on the same folder or port is the usual cause"


class ServerDied(ServerError):
    code = "server.died"
    summary = "{what} ended unexpectedly ({detail})"
    remedy = "read {log}, then start again: finished work is kept"
