"""Output parsers that take a reply for JSON only if it is whole.

LangChain's own mend what was cut off, also at the end: a reply that ran into its token limit would pass for a result.
"""

from __future__ import annotations

import json
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import Generation
from langchain_core.utils.pydantic import TBaseModel  # noqa: F401  mypy's pydantic plugin looks for it here


class WholeJsonParser(JsonOutputParser):
    """JSON to Python; while a reply streams, what has come so far."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Raises OutputParserException for a reply that is no JSON or breaks off."""
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


class WholePydanticParser(PydanticOutputParser[Any]):
    """JSON to an object of a pydantic class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Raises OutputParserException for a reply that is no JSON, breaks off, or does not fit the class."""
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


def _check(result: list[Generation]) -> None:
    text = result[0].text
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise OutputParserException(
            "The reply is no whole JSON, most likely because it was cut off: allow more max_tokens.", llm_output=text
        ) from None
