"""Exceptions of other people's clients, as one of our few kinds of failure, each with a sentence.

Clients wrap each other (LiteLLM around openai around httpx around aiohttp), and the outermost often says "500" where
nobody answered at all. So the whole chain of causes is read; only names and attributes are looked at, so that no client
need be imported.
"""

from __future__ import annotations

import datetime
import email.utils
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping

from router_graph.errors import (
    AuthenticationError,
    ContentRefusedError,
    ContextTooLongError,
    MalformedReplyError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelServerError,
    ModelTimeoutError,
    RateLimitedError,
    RequestRejectedError,
)

_NEVER_SENT = frozenset(
    {
        "ConnectionRefusedError",
        "gaierror",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ConnectTimeout",
        "ConnectionTimeoutError",
        "PoolTimeout",
        "UnsupportedProtocol",
        "LocalProtocolError",
        "InvalidURL",
    }
)
"""The connection was never made, so that nobody can have worked for us."""
_BROKEN = frozenset({"ConnectionError", "ClientError", "TransportError", "IncompleteRead", "APIConnectionError"})
_UNREADABLE = frozenset({"JSONDecodeError", "ValidationError", "APIResponseValidationError"})
_UNEXPECTED = _UNREADABLE | {"KeyError", "TypeError", "AttributeError", "IndexError"}
"""What a client trips over in a reply of another shape. Some then claim a status of 400 or 422 that nobody sent."""
_TIMED_OUT = frozenset({"TimeoutError", "Timeout", "APITimeoutError", "TimeoutException"})
_CONTEXT = re.compile(r"context.{0,20}(length|window|limit)|too many tokens|maximum.{0,20}tokens", re.IGNORECASE)
_BAD_KEY = re.compile(r"api[ _-]?key.{0,20}(not valid|invalid|incorrect)|invalid.{0,10}api[ _-]?key", re.IGNORECASE)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_LOOKS_SECRET = re.compile(r"\b((sk|pk|rk|key)[-_]|Bearer\s+|AIza)[A-Za-z0-9*._\-]{8,}")
_WRAPPING = re.compile(r"^((litellm\.)?\w+(Error: |Exception - |Exception \w+Error - |Error - ))+")
_MESSAGE = re.compile(r"""["']message["']: ?(?:"((?:[^"\\]|\\.)+)"|'((?:[^'\\]|\\.)+)')""")
_ADVICE = re.compile(
    r"[. ]*(Handle with `|Original exception: |File an issue if |For further information visit |Raw keys: ).*"
)
"""What clients add for those who write them."""
_PAGE, _TAG = re.compile(r"<(!doctype|html)\b", re.IGNORECASE), re.compile(r"<[^>]*>")
_LONGEST = 200
_LONGEST_WAIT_S = 3600.0


def failure(
    error: BaseException,
    name: str,
    *,
    model: str = "",
    key_variable: str | None = None,
    sent: bool = True,
    before: BaseException | None = None,
) -> ModelError:
    """What went wrong with the model called `name`, as the transport's `model` with the key of `key_variable`.

    `sent` is False where the client gave up before it asked anybody. `before` is the exception that was being handled
    when the call began, as in a caller's `except`: Python counts it among the causes.
    """
    if isinstance(error, ModelError):
        return error
    causes = list(_causes(error, before))
    names = _names(causes)
    status, headers = _answer(causes)
    said = said_by(error, key_variable)
    if status is None and "ImportError" in names:
        return ModelNotFoundError(f"{name!r} needs a package that is not installed: {_reason(causes, key_variable)}")
    if status is None and names & _NEVER_SENT:
        return ModelConnectionError(f"{name!r} cannot be reached ({_reason(causes, key_variable)}).")
    if status is None and names & _TIMED_OUT:
        return ModelTimeoutError(f"{name!r} did not answer in time.", billed=sent)
    if status is None and (not sent or "UnicodeEncodeError" in names):
        return RequestRejectedError(f"{name!r} was not asked: {said}")
    if status is None:
        claimed = getattr(error, "status_code", None)
        tripped = claimed == 422 or (claimed == 400 and names & _UNEXPECTED)
        status = (
            claimed if isinstance(claimed, int) and 400 <= claimed < 500 and claimed != 408 and not tripped else None
        )
    if status is None or status < 400:
        return _broken(name, causes, key_variable)
    if "ContextWindowExceededError" in names or (status in (400, 413) and _CONTEXT.search(_code(causes) + said)):
        return ContextTooLongError(f"The messages are longer than the context of {name!r}: {said}")
    if "ContentPolicyViolationError" in names or "content_filter" in _code(causes):
        return ContentRefusedError(f"The content filter of {name!r} refused: {said}")
    if "mask_not_allowed" in _code(causes):  # of mote_backend, whose 403 is about no key
        return RequestRejectedError(f"{name!r} rejected the request (HTTP {status}): {said}")
    if status in (401, 403) or (status == 400 and _BAD_KEY.search(said)):
        where = f"the environment variable {key_variable}" if key_variable else "the key of its provider"
        return AuthenticationError(f"{name!r} did not accept the key (HTTP {status}); check {where}.")
    if status == 404:
        return ModelNotFoundError(f"The provider of {name!r} has no model {model or name!r} at this address: {said}")
    if status == 408:
        return ModelTimeoutError(f"{name!r} gave up waiting (HTTP 408).", billed=True)
    if status == 429:
        wait_s = _seconds(headers.get("retry-after"))
        asks = "" if wait_s is None else f"; it asks to wait {wait_s:.3g} s"
        return RateLimitedError(f"{name!r} takes no more requests just now (HTTP 429){asks}.", retry_after_s=wait_s)
    if status >= 500:
        return ModelServerError(
            f"{name!r} failed (HTTP {status}): {said}", retry_after_s=_seconds(headers.get("retry-after"))
        )
    return RequestRejectedError(f"{name!r} rejected the request (HTTP {status}): {said}")


def said_by(error: BaseException, key_variable: str | None = None) -> str:
    """What an error says, in one line, without secrets, cut to what a person reads."""
    text = str(error)
    if _PAGE.search(text):
        text = _TAG.sub(" ", text)
    text = _without_secrets(text, key_variable)
    # What a provider says must not steer the terminal that shows it.
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    if message := _MESSAGE.search(text):  # the provider's own words, out of its JSON
        text = (message[1] or message[2]).replace('\\"', '"').replace("\\n", " ")
    text = text.partition("Traceback (most recent call last)")[0]
    text = _ADVICE.sub("", _WRAPPING.sub("", text)).strip() or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def tells_secret(error: BaseException, key_variable: str | None = None) -> bool:
    """Whether a traceback of the error, or of what caused it, would show a key."""
    return any(_without_secrets(str(cause), key_variable) != str(cause) for cause in _causes(error))


def _without_secrets(text: str, key_variable: str | None) -> str:
    for variable, value in os.environ.items():
        if len(value) >= 8 and value in text and (variable == key_variable or _SECRET_NAME.search(variable)):
            text = text.replace(value, f"<{variable}>")
    return _LOOKS_SECRET.sub(r"\1…", text)


def _broken(name: str, causes: list[BaseException], key_variable: str | None) -> ModelError:
    """No readable answer came back from a provider that may have worked."""
    # LiteLLM calls everything that it cannot name a connection error; what it found underneath says what it was.
    names = _names(cause for cause in causes if not _is_litellm(cause))
    reason = _reason(causes, key_variable)
    if not names & (_UNREADABLE | _BROKEN) and not any(map(_is_litellm, causes)):  # a chat model's own mistake
        return ModelServerError(f"{name!r} failed with {type(causes[0]).__name__}: {reason}", billed=True)
    if names & _UNREADABLE or not names & _BROKEN:
        return MalformedReplyError(f"{name!r} sent a reply that cannot be read: {reason}", billed=True)
    return ModelConnectionError(f"{name!r} hung up before its reply was whole ({reason}).", billed=True)


def _causes(error: BaseException, before: BaseException | None = None) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and cause is not before and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _names(causes: Iterable[BaseException]) -> set[str]:
    return {base.__name__ for cause in causes for base in type(cause).__mro__}


def _is_litellm(cause: BaseException) -> bool:
    return type(cause).__module__.partition(".")[0] == "litellm"


def _answer(causes: list[BaseException]) -> tuple[int | None, Mapping[str, str]]:
    """Status and headers of the HTTP answer, if the provider gave one."""
    for cause in reversed(causes):
        # The innermost is the HTTP client's; the outer ones make responses up.
        response = getattr(cause, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int) and "HTTPStatusError" in {base.__name__ for base in type(cause).__mro__}:
            return status, {key.lower(): value for key, value in getattr(response, "headers", {}).items()}
    for cause in reversed(causes):
        status = getattr(cause, "status_code", None)
        if isinstance(status, int) and not _is_litellm(cause):
            headers = getattr(getattr(cause, "response", None), "headers", None) or {}
            return status, {key.lower(): value for key, value in headers.items()}
    return None, {}


def _code(causes: list[BaseException]) -> str:
    return " ".join(str(code) for cause in causes if (code := getattr(cause, "code", None)))


def _reason(causes: list[BaseException], key_variable: str | None) -> str:
    unreadable = [cause for cause in causes if type(cause).__name__ in _UNREADABLE]
    telling = [cause for cause in reversed(causes) if str(cause).strip()]
    return said_by(next(iter(unreadable + telling), causes[-1]), key_variable)


def _seconds(header: str | None) -> float | None:
    """A `Retry-After`, seconds or a date, in seconds from now."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(header)
            seconds = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, min(seconds, _LONGEST_WAIT_S)) if math.isfinite(seconds) else None
