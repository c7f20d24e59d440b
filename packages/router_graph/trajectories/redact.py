"""What must not reach the disk is taken out of every text of a line before it is written.

A redaction is any function from text to text; `Secrets` is one for keys, tokens and passwords. It sees each text of a
line by itself, keys included, but for the ids by which lines are put together. Where it has a method
`hides(name) -> bool`, what an object holds under such a name goes as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from router_graph.trajectories.cut import each_text
from router_graph.trajectories.records import Line

_KEPT = ("v", "kind", "run", "at", "number", "position")

_KEYS = r"""
    sk-[A-Za-z0-9_-]{16,}                              # OpenAI, Anthropic, OpenRouter, DeepSeek
  | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}        # Stripe
  | gsk_[A-Za-z0-9]{20,} | xai-[A-Za-z0-9]{20,} | pplx-[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{20,} | nvapi-[\w-]{20,}
  | hf_[A-Za-z0-9]{20,}
  | (?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
  | (?:AKIA|ASIA)[0-9A-Z]{16}
  | AIza[0-9A-Za-z_-]{30,} | ya29\.[\w.-]{20,}
  | xox[abeoprs]-[\w-]{10,} | lsv2_(?:pt|sk)_[\w]{20,} | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{30,}
  | eyJ[\w-]{8,2000}\.eyJ[\w-]{8,}\.[\w-]*           # a JSON web token
"""
_SECRET_NAME = (
    r"(?:(?:api|access|secret|private|auth|client)[_ -]?(?:key|token|secret)|password|passwd|pwd|secret|token"
    r"|authorization)"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]{0,40})PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL)
_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{_KEYS})", re.VERBOSE)
_BEARER = re.compile(r"\b(Bearer|Basic|Token)([ \t]+)(?=[^\s\"']*[\d._~+/=-])[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE)
_IN_URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,100}):[^\s/@]{1,200}@", re.IGNORECASE)
_USER_IN_URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)(?=[^\s:/@]*\d)[^\s:/@]{16,200}@", re.IGNORECASE)
"""A token in the place of a user, as git and Sentry have it: long, and with a digit."""
_NAME = re.compile(rf"(?:{_SECRET_NAME}|cookie)\Z", re.IGNORECASE)
_NAMED = re.compile(
    rf"({_SECRET_NAME})([\"']?[ \t]{{0,9}}(?:=|:(?=[ \t]{{0,9}}[\"'])|:(?=[ \t]{{0,9}}[^\s\d]{{0,99}}\d))[ \t]{{0,9}})"
    r"(\"[^\"\n]{6,200}\"|'[^'\n]{6,200}'|[^\s\"',;&<>()\[\]{}]{6,200})",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}(?![\w-])")

# What a text must hold for an expression to find anything in it: to look for a word is far faster.
_KEY_SIGNS = tuple(
    "sk- sk_ rk_ pk_ xai- pplx- r8_ nvapi- hf_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- AKIA ASIA AIza ya29. xox "
    "lsv2_ npm_ pypi- eyJ".split()
)
_BEARER_SIGNS = ("bearer", "basic", "token")
_NAME_SIGNS = ("key", "token", "secret", "password", "passwd", "pwd", "authorization")
_SHORT, _REMEMBERED = 40, 4_096
"""Texts of so many characters are mostly names of fields, which come again and again."""


class Secrets:
    """Takes out what looks like a key of a known provider, a bearer token, a private key, a password in a URL, or the
    value in `api_key=…`; and e-mail addresses, with `emails`. `known` are texts of your own that must never be written.

    It finds what has a form; a secret that looks like a word needs `known`.
    """

    def __init__(self, *, emails: bool = False, known: tuple[str, ...] = ()) -> None:
        self._emails = emails
        longest_first = sorted({one for one in known if one}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self.hides = lru_cache(_REMEMBERED)(_is_secret_name)
        self._short = lru_cache(_REMEMBERED)(self._cleaned)

    def __call__(self, text: str) -> str:
        """The text without them."""
        return self._short(text) if len(text) <= _SHORT else self._cleaned(text)

    def _cleaned(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub("[secret]", text)
        if any(map(text.__contains__, _KEY_SIGNS)):
            text = _KEY.sub("[key]", text)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub("[private key]", text)
        if "://" in text:
            text = _IN_URL.sub(r"\1:[password]@", text)
            text = _USER_IN_URL.sub(r"\1[token]@", text)
        lower = text.lower()
        if any(map(lower.__contains__, _BEARER_SIGNS)):
            text = _BEARER.sub(r"\1\2[token]", text)
        if ("=" in text or ":" in text) and any(map(lower.__contains__, _NAME_SIGNS)):
            text = _NAMED.sub(r"\1\2[secret]", text)
        if self._emails and "@" in text:
            text = _EMAIL.sub("[e-mail]", text)
        return text


def _is_secret_name(name: str) -> bool:
    """Whether what is called so is a secret, whatever it looks like: `password`, `api_key`, `x_token`."""
    return _NAME.search(name) is not None


def redacted(line: Line, redact: Callable[[str], str]) -> Line:
    """The line with every text of it redacted. Token ids spell their text out, so that they go where it was changed."""
    hides: Callable[[str], bool] | None = getattr(redact, "hides", None)
    new: dict[str, Any] = {}
    for key, value in line.items():
        new[key] = value if key in _KEPT else each_text(value, redact, hides)
    if "step" in line and "id" in line["step"]:
        new["step"] = {**new["step"], "id": line["step"]["id"]}
    was, call = line.get("call"), new.get("call")
    if was is not None and call is not None and call is not was:
        said = was["prompt"], was["reply"], was["tool_calls"]
        if said != (call["prompt"], call["reply"], call["tool_calls"]):
            new["call"] = {**call, "tokens": None}
    changed: Line = new  # type: ignore[assignment]
    return changed
