"""Our tags without the explanations: for a policy that was trained to them, and reads every token at each step."""

from __future__ import annotations

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from router_graph.protocols.menu import DUE, left
from router_graph.protocols.messages import human, with_tail
from router_graph.protocols.tags import Tags, said
from router_graph.protocols.text import came_of, cut, escape
from router_graph.view import View

_MOST_OF_A_DESCRIPTION = 160
_MOST_OF_AN_OBSERVATION = 600


class Brief(Tags):
    """The grammar is that of `Tags`; the prompt is the options that are legal now, each with its price in USD and the
    beginning of its description, the question, what was done, and what is left."""

    name = "brief"

    def __init__(self, *, most_characters: int = _MOST_OF_AN_OBSERVATION) -> None:
        super().__init__(most_characters=most_characters)

    def messages(self, view: View) -> list[BaseMessage]:
        """The menu, the question, then each reply and what came of it; what is left stands at the end."""
        sent: list[BaseMessage] = [SystemMessage("\n".join(_options(view)))]
        for role, text in view.earlier:
            told = escape(text)
            sent.append(HumanMessage(told) if role == "human" else AIMessage(f"<answer>{told}</answer>"))
        sent.append(human(escape(view.question), view.images))
        for step in view.steps:
            sent.append(AIMessage(said(step) or "<think></think>"))
            sent.append(HumanMessage("\n".join(came_of(step, most=self._most)) or "Go on."))
        due = f"Answer now: {DUE[view.must_answer]}." if view.must_answer else f"Left: {left(view)}."
        return with_tail(sent, due)


def _options(view: View) -> list[str]:
    lines = []
    for option in view.legal:
        if option["key"] != "answer":
            about = cut(escape(" ".join(option["description"].split())), _MOST_OF_A_DESCRIPTION)
            lines.append(f"{escape(option['key'])} ${option['usd']:.2g} {about}".rstrip())
    return lines or ["nobody"]
