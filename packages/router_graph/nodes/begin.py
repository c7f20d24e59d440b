"""The first node of a turn: what is asked, what can be asked, what holds. Nothing of the turn before stays."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from router_graph.context import RouterContext
from router_graph.errors import QuestionError, SettingsError
from router_graph.images import check_image
from router_graph.nodes.node import can_be_resumed
from router_graph.resources import Resources
from router_graph.state import Asked, RouterState
from router_graph.turn import tell

MOST_CHARACTERS = 100_000
"""Of a question. A longer one is a document, which belongs in a knowledge base."""
MET = "knowledge_bases_met"
"""In the metadata of an answer: whose text may be in it. The rules follow a message into any graph and thread."""
MOST_EARLIER, _EARLIER_CHARACTERS = 20, 4_000
"""Messages before the question that a policy is shown, and characters of each."""


async def begin(resources: Resources, state: RouterState, runtime: Runtime[Any]) -> dict[str, Any]:
    """Raises `QuestionError` and `SettingsError`, before anything is spent."""
    context = context_of(runtime.context)
    settings = resources.settings(context)
    asked, from_message = read_question(state)
    met = met_by(state)
    check(resources, settings, state.get("pin"), met)
    if before := state.get("turn"):
        resources.accounts.close(before)
    turn, menu = uuid.uuid4().hex, resources.menu()
    tell(runtime.stream_writer, turn, "turn", question=asked["question"], menu=menu)
    new: list[AnyMessage] = [] if from_message else [HumanMessage(asked["question"], id=f"{turn}-question")]
    return {
        "turn": turn,
        "asked": asked,
        "menu": menu,
        "settings": settings,
        "messages": new,
        "question": "",
        "images": [],
        "answer": "",
        "citations": [],
        "stop_reason": None,
        "steps": Overwrite([]),
        "ledger": Overwrite({}),
        "met": met,
    }


def context_of(context: object) -> RouterContext | Mapping[str, Any] | None:
    """The context of our own, where a foreign graph has another: its field `router`, if it has one."""
    if context is None or isinstance(context, RouterContext):
        return context
    if isinstance(context, Mapping):
        ours = context.keys() & RouterContext.model_fields.keys()
        return context if ours else context.get("router")  # with one of ours misspelt, `settings` says so
    return getattr(context, "router", None)


def read_question(state: RouterState) -> tuple[Asked, bool]:
    """What is asked, and whether a message asks it. Raises `QuestionError`."""
    messages = list(state.get("messages") or ())
    question, images = state.get("question") or "", list(state.get("images") or ())
    from_message = not question
    if from_message:
        place = next((n for n in reversed(range(len(messages))) if isinstance(messages[n], HumanMessage)), None)
        if place is None:
            raise QuestionError('There is no question; give {"question": "…"}, or messages with a human one.')
        question, images = messages[place].text, [*images, *_pictures(messages[place])]
        messages = messages[:place]
    if not isinstance(question, str) or not question.strip():
        raise QuestionError("The question is empty; ask something.")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise QuestionError("The question holds bytes that are not UTF-8; write it in UTF-8.") from None
    if len(question) > MOST_CHARACTERS:
        raise QuestionError(
            f"The question has {len(question):,} characters, and at most {MOST_CHARACTERS:,} are taken; "
            "put a long text into a knowledge base, and ask about it."
        )
    for url in images:
        check_image(url)
    return Asked(question=question.strip(), images=images, earlier=_earlier(messages)), from_message


def met_by(state: RouterState) -> list[str]:
    """The knowledge bases whose text may be in the thread, as its state and its messages say."""
    told = (one.response_metadata.get(MET) for one in state.get("messages") or () if isinstance(one, AIMessage))
    return sorted({*state.get("met", ()), *(str(name) for names in told if isinstance(names, list) for name in names)})


def check(resources: Resources, settings: Mapping[str, Any], pin: str | None, met: Sequence[str]) -> None:
    """Raise `SettingsError` for what cannot be kept to in this thread."""
    if pin:
        resources.check_key(pin, "pin")
    if settings["ask_above_usd"] is not None and not can_be_resumed():
        raise SettingsError(
            "ask_above_usd needs a checkpointer to wait for a person; compile the graph with one, and name a thread."
        )
    card = resources.policy(settings["policy"]).card
    if card is not None and (reason := resources.rules.against_model(card, met)):
        raise SettingsError(f"The policy cannot ask {card.name!r} in this thread: {reason}. Begin a new thread.")


def _pictures(message: BaseMessage) -> list[str]:
    blocks = message.content if isinstance(message.content, list) else []
    found: list[str] = []
    for block in blocks:
        if isinstance(block, dict) and block.get("type") == "image_url":
            url = block.get("image_url")
            found.append(str(url.get("url") if isinstance(url, dict) else url))
        elif isinstance(block, dict) and block.get("type") == "image":
            kind = block.get("mime_type") or "image/png"
            found.append(str(block.get("url") or f"data:{kind};base64,{block.get('base64') or block.get('data')}"))
    return found


def _earlier(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    said = [
        ("human" if isinstance(one, HumanMessage) else "ai", one.text[:_EARLIER_CHARACTERS])
        for one in messages
        if isinstance(one, HumanMessage | AIMessage) and one.text.strip()
    ]
    return said[-MOST_EARLIER:]
