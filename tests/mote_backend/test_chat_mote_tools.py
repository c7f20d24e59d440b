"""A mask stays with a model that is given tools or a schema, as an agent does; one that is lost would not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import ConfigurableField, Runnable

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.mask import ExpertMask
from support.tiny_chat import tiny_chat
from support.tiny_chat.conversations import Joke, get_weather

OFF = ExpertMask(off={(0, 1)}, name="quiet")
CONFIG: Any = {"configurable": {"mote_mask": OFF}}
QUESTION = "What is the weather in Paris?"


def chat() -> ChatMoTE:
    return ChatMoTE(model=tiny_chat(), max_tokens=100)


def configurable() -> Any:
    return chat().configurable_fields(mote_mask=ConfigurableField("mote_mask"))


WAYS: dict[str, tuple[Callable[[], Any], Any]] = {
    "bind": (lambda: chat().bind(mote_mask=OFF), None),
    "bind twice": (lambda: chat().bind(mote_mask=None).bind(mote_mask=OFF).bind(seed=1), None),
    "configurable_fields": (configurable, CONFIG),
    "with_config": (lambda: configurable().with_config(CONFIG), None),
}
each_way = pytest.mark.parametrize(("made", "config"), WAYS.values(), ids=WAYS)


def masks(messages: list[Any]) -> list[str | None]:
    return [(one.response_metadata["mote"] or {}).get("name") for one in messages if one.type == "ai"]


@each_way
def test_an_agent_with_tools_runs_under_the_mask_in_every_turn(made: Callable[[], Any], config: Any) -> None:
    told = create_agent(made(), tools=[get_weather]).invoke({"messages": [("user", QUESTION)]}, config)
    assert masks(told["messages"]) == ["quiet", "quiet"]
    assert [one.type for one in told["messages"]] == ["human", "ai", "tool", "ai"]


@each_way
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_comes_under_the_mask(made: Callable[[], Any], config: Any, method: str) -> None:
    asked: Runnable[Any, Any] = made().with_structured_output(Joke, method=method, include_raw=True)
    assert masks([asked.invoke("Tell me a joke about cats.", config)["raw"]]) == ["quiet"]


def test_a_later_mask_replaces_a_bound_one() -> None:
    bound = chat().bind(mote_mask=OFF).bind_tools([get_weather])
    assert masks([bound.invoke(QUESTION, mote_mask=None)]) == [None]
    assert masks([chat().bind(mote_mask=OFF).bind(mote_mask=None).invoke(QUESTION)]) == [None]
