"""A policy: who decides at each step. It speaks a protocol, whether or not there is a language model in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from router_graph.actions import Action
from router_graph.errors import RouterError
from router_graph.ledger import Ledger, Purpose
from router_graph.pool.card import ModelCard
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.records import Tokens
from router_graph.view import View


@dataclass(frozen=True, slots=True)
class Means:
    """What a policy may use to decide."""

    ledger: Ledger
    """Pays what it asks."""
    purpose: Purpose = "policy"
    """`answer` where it must answer now, so that the answer's reserve can be used."""
    deadline_s: float | None = None
    """Seconds in which it must decide."""
    on_token: Callable[[str], None] | None = None
    """Told each piece of its reply as it comes; None where nobody listens."""
    on_again: Callable[[], None] = lambda: None
    """Told that the reply is begun anew: the pieces so far are void."""
    allowed: Callable[[ModelCard], str | None] = lambda card: None
    """Why a model may not see what has been found, or None."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a policy decided, in its protocol's words."""

    reply: AIMessage
    probabilities: Mapping[str, float] | None = None
    """Of each legal option, by its key, where the policy can score them; they add up to 1."""
    propensity: float | None = None
    """The probability with which the action was sampled, where it is known."""
    tokens: Tokens | None = None
    """What was sampled, to the token, where the policy put the reply together of several calls."""


class Policy(ABC):
    """Raises `RouterError` where it cannot decide: the graph then answers with what it has."""

    name: str
    version: str = "1"
    """Goes into every log: decisions of one version are comparable."""
    decides_alone = True
    """It asks nobody, so that a preview can run it for nothing."""
    speaks: str | None = None
    """The protocol that it was trained in; None where it speaks whatever the turn is set to."""
    seen: Collection[str] = frozenset()
    """The questions that it was trained or tuned on, each by `evaluation.questions.mark_of`: none judges it."""

    @property
    def card(self) -> ModelCard | None:
        """The model that it asks, if it asks one: that model reads what was found."""
        return None

    @abstractmethod
    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """Decide what to do now."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a policy without a language model decided."""

    thought: str
    """Why, in a sentence that people read."""
    actions: tuple[Action, ...]
    probabilities: Mapping[str, float] | None = None
    propensity: float = 1.0
    """The probability with which the actions were sampled; 1 where nothing was."""


class ChoicePolicy(Policy):
    """A policy that computes its choice. Deterministic for a view, its seed included."""

    @abstractmethod
    def choose(self, view: View) -> Choice:
        """Decide what to do now. Where `view.must_answer` is set, only an `Answer` is legal."""

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """The choice, written in the protocol's grammar."""
        choice = self.choose(view)
        if not isinstance(choice, Choice) or not all(isinstance(one, Action) for one in choice.actions):
            raise RouterError(
                f"The policy {self.name!r} chose {choice!r}; `choose` returns a Choice whose actions are a tuple of "
                "RouteToKB, RouteToLLM, Answer or Note."
            )
        reply = protocol.write(choice.thought, choice.actions, view)
        return Act(reply, choice.probabilities, choice.propensity)
