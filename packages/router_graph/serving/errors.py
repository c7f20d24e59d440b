"""What went wrong, for a client: a status, and one sentence in OpenAI's form."""

from __future__ import annotations

import logging
from typing import Any

from mote_backend.errors import InputError
from mote_backend.serving.openai_error import error_json
from router_graph.errors import BudgetError, QuestionError, RouterError, SettingsError, UnknownModelError
from router_graph.serving.run import TooSlowError

_LOG = logging.getLogger(__name__)


class BusyError(RouterError):
    """It cannot be answered now; ask again later."""


class ThreadBusyError(RouterError):
    """Another request asks in the same thread."""


_STATUS: tuple[tuple[type[Exception], int, str | None], ...] = (
    (UnknownModelError, 404, "model_not_found"),
    (BusyError, 429, "rate_limit_exceeded"),
    (ThreadBusyError, 409, "thread_busy"),
    (SettingsError, 400, None),
    (QuestionError, 400, None),
    (BudgetError, 400, None),
    (InputError, 400, None),
    (TooSlowError, 504, "timeout"),
)


def told(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for an exception. What is not ours to tell is logged, and only named to the client."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return status, error_json(status, str(error), code)
    _LOG.error("A request failed.", exc_info=error)
    message = str(error) if isinstance(error, RouterError) else "The server failed; its log says how."
    return 500, error_json(500, message)
