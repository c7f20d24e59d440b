"""The pool as a chat model and the metered embeddings, under the standard suites of langchain-tests."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from router_graph.pool import ModelCard, ModelPool
from router_graph.pool.chat_model import PoolChatModel
from router_graph.pool.embeddings import MeteredEmbeddings
from support.model_server import ModelServer

LONG = "Say as much as you can of the words that come to your mind."


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def pool(url: str) -> ModelPool:
    price = {"input": 1, "output": 2}
    return ModelPool(
        ModelCard(name=name, model=f"openai/{name}", api_base=url, price=price, tools=True)
        for name in ("good-tool-echo", "other-tool-echo", "good-reasoning", "good-cached")
    )


class TestPoolChatModelUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[PoolChatModel]:
        return PoolChatModel

    @property
    def chat_model_params(self) -> dict:
        return {"pool": pool("http://127.0.0.1:9/v1"), "model": "good-tool-echo"}


class TestPoolChatModelIntegration(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _pool(self, server: ModelServer) -> None:
        self.pool = pool(server.url)

    @property
    def chat_model_class(self) -> type[PoolChatModel]:
        return PoolChatModel

    @property
    def chat_model_params(self) -> dict:
        return {"pool": self.pool, "model": "good-tool-echo"}

    @property
    def model_override_value(self) -> str:
        return "other-tool-echo"

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict:
        return {how: ["reasoning_output", "cache_read_input"] for how in ("invoke", "stream")}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._asked("good-reasoning", stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked("good-cached", stream)

    def _asked(self, name: str, stream: bool) -> AIMessage:
        model = self.pool.as_chat_model(name)
        return functools.reduce(operator.add, model.stream(LONG)) if stream else model.invoke(LONG)


class TestMeteredEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[MeteredEmbeddings]:
        return MeteredEmbeddings

    @property
    def embedding_model_params(self) -> dict:
        return {"embeddings": DeterministicFakeEmbedding(size=8), "name": "fake", "price": "free"}


class TestMeteredEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[MeteredEmbeddings]:
        return MeteredEmbeddings

    @property
    def embedding_model_params(self) -> dict:
        return {"embeddings": DeterministicFakeEmbedding(size=8), "name": "fake", "price": {"input": 0.02, "output": 0}}
