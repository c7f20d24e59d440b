"""Which model of a pool serves a call of an agent: what the call needs, who can do it, and who of them is chosen."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from router_graph.errors import SettingsError
from router_graph.limits import TOO_DEAR
from router_graph.pool import tokens
from router_graph.pool.card import TYPICAL, ModelCard
from router_graph.pool.pool import ModelPool
from router_graph.pool.price import Usage

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call needs of a model."""

    tools: bool
    vision: bool
    tokens: int
    """About how long the messages are."""
    most_tokens: Callable[[ModelCard], int]
    """The most tokens that they can be to a model."""
    max_tokens: int | None
    """Of the reply, where that is not what the card says."""

    @classmethod
    def of(cls, request: ModelRequest[Any], *, max_tokens: int | None = None) -> Self:
        """What this request needs; `max_tokens` is the shortest reply that would do, where that is not the longest."""
        system = [] if request.system_message is None else [request.system_message]
        messages = [*system, *request.messages]
        offered = [one if isinstance(one, dict) else convert_to_openai_tool(one) for one in request.tools]
        params = {**request.model_settings, **({"tools": offered} if offered else {})}
        return cls(
            tools=(bool(offered) and request.tool_choice != "none") or request.response_format is not None,
            vision=any(tokens.images_of(message) for message in messages),
            tokens=tokens.about(messages, params, tokens.estimate),
            most_tokens=lambda card: tokens.most(messages, {**card.params, **params}, image_tokens=card.image_tokens),
            max_tokens=max_tokens or request.model_settings.get("max_tokens"),
        )

    def about_usd(self, card: ModelCard) -> float:
        """About what the call costs, in USD, with a reply of a typical length."""
        return card.payable.cost(Usage(self.tokens, min(TYPICAL[1], self._longest(card)))) / 10**12

    def most_usd(self, card: ModelCard) -> float:
        """The most that the call can cost, in USD."""
        return card.payable.worst_case(self.most_tokens(card), self._longest(card)) / 10**12

    def _longest(self, card: ModelCard) -> int:
        return card.max_tokens if self.max_tokens is None else self.max_tokens


def masked_models(
    cards: Mapping[str, ModelCard],
    pool: ModelPool,
    needs: Needs,
    *,
    privacy: Collection[str],
    left_usd: float | None,
) -> dict[str, str]:
    """The models that cannot serve the call, each with the reason. What a card does not say is not held against it."""
    reasons = {name: _reason(card, pool, needs, privacy, left_usd) for name, card in cards.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason(
    card: ModelCard, pool: ModelPool, needs: Needs, privacy: Collection[str], left_usd: float | None
) -> str | None:
    if card.privacy not in privacy:
        return f"its privacy is {card.privacy!r}, which is excluded"
    if needs.tools and card.tools is False:
        return "it calls no tools"
    if needs.vision and card.vision is False:
        return "it sees no pictures"
    if card.context is not None and needs.tokens > card.context:
        return f"the messages are about {needs.tokens:,} tokens, and its context is {card.context:,}"
    if (wait_s := pool.live(card.name).wait_s()) > 0:
        return f"its last calls failed, and it rests for another {wait_s:.3g} s"
    if left_usd is not None and (most := needs.most_usd(card)) > left_usd:
        return f"{TOO_DEAR}: up to ${most:.2g} a call, and ${left_usd:.2g} is left"
    return None


@dataclass(frozen=True)
class Escalation:
    """Begin cheap, go up where it goes wrong: a rung for each turn since the question whose tool calls failed or could
    not be read, and one for every `every` turns, if it is given.

    `ladder` are models from the cheapest to the strongest; without it, those that may be chosen by their price. Where a
    rung's model cannot serve, the next above it does.
    """

    ladder: tuple[str, ...] = ()
    every: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise SettingsError(f"every is {self.every}; it is a number of turns, 1 or more.")

    def choose(self, request: ModelRequest[Any], legal: Sequence[ModelCard]) -> tuple[str, str]:
        """A model, and why."""
        names = [card.name for card in legal]
        ladder = self.ladder or tuple(card.name for card in by_price(legal))
        turns, failed = turns_of(request.messages)
        rung = min(failed + (turns // self.every if self.every else 0), len(ladder) - 1)
        usable = [n for n, name in enumerate(ladder) if name in names]
        if not usable:
            return by_price(legal)[-1].name, "no model of the ladder can serve; the dearest of the others does"
        taken = next((n for n in usable if n >= rung), usable[-1])
        return ladder[taken], f"rung {taken + 1} of {len(ladder)}: {failed} failed of {turns} turns"


Choose = Callable[["ModelRequest[Any]", Sequence[ModelCard]], str] | Escalation
"""A function names one of the cards, of which there is at least one, in the order of the pool."""


def turns_of(messages: Sequence[AnyMessage]) -> tuple[int, int]:
    """The model's turns since the last question, and how many of them failed: a tool call that could not be read, or
    whose tool says it is an error."""
    turns = failed = 0
    failing = False
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        if isinstance(message, ToolMessage):
            failing = failing or message.status == "error"
        elif isinstance(message, AIMessage):
            turns += 1
            failed += failing or bool(message.invalid_tool_calls)
            failing = False
    return turns, failed


def by_price(cards: Sequence[ModelCard]) -> list[ModelCard]:
    """The cards by what a typical call costs, the cheapest first."""
    return sorted(cards, key=lambda card: card.payable.cost(Usage(*TYPICAL)))


def chooser(choose: Choose | str, pool: ModelPool) -> Callable[[Any, Sequence[ModelCard]], tuple[str, str]]:
    """The function that names a model and says why. Raises `SettingsError` for what is none."""
    if isinstance(choose, Escalation):
        for name in choose.ladder:
            pool.card(name)
        return choose.choose
    if choose == "cheapest":
        return lambda request, legal: (by_price(legal)[0].name, "the cheapest that can serve")
    if choose == "strongest":
        return lambda request, legal: (_strongest(legal), "the strongest that can serve")
    if choose == "escalation":
        return Escalation().choose
    if callable(choose):
        return lambda request, legal: (_checked(choose(request, legal), legal), _called(choose))
    near = difflib.get_close_matches(str(choose), ("cheapest", "strongest", "escalation"), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give 'cheapest', 'strongest', 'escalation' or a function."
    raise SettingsError(f"choose is {choose!r}; {hint}")


def _strongest(legal: Sequence[ModelCard]) -> str:
    from router_graph.policies.models import strongest_first

    return strongest_first({card.name: card for card in legal})[0]


def _checked(name: object, legal: Sequence[ModelCard]) -> str:
    names = [card.name for card in legal]
    if name not in names:
        raise SettingsError(f"choose returned {name!r}; it must return one of {', '.join(names)}.")
    return str(name)


def _called(choose: object) -> str:
    return f"chosen by {getattr(choose, '__qualname__', type(choose).__name__)}"
