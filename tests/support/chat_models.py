"""Chat models of LangChain's own and of a test's, as a pool's models."""

from __future__ import annotations

import time

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from router_graph.pool import ModelCard, ModelPool
from router_graph.pool.chat_model import PoolChatModel

PRICE = {"input": 1, "output": 2}
READ = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
WROTE = {"input_tokens": 0, "output_tokens": 4, "total_tokens": 4}


class InTwoParts(GenericFakeChatModel):
    """Reports its usage as Anthropic does: the input first, the output last."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield ChatGenerationChunk(message=AIMessageChunk(content="one ", usage_metadata=READ))
        end = AIMessageChunk(content="two", usage_metadata=WROTE, response_metadata={"model_name": "m-1"})
        yield ChatGenerationChunk(message=end, generation_info={"finish_reason": "stop"})


class Plain(BaseChatModel):
    """No streaming, no async, no usage; it says who it is in three places."""

    error: Exception | None = None

    @property
    def _llm_type(self):
        return "plain"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if self.error is not None:
            raise self.error
        message = AIMessage("one two three", response_metadata={"finish_reason": "stop"})
        generation = ChatGeneration(message=message, generation_info={"seed": 7})
        return ChatResult(generations=[generation], llm_output={"model_name": "plain-1"})


def local(model: BaseChatModel, **options) -> PoolChatModel:
    """A pool of one chat model, as a chat model."""
    pool = ModelPool([ModelCard(name="local", transport="it", price=PRICE)], transports={"it": model}, retries=0)
    return pool.as_chat_model("local", **options)


def until(holds, seconds=5.0):
    """Wait until it holds; AssertionError if that takes longer."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    assert holds()
