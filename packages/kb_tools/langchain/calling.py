"""What the tools share: a name that every provider takes, and mistakes of a model as sentences it can learn from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.tools import ToolException
from pydantic import ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1

from kb_tools.errors import KBError

_LONGEST_NAME = 64  # the strictest rule in use is OpenAI's: ^[a-zA-Z0-9_-]{1,64}$


def tool_name(verb: str, kb: str) -> str:
    """`search_handbook`. Where characters must go, six hex digits of the full name keep two such names apart."""
    plain = f"{verb}_{kb}"
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    if clean == plain and len(clean) <= _LONGEST_NAME:
        return clean
    return f"{clean[: _LONGEST_NAME - 7]}_{hashlib.sha256(plain.encode()).hexdigest()[:6]}"


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what kb_tools raises on purpose into a ToolException: the model reads the sentence and tries again."""
    try:
        yield
    except KBError as error:
        raise ToolException(str(error)) from error


def explain_arguments(error: ValidationError | ValidationErrorV1) -> str:
    """Arguments that do not fit the schema, in one sentence."""
    faults = (f"{'.'.join(map(str, fault['loc'])) or 'input'}: {fault['msg']}" for fault in error.errors())
    return f"The arguments do not fit ({'; '.join(faults)}); call the tool again with the arguments of its schema."
