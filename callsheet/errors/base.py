"""The root of the tree, and the two errors that belong to no branch."""

from __future__ import annotations

from typing import Any, ClassVar


class CallsheetError(Exception):
    """Base of the tree. Raise a subclass with the facts its templates name, as keyword arguments."""

    code: ClassVar[str] = "callsheet.error"
    summary: ClassVar[str] = "{detail}"
    remedy: ClassVar[str] = "see the log of this run"
    retryable: ClassVar[bool] = False

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        self.facts = facts

    @property
    def what(self) -> str:
        """What went wrong, and where."""
        return _fill(self.summary, self.facts)

    @property
    def fix(self) -> str:
        """What to do about it."""
        given = self.facts.get("remedy")             # words of the moment, not a template
        return str(given) if given else _fill(self.remedy, self.facts)

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"

    def __reduce__(self) -> Any:                      # keyword-only facts survive a process boundary
        return (_rebuild, (type(self), self.facts))


def as_ours(error: BaseException) -> CallsheetError:
    """The error as one of the tree: itself, or, when it is a mistake of ours, its type and words on one line."""
    return error if isinstance(error, CallsheetError) else CallsheetError(detail=f"{type(error).__name__}: {error}")


def _rebuild(kind: type[CallsheetError], facts: dict[str, Any]) -> CallsheetError:
    return kind(**facts)


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def _fill(template: str, facts: dict[str, Any]) -> str:
    return template.format_map(_Facts(facts))


class Cancelled(CallsheetError):
    code = "cancelled"
    summary = "{what} was cancelled"
    remedy = "run again to go on: finished work is kept"


class Fenced(CallsheetError):
    code = "claim.fenced"
    summary = "{key} was taken over by another run"
    remedy = "nothing to do: the other run's result is used"
    retryable = True
