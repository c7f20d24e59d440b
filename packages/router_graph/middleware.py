"""A model of the pool for each call of LangChain's `create_agent`, under one budget. Needs the extra `agents`."""

from __future__ import annotations

import operator
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, cast, get_args

from langchain_core.messages import AIMessage
from langgraph.config import get_config
from langgraph.types import Command, Overwrite
from typing_extensions import TypedDict

from router_graph.accounts import Accounts
from router_graph.budget import PICO, Budget
from router_graph.errors import BudgetExceededError, MissingExtraError, SettingsError
from router_graph.events import VERSION
from router_graph.ledger import Entries, Purpose, merge_entries
from router_graph.limits import TOO_DEAR
from router_graph.model_choice import Choose, Needs, chooser, masked_models
from router_graph.pool.card import ModelCard, Privacy
from router_graph.pool.chat_model import PoolChatModel
from router_graph.pool.pool import ModelPool
from router_graph.tab import Tab

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ContextT,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        PrivateStateAttr,
        ResponseT,
    )
except ImportError as error:
    raise MissingExtraError(
        "RouterMiddleware needs LangChain's agents; install them with: pip install 'polyroute[agents]'"
    ) from error

SPENT = "The budget of this conversation is spent, so I stop here."
"""What the agent says where not even its answer can be paid."""
_ENOUGH = 64
"""Tokens of a last answer that would do, where the budget does not pay for a longer one."""


class ModelDecision(TypedDict):
    """Which model was chosen for a call, and why."""

    message: str
    """The id of the reply."""
    chosen: str
    """Empty where none could be asked."""
    served: str
    """The model that replied: the chosen one, or its fallback."""
    why: str
    alternatives: dict[str, float]
    """The models that could have been chosen, each with about what the call would cost, in USD."""
    masked: dict[str, str]
    """Those that could not, each with the reason."""
    left_usd: float | None
    """What was left of the budget before the call; None is no limit."""
    usd: float
    """What the call took, with failed calls before it."""
    tokens: int


class RoutedState(AgentState[ResponseT]):
    """What the middleware adds to an agent's state."""

    ledger: NotRequired[Annotated[Entries, merge_entries]]
    model_decisions: NotRequired[Annotated[list[ModelDecision], operator.add]]
    router_account: NotRequired[Annotated[str, PrivateStateAttr]]


class RouterMiddleware(AgentMiddleware[RoutedState[ResponseT], ContextT, ResponseT]):
    """Chooses a model of the pool for each call of an agent.

    agent = create_agent(pool.as_chat_model("fast"), tools, middleware=[RouterMiddleware(pool, budget=Budget(usd=1))])

    `choose` is "cheapest", "strongest", `Escalation(…)`, or a function of the request and the cards that may be chosen,
    which returns a name. It is only offered models that can do what the call needs (tools, pictures, the length), that
    the budget pays for, that are not resting, and whose privacy is in `privacy`. `models` are those to choose from;
    all of the pool, if None. The same holds for their fallbacks.

    The budget is that of a run, or with `per="thread"` of all runs of a thread, which then has to be named. When it is
    spent, a last call without tools uses what `Budget.answer_usd` and its like kept back; where there is nothing, the
    agent says so (`when_spent="say"`), or `BudgetExceededError` is raised (`"raise"`).

    In the result, `model_decisions` tells each choice with its reasons, `ledger` is the bill. While the agent runs,
    each decision is sent as an event of `stream_mode="custom"`. Raises `RouterError` for what cannot be used.
    """

    state_schema = RoutedState  # type: ignore[assignment]

    def __init__(
        self,
        pool: ModelPool,
        choose: Choose | str = "cheapest",
        *,
        models: Sequence[str] | None = None,
        privacy: Collection[Privacy] = get_args(Privacy),
        budget: Budget | None = None,
        per: Literal["run", "thread"] = "run",
        accounts: Accounts | None = None,
        when_spent: Literal["say", "raise"] = "say",
    ) -> None:
        super().__init__()
        if per not in ("run", "thread") or when_spent not in ("say", "raise"):
            raise SettingsError(
                f"per is 'run' or 'thread', when_spent 'say' or 'raise'; not {per!r} and {when_spent!r}."
            )
        if unknown := set(privacy) - set(get_args(Privacy)):
            raise SettingsError(f"privacy names {sorted(unknown)}; known are {', '.join(get_args(Privacy))}.")
        for name in models or ():
            pool.card(name)
        self.tools = []
        self._pool, self._models, self._privacy = pool, models, frozenset(privacy)
        self._choose = chooser(choose, pool)
        self._budget, self._per, self._when_spent = budget or Budget(), per, when_spent
        self._accounts = accounts or Accounts()

    def before_agent(self, state: RoutedState[Any], runtime: object) -> dict[str, Any]:
        """Open the account of the run."""
        if self._per == "run":
            return {"router_account": uuid.uuid4().hex, "ledger": Overwrite({})}
        thread = get_config().get("configurable", {}).get("thread_id")
        if not thread:
            raise SettingsError(
                'A budget per thread needs a thread; invoke the agent with {"configurable": {"thread_id": …}}, '
                "or make the budget one per run."
            )
        return {"router_account": str(thread)}

    async def abefore_agent(self, state: RoutedState[Any], runtime: object) -> dict[str, Any]:
        """Open the account of the run."""
        return self.before_agent(state, runtime)

    def after_agent(self, state: RoutedState[Any], runtime: object) -> None:
        """Close the account of the run; its bill stays in the state."""
        if self._per == "run":
            self._accounts.close(state["router_account"])

    async def aafter_agent(self, state: RoutedState[Any], runtime: object) -> None:
        """Close the account of the run; its bill stays in the state."""
        self.after_agent(state, runtime)

    def wrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], ModelResponse[ResponseT]],
    ) -> ExtendedModelResponse[ResponseT]:
        """Ask the model that is chosen for this call."""
        call = _Call(self, request)
        for purpose in call.purposes:
            try:
                return call.told(handler(call.request(purpose)))
            except BudgetExceededError as error:
                call.short_of = error
        return call.spent()

    async def awrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], Awaitable[ModelResponse[ResponseT]]],
    ) -> ExtendedModelResponse[ResponseT]:
        """Ask the model that is chosen for this call."""
        call = _Call(self, request)
        for purpose in call.purposes:
            try:
                return call.told(await handler(call.request(purpose)))
            except BudgetExceededError as error:
                call.short_of = error
        return call.spent()


class _Call:
    """One call of an agent's model."""

    def __init__(self, router: RouterMiddleware[Any, Any], request: ModelRequest[Any]) -> None:
        self._router, self._request = router, request
        state = cast(RoutedState[Any], request.state)
        self._account = router._accounts.open(state["router_account"], router._budget, entries=state.get("ledger"))
        self._tab = Tab(self._account)
        self._decision = ModelDecision(
            message="", chosen="", served="", why="", alternatives={}, masked={}, left_usd=None, usd=0.0, tokens=0
        )
        self.short_of: BudgetExceededError | None = None

    @property
    def purposes(self) -> list[Purpose]:
        """What the call is tried as: where something is kept back for the answer, the answer comes last."""
        kept = self._router._budget
        has_reserve = kept.answer_usd or kept.answer_tokens or kept.answer_calls
        return ["model", "answer"] if has_reserve else ["model"]

    def request(self, purpose: Purpose) -> ModelRequest[Any]:
        """The request to the chosen model. Raises `BudgetExceededError` where the budget pays for none."""
        router, request = self._router, self._request
        if purpose == "answer":
            request = request.override(tool_choice="none")
        needs = Needs.of(request, max_tokens=_ENOUGH if purpose == "answer" else None)
        left = self._account.left(for_answer=purpose == "answer")["picousd"]
        left_usd = None if left is None else left / PICO
        cards = router._pool.cards
        offered = {name: cards[name] for name in (router._models or cards) if name in cards}
        masked = masked_models(offered, router._pool, needs, privacy=router._privacy, left_usd=left_usd)
        legal = [card for name, card in offered.items() if name not in masked]
        self._decision |= {"masked": masked, "left_usd": left_usd}
        if not legal:
            raise _nobody(masked)
        name, why = router._choose(request, legal)
        self._decision["chosen"], self._decision["why"] = name, why
        self._decision["alternatives"] = {card.name: needs.about_usd(card) for card in legal}
        return request.override(model=self._model(name, legal, purpose))

    def told(self, response: ModelResponse[Any]) -> ExtendedModelResponse[Any]:
        """The response, with the decision and the bill."""
        reply = next(one for one in response.result if isinstance(one, AIMessage))
        spent = self._tab.spent
        decision = ModelDecision(
            **{
                **self._decision,
                "message": reply.id or "",
                "served": str(reply.response_metadata.get("card", "")),
                "usd": spent.usd,
                "tokens": spent.tokens,
            }
        )
        self._request.runtime.stream_writer({"v": VERSION, "type": "model_decision", **decision})
        update = {"ledger": self._account.entries, "model_decisions": [decision]}
        return ExtendedModelResponse(response, Command(update=update))

    def spent(self) -> ExtendedModelResponse[Any]:
        """What is said where the budget pays for no call. Raises `BudgetExceededError`, if it is set to."""
        assert self.short_of is not None
        if self._router._when_spent == "raise":
            raise self.short_of
        facts = {"stop_reason": "budget", "problem": str(self.short_of)}
        return self.told(ModelResponse([AIMessage(SPENT, id=str(uuid.uuid4()), response_metadata=facts)]))

    def _model(self, name: str, legal: Sequence[ModelCard], purpose: Purpose) -> PoolChatModel:
        pool, given = self._router._pool, self._request.model
        able = {card.name for card in legal}
        fallbacks = tuple(one for one in pool.fallbacks.get(name, ()) if one in able)
        options: dict[str, Any] = {"fallbacks": fallbacks, "ledger": self._tab, "purpose": purpose}
        enough = {"enough_tokens": _ENOUGH} if purpose == "answer" else {}
        if isinstance(given, PoolChatModel) and given.pool is pool:  # its temperature and the like are meant
            return given.model_copy(update={"model": name, "params": {**given.params, **enough}, **options})
        return pool.as_chat_model(name, params=enough, **options)


def _nobody(masked: Mapping[str, str]) -> Exception:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in masked.items()) or "the pool is empty"
    if any(reason.startswith(TOO_DEAR) for reason in masked.values()):
        error = BudgetExceededError(f"The budget pays for no model ({reasons}); give a larger one.")
        error.field = "picousd"
        return error
    return SettingsError(f"No model can be asked ({reasons}).")
