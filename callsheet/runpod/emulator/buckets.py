"""Buckets of time for bills: hour, day, week (from Monday), month and year, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SIZES = ("hour", "day", "week", "month", "year")


def begin(at: float, size: str) -> float:
    """Start of the bucket that a moment is in."""
    moment = datetime.fromtimestamp(at, UTC).replace(minute=0, second=0, microsecond=0)
    if size != "hour":
        moment = moment.replace(hour=0)
    if size == "week":
        moment -= timedelta(days=moment.weekday())
    if size in ("month", "year"):
        moment = moment.replace(day=1)
    if size == "year":
        moment = moment.replace(month=1)
    return moment.timestamp()


def end(at: float, size: str) -> float:
    """End of the bucket that a moment is in: the start of the next."""
    longest = {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 31 * 86_400, "year": 366 * 86_400}
    return begin(begin(at, size) + longest[size], size)


def ending(at: float, size: str) -> float:
    """The first edge of a bucket that is not before a moment."""
    start = begin(at, size)
    return start if start == at else end(at, size)


def back(at: float, size: str, count: int) -> float:
    """Start of the `count`th bucket before an edge."""
    for _ in range(count):
        at = begin(at - 1, size)
    return at
