"""Answers that are no: raised anywhere, sent by app.py in the shape of the plane."""

from __future__ import annotations

TITLES = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
          405: "Method Not Allowed", 409: "Conflict", 421: "Misdirected Request", 422: "Unprocessable Entity",
          429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway"}


class Refusal(Exception):
    """An HTTP status with its reason."""

    def __init__(self, status: int, detail: str, errors: tuple[str, ...] = (), retry_after_s: float | None = None):
        super().__init__(detail)
        self.status, self.detail, self.errors, self.retry_after_s = status, detail, errors, retry_after_s

    def problem(self) -> dict[str, object]:
        """The control plane's body."""
        body: dict[str, object] = {"title": TITLES[self.status], "status": self.status, "detail": self.detail}
        if self.errors:
            body["errors"] = list(self.errors)
        return body


class Cut(Exception):
    """No answer at all: the connection is closed."""


def missing(what: str, id_: str) -> Refusal:
    return Refusal(404, f"{what} {id_} was not found")
