"""A chat model without a language model: it stands where your own would, so that an example runs offline.

With tools it takes the question apart at ", and", calls for each part the tools whose description shares a word with
it, and then says what they said. Without tools it says the shown sentence that shares most words with the question. So
it shows who is asked, in which order and at whose expense, and never how well a real model does it. In its place goes
any chat model of LangChain, such as `init_chat_model("openai:gpt-4o-mini")`, `ChatOllama(model="qwen3")`,
`ChatMoTE(model=FOLDER)`, or one of a pool: `pool.as_chat_model("fast")`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

_DOCUMENT = re.compile(r"^(\[[^\]\s]+:[^\]\s]+\])(?:[^|\n]*\|)? ?(.*)$")
_SENTENCE = re.compile(r"(?<=[.!?]) ")
_ASKING = {"which", "where", "there", "source", "answer", "asked"}
_QUESTION = "\n\nQuestion: "


class StandIn(BaseChatModel):
    """Chooses and quotes by shared words."""

    @property
    def _llm_type(self) -> str:
        return "stand-in"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[Any, AIMessage]:
        """As of any chat model."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **options)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **given: Any
    ) -> ChatResult:
        said = self._reply(messages, given.get("tools") or [])
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _reply(self, messages: list[BaseMessage], tools: list[dict[str, Any]]) -> AIMessage:
        question = next(one.text for one in reversed(messages) if isinstance(one, HumanMessage))
        if results := [one for one in messages if isinstance(one, ToolMessage)]:
            return AIMessage("\n".join(one.text.splitlines()[0] for one in results))
        described = {tool["function"]["name"]: words(tool["function"]["description"]) for tool in tools}
        parts = [f"{part[:1].upper()}{part[1:]}?" for part in question.rstrip("?").split(", and ")]
        wanted = [(name, part) for part in parts for name, known in described.items() if words(part) & known]
        if wanted:
            calls = [
                ToolCall(name=name, args={"question": part}, id=f"call-{n}") for n, (name, part) in enumerate(wanted)
            ]
            return AIMessage("", tool_calls=calls)
        shown, _, asked = question.rpartition(_QUESTION)
        return AIMessage(_quoted(shown, asked) or "I do not know.")


def words(text: str) -> set[str]:
    """What a text is about: its words of five letters or more, without a plural s; none that any question has."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{5,}", text.lower())} - _ASKING


def _quoted(shown: str, asked: str) -> str:
    """The sentence that shares most words with what is asked, and the mark of its document."""
    best, most = "", 0
    for mark, text in (found.groups() for line in shown.splitlines() if (found := _DOCUMENT.match(line))):
        for sentence in _SENTENCE.split(text):
            if (shared := len(words(sentence) & words(asked))) > most:
                best, most = f"{sentence} {mark}", shared
    return best
