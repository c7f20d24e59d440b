"""A state as a policy reads it, and an action as it writes it, in tokens: the same that it will see when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mote_backend.chat.messages import plain_messages
from mote_backend.chat.prompt import prompt_ids
from router_graph.actions import Action
from router_graph.protocols import protocol_named
from router_graph.protocols.protocol import Protocol
from router_graph.view import View
from router_training.errors import ConfigError


@dataclass(frozen=True)
class Rendering:
    """How one policy is spoken to. `tokenizer` is one of transformers', with a chat template.

    The ids are those of `router_graph.policies.scored.ScoredPolicy` over `ChatTransformers`: the opening that it scores
    is tokenized apart from what follows it.
    """

    tokenizer: Any
    protocol: Protocol = field(default_factory=lambda: protocol_named("tags"))
    thinks: bool = False
    """Whether the policy writes a thought; else the thought of each reply is empty."""

    def __post_init__(self) -> None:
        if not getattr(self.tokenizer, "chat_template", None):
            raise ConfigError(
                "The tokenizer has no chat template; a policy is asked in a conversation, so give it one."
            )
        if not self.protocol.ends:
            raise ConfigError(
                f"The protocol {self.protocol.name!r} cannot say how its actions begin and end; train in 'tags'."
            )

    def prompt(self, view: View) -> list[int]:
        """The state, up to where the reply begins. Raises `mote_backend.errors.PromptError`."""
        return list(prompt_ids(self.tokenizer, plain_messages(self.protocol.messages(view))))

    def reply(self, thought: str, action: Action, view: View) -> list[int]:
        """The action, with the tokens that end a reply."""
        text = str(self.protocol.write(thought if self.thinks else "", [action], view).text)
        before, after = self.protocol.thinks
        opening = self.protocol.openings(view).get(action.target, "")
        lead = before + after if not self.thinks else ""
        ids: list[int] = []
        if not self.thinks and opening and text.startswith(lead + opening):
            ids = self.ids(lead + opening)
            text = text[len(lead + opening) :]
        elif opening and (place := text.find(after + opening)) >= 0:
            thought_end = place + len(after.rstrip())
            ids = self.ids(text[:thought_end]) + self.ids(text[thought_end : place + len(after + opening)])
            text = text[place + len(after + opening) :]
        return [*ids, *self.ids(text), *self.end]

    @property
    def end(self) -> list[int]:
        """The token that ends a reply, where the tokenizer has one."""
        return [] if self.tokenizer.eos_token_id is None else [int(self.tokenizer.eos_token_id)]

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, and none besides."""
        return [int(one) for one in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def opening(self, view: View, keys: Sequence[str]) -> list[list[int]]:
        """The tokens with which a reply without a thought chooses each of the options."""
        lead, openings = "".join(self.protocol.thinks), self.protocol.openings(view)
        return [self.ids(lead + openings[key]) for key in keys]
