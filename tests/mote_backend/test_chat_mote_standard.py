"""ChatMoTE and ChatTransformers under the standard suites of langchain-tests."""

from __future__ import annotations

import functools
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from mote_backend.chat.chat_model import ChatTransformers
from mote_backend.chat.chat_mote import ChatMoTE
from support.tiny_chat import FOLDER, tiny_chat
from support.tiny_engine import byte_tokenizer, tiny_model

MASK = {"off": {"0": [1, 2], "1": [5]}}
MUTED = {"bias": {"0": {"0": -0.001}}}
"""A mask that leaves the small model able to answer."""


@functools.cache
def dense() -> tuple[Any, Any]:
    return tiny_model("qwen3"), byte_tokenizer()


class TestChatMoTEUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatMoTE

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "no-such-model", "mote_mask": MASK}


class TestChatTransformersUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatTransformers

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "no-such-model"}


class TestChatMoTEIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatMoTE

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": tiny_chat(), "mote_mask": MUTED, "max_tokens": 200}

    @property
    def model_override_value(self) -> str:
        return str(FOLDER)

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


class TestDenseChatTransformersIntegration(ChatModelIntegrationTests):
    """A model that was trained for nothing still streams, batches, counts and stops."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatTransformers

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": dense(), "max_tokens": 40}

    has_tool_calling = has_structured_output = False
