"""What an answer of OpenAI's API other than 200 means, as the error that says what to do. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from callsheet.errors import (
    CallsheetError,
    EngineUnable,
    PromptRefused,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnpaid,
)

PROVIDER = "OpenAI"
_MODERATED = frozenset({"moderation_blocked", "content_policy_violation", "image_generation_user_error"})
_UNPAID = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_NO_MODEL = frozenset({"model_not_found", "invalid_model"})
_UNPAID_REMEDY = "add credit or raise the limit of the OpenAI account, then run again: finished work is kept"


def refusal(
    status: int, data: bytes, retry_after: str, model: str, what: str, now: Callable[[], datetime] | None = None
) -> CallsheetError:
    """The error for such an answer. `data` no longer holds the key."""
    words, message = _reason(data)
    said = f"{status}: {message or 'no message'}"
    if words & _MODERATED or "safety system" in message:
        return PromptRefused(engine="openai", what=what or "a picture", detail=said)
    if words & _UNPAID or status == 402:
        return ProviderUnpaid(provider=PROVIDER, detail=said, remedy=_UNPAID_REMEDY)
    if words & _NO_MODEL:
        return EngineUnable(engine="openai", what=what or "a picture", detail=said,
                            remedy=f"set the poster's model to one that the account may use instead of {model}")
    if status in (401, 403):
        return ProviderDenied(provider=PROVIDER, detail=said, remedy="check OPENAI_API_KEY and what it may do")
    if status == 429:
        wait_s = seconds(retry_after, now or (lambda: datetime.now(UTC)))
        return ProviderBusy(provider=PROVIDER, detail=said, retry_after_s=wait_s)
    if status in (408, 409, 425) or status >= 500 or status < 400:
        return ProviderError(provider=PROVIDER, detail=said, remedy="try again later")
    return ProviderRefused(provider=PROVIDER, detail=said,
                           remedy="check the picture's prompt and size, and the model's name")


def seconds(retry_after: str, now: Callable[[], datetime]) -> float | None:
    """What a Retry-After asks for, as a number or a date; None where it says nothing that can be read."""
    try:
        asked = float(retry_after)
    except ValueError:
        try:
            asked = (parsedate_to_datetime(retry_after) - now()).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, asked) if math.isfinite(asked) else None


def _reason(data: bytes) -> tuple[frozenset[str], str]:
    """The API's own words for what is wrong (code and type), and its message: one line of at most 300 characters."""
    try:
        error = json.loads(data)["error"]
        words = frozenset(str(error.get(name) or "") for name in ("code", "type"))
        message = str(error.get("message") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        words, message = frozenset(), data[:400].decode(errors="replace")
    return words, " ".join(message.split())[:300]
