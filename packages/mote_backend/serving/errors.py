"""What went wrong in a model, for a client: a status, and one sentence in OpenAI's form."""

from __future__ import annotations

import logging
from typing import Any

from mote_backend.errors import (
    ContextLengthError,
    EngineClosedError,
    InputError,
    MaskNotAllowedError,
    MoTEError,
    UnsupportedModelError,
)
from mote_backend.serving.openai_error import error_json
from mote_backend.serving.served_models import UnknownModelError

_LOG = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[Exception], int, str | None], ...] = (
    (UnknownModelError, 404, "model_not_found"),
    (MaskNotAllowedError, 403, "mask_not_allowed"),
    (ContextLengthError, 400, ContextLengthError.code),
    (InputError, 400, None),
    (UnsupportedModelError, 400, None),
    (EngineClosedError, 503, None),
    (TimeoutError, 504, "timeout"),
)


def status_of(error: Exception) -> int:
    """The HTTP status that tells it."""
    return next((status for kind, status, _ in _STATUS if isinstance(error, kind)), 500)


def code_of(error: Exception) -> str | None:
    """The word that programs know it by, if there is one."""
    return next((code for kind, _, code in _STATUS if isinstance(error, kind)), None)


def told(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body for an exception. What is not ours to tell is logged, and only named to the client."""
    status, code = status_of(error), code_of(error)
    if status == 500:
        _LOG.error("A request failed.", exc_info=error)
        message = str(error) if isinstance(error, MoTEError) else "The server failed; its log says how."
        return status, error_json(status, message)
    return status, error_json(status, str(error), code)
