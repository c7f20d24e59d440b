"""`bind_tools` and `with_structured_output` of the chat models, as functions of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from mote_backend.errors import InputError, shown
from mote_backend.tools.calls import chosen
from mote_backend.tools.whole_json import WholeJsonParser, WholePydanticParser

Method = Literal["json_schema", "function_calling", "json_mode"]


def bind_tools(
    model: Runnable[LanguageModelInput, AIMessage],
    tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    tool_choice: str | bool | Mapping[str, Any] | None = None,
    strict: bool | None = None,
    parallel_tool_calls: bool | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, AIMessage]:
    """`model` with tools: functions, LangChain tools, pydantic classes, TypedDicts or OpenAI's dicts.

    `tool_choice`: "auto" (the default) leaves it to the model; "any", "required" or True force a call, a name that
    call, both by constrained decoding; "none" hides the tools. `strict` holds calls that the model makes of itself to
    their schema too. `parallel_tool_calls=False` allows one call. Raises InputError for a choice that names no tool,
    and for a tool that cannot be described.
    """
    described = [_described(tool, strict) for tool in tools]
    options: dict[str, Any] = {"tools": described}
    if tool_choice is not None:
        options["tool_choice"] = chosen(tool_choice, described)
    if strict is not None:
        options["strict"] = strict
    if parallel_tool_calls is not None:
        options["parallel_tool_calls"] = parallel_tool_calls
    return model.bind(**options, **kwargs)


def with_structured_output(
    model: Runnable[LanguageModelInput, AIMessage],
    schema: Mapping[str, Any] | type | None,
    *,
    method: Method = "json_schema",
    include_raw: bool = False,
    strict: bool | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """`model` with replies of `schema`: a pydantic class gives its objects, a TypedDict or a JSON schema gives dicts.

    "json_schema" holds the decoding to the schema; the prompt says nothing of it, so tell the model what you want.
    "function_calling" forces a call of a tool with that schema, which the chat template must support and shows to the
    model. "json_mode" forces any JSON object; the prompt must ask for its keys. With `include_raw` the result is
    {"raw": message, "parsed": object or None, "parsing_error": exception or None}.
    """
    if method not in ("json_schema", "function_calling", "json_mode"):
        raise InputError(f"method is {method!r}; give 'json_schema', 'function_calling' or 'json_mode'.")
    if schema is None and method != "json_mode":
        raise InputError(f"method {method!r} needs a schema: a pydantic class, a TypedDict or a JSON schema.")
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    described = None if schema is None else _json_schema(schema)
    told = {"kwargs": {"method": method} | ({} if strict is None else {"strict": strict}), "schema": described}
    if method == "function_calling":
        assert schema is not None
        name = _described(schema, strict)["function"]["name"]
        llm = bind_tools(
            model,
            [schema],
            tool_choice=name,
            strict=strict,
            parallel_tool_calls=False,
            ls_structured_output_format=told,
            **kwargs,
        )
        parser: Runnable[Any, Any] = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)
            if is_class
            else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
        )
    else:
        wanted: dict[str, Any] = {"type": "json_object"}
        if method == "json_schema":
            assert described is not None
            wanted = {
                "type": "json_schema",
                "json_schema": {"name": described.get("title", "reply"), "schema": described, "strict": True},
            }
        llm = model.bind(response_format=wanted, ls_structured_output_format=told, **kwargs)
        parser = WholePydanticParser(pydantic_object=schema) if is_class else WholeJsonParser()
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    without = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([without], exception_key="parsing_error")


def _json_schema(schema: Any) -> dict[str, Any]:
    try:
        return convert_to_json_schema(schema)
    except Exception as error:  # as above
        raise InputError(
            f"The schema is {shown(schema)}, which cannot be described: give a pydantic class, a TypedDict, or a JSON "
            "schema with a title."
        ) from error


def _described(tool: Any, strict: bool | None) -> dict[str, Any]:
    try:
        return convert_to_openai_tool(tool, strict=strict)
    except Exception as error:  # LangChain raises many kinds here
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"A tool of type {type(tool).__name__} cannot be described ({reason}): give a function with type hints and "
            "a docstring, a LangChain tool, a pydantic class, or OpenAI's dict."
        ) from None
