"""What the adapters share: searches that ask for no more than there is, names that every provider takes, and mistakes
of a model as sentences that it can learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core.tools import ToolException
from pydantic import ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1

from kb_tools.errors import KBError
from kb_tools.hits import Hit, Mode
from kb_tools.knowledge_base import KnowledgeBase

_LONGEST_NAME = 64  # OpenAI's rule, the strictest in use: ^[a-zA-Z0-9_-]{1,64}$


def search_up_to(
    kb: KnowledgeBase, query: str, k: int, *, where: Mapping[str, Any] | None = None, mode: Mode = "hybrid"
) -> list[Hit]:
    """`kb.search`, but k is an upper limit, as LangChain has it: a small knowledge base gives all that it holds."""
    size = kb.count()
    return kb.search(query, min(k, size), where=where, mode=mode) if size else []


def tool_name(verb: str, kb: str) -> str:
    """`search_handbook`. Where it would be too long, six hex digits of the full name keep two such names apart."""
    name = f"{verb}_{kb}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 7]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


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
