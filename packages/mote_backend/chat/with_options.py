"""A chat model with options of its own, bound or from each call's config, that keeps them when it is given tools.

LangChain's own classes take `bind_tools` and `with_structured_output` from the model as it stands: what was bound
before, such as a mask, would be lost without a word in an agent with tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.tools import BaseTool

from mote_backend.chat import bound_tools


class BoundChat(RunnableBinding[LanguageModelInput, AIMessage]):  # type: ignore[no-redef]  # of pydantic's fields
    """What `bind` gives."""

    def bind_tools(
        self, tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool], **options: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """As `ChatTransformers.bind_tools`."""
        return bound_tools.bind_tools(self, tools, **options)

    def with_structured_output(
        self, schema: Mapping[str, Any] | type | None = None, **options: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """As `ChatTransformers.with_structured_output`."""
        return bound_tools.with_structured_output(self, schema, **options)


# With types given, pydantic would take no `default` but a model of just these types.
class ConfigurableChat(RunnableConfigurableFields):  # type: ignore[type-arg]
    """What `configurable_fields` gives."""

    def bind(self, **kwargs: Any) -> BoundChat:
        """The model with these options in each call."""
        return BoundChat(bound=self, kwargs=kwargs)

    def bind_tools(
        self, tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool], **options: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """As `ChatTransformers.bind_tools`."""
        return bound_tools.bind_tools(self, tools, **options)

    def with_structured_output(
        self, schema: Mapping[str, Any] | type | None = None, **options: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """As `ChatTransformers.with_structured_output`."""
        return bound_tools.with_structured_output(self, schema, **options)
