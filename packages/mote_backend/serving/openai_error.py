"""An answer that is an error, in OpenAI's form: a kind, a word for programs, and one sentence."""

from __future__ import annotations

from typing import Any

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_json(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """The body of an answer with this HTTP status."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
