"""What a request can take at the most, whatever it is made of."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import create_model

from router_graph.errors import RequestRejectedError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool, tokens

LONG = "word " * 2000
IMAGE = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/a.png"}}
Wide = create_model("Wide", **{f"field_{number}_{'x' * 90}": (str, ...) for number in range(100)})


@pytest.mark.parametrize(
    ("message", "params"),
    [
        (HumanMessage([{"type": "tool_result", "text": "x", "content": LONG}]), {}),
        (AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": LONG}}), {}),
        (HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": [IMAGE]}]), {}),
        (HumanMessage("hi"), {"response_format": Wide}),
        (HumanMessage("hi"), {"extra_body": {"guided_choice": [LONG]}}),
    ],
    ids=["text beside other content", "a function call", "an image in a result", "a model as schema", "extra_body"],
)
def test_everything_that_is_sent_counts_for_the_worst_case(message, params):
    assert tokens.most([message], params, image_tokens=10_000) >= 10_000


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "url", "url": "http://127.0.0.1/a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "document", "source": {}}]},
    ],
    ids=["a file by its id", "a document by its address", "sound", "a document in a result"],
)
def test_a_block_whose_tokens_nobody_can_tell_is_not_sent(block):
    pool, ledger = ModelPool([ModelCard(name="m", price="free", api_base="http://127.0.0.1:9")], retries=0), Ledger()
    with pytest.raises(RequestRejectedError, match="nobody can tell"):
        pool.invoke("m", [HumanMessage([{"type": "text", "text": "Read this."}, block])], ledger=ledger)
    assert not ledger.entries
