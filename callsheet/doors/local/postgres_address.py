"""A PostgreSQL's address: how SQLAlchemy wants it written, and whether what answers there will do.

Knows nothing of how a database is started; no error repeats an address's password.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from callsheet.errors import ServerError


def for_asyncpg(url: str) -> str:
    """A PostgreSQL address as SQLAlchemy's asyncpg dialect reads it: its scheme, and `ssl` for `sslmode`."""
    parts = urlsplit(url)
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return f"postgresql+asyncpg://{parts.netloc}{parts.path}" + (f"?{urlencode(query, safe='/')}" if query else "")


def check(url: str, log: str) -> None:
    """Raises ServerError unless the database answers and can have pg_trgm, which Prefect's search needs."""
    import asyncpg  # type: ignore[import-untyped]

    parts = urlsplit(url)
    dsn = url.replace(f"{parts.scheme}://", "postgresql://", 1)

    async def ask() -> Any:
        connection = await asyncpg.connect(dsn, timeout=20)
        try:
            return await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as apart:              # works inside a running event loop too
        try:
            found = apart.submit(asyncio.run, ask()).result()
        except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise ServerError(
                what="the database", detail=detail.replace(parts.password or "\0", "***"), log=log,
                remedy=f"check CALLSHEET_DATABASE_URL, or unset it for a private database; see {log}",
            ) from None
    if not found:
        raise ServerError(what="the database", detail="it has no pg_trgm extension", log=log,
                          remedy="install PostgreSQL's contrib package there, or unset CALLSHEET_DATABASE_URL")
