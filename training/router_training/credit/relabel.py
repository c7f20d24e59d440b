"""One log, many budgets: what the same run would have looked like with another budget, other prices, or without a
source, and how far it would still have gone as it did (hindsight relabelling, as in SeqRoute).

The decisions stay what they were; the state before each changes: what was left, what was too dear, what the menu says.
A run that could not have gone on is cut there, or dropped. What was true only of the old state goes: probabilities,
the tokens of the prompt, the replay id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from router_graph import limits
from router_graph.actions import Route
from router_graph.budget import PICO, picodollars
from router_graph.policies.closing import NOTHING
from router_graph.pool.card import TYPICAL, ModelCard
from router_graph.pool.price import Usage
from router_graph.state import Decision, Left, Observation, Option, Step, StopReason
from router_graph.trajectories.records import RunRecord, StepRecord
from router_training.errors import ConfigError
from router_training.rewards.facts import answer_of, option_of, taken
from router_training.rewards.reward import digest

_LIMITS = ("usd", "tokens", "seconds", "max_steps")
_DUE = (limits.TOO_DEAR, limits.DUE)


@dataclass(frozen=True, slots=True)
class World:
    """What else could have held. What is None stays as it was. Raises `ConfigError` for what cannot be."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    max_steps: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    """By option: what a typical call costs now, in USD. What calls cost goes along."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """By option: what the menu says of it now. A model's card states its price, so that another price needs another
    text; `World.of_cards` writes both."""
    without: Collection[str] = ()
    """Options that are not on the menu."""

    def __post_init__(self) -> None:
        for name in _LIMITS:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"A budget's {name} is above 0, or left out, and not {value!r}.")
        for key, usd in self.prices.items():
            if not 0 <= usd < float("inf"):
                raise ConfigError(f"The price of {key} is in USD, 0 or more, and not {usd!r}.")
        if "answer" in self.without:
            raise ConfigError("A run can always answer; leave out sources only.")

    @classmethod
    def of_cards(cls, cards: Iterable[ModelCard], **limits: Any) -> World:
        """Models as these cards have them; a card's `model_copy(update={"price": …})` reprices it."""
        given = list(cards)
        usd = {f"llm:{one.name}": one.payable.cost(Usage(*TYPICAL)) / PICO for one in given}
        return cls(prices=usd, descriptions={f"llm:{one.name}": one.describe() for one in given}, **limits)


def relabel(run: RunRecord, world: World, *, over: Literal["cut", "drop"] = "cut") -> RunRecord | None:
    """The run as the world would have it; None where nothing of it would have happened.

    Where it would have run out, or asked what it could not ask, `over` says: "cut" keeps the steps before, as a run
    that is open, whose steps can be judged and whose end cannot; "drop" gives None. It has an id of its own, and
    `metadata["relabelled"]` says of what. Raises `ConfigError` where a model's price changes and the menu would still
    state the old one.
    """
    _check(run, world)
    facts = {**asdict(world), "without": sorted(world.without)}
    settings = {**run.settings, **{n: v for n in _LIMITS if (v := getattr(world, n)) is not None}}
    menu = tuple(_repriced(one, world) for one in run.menu if one["key"] not in world.without)
    account = _Account(run, settings)
    kept: list[StepRecord] = []
    whole = True
    for record in run.steps:
        step = _step(record.step, run, menu, world, account)
        if step is None:
            whole = False
            break
        kept.append(StepRecord(run.run_id, step, record.at, None))
        account.book(step)
        is_last = record is run.steps[-1]
        if answer_of(step) is None and (step["decision"]["forced"] is not None) != (is_last and run.status == "ended"):
            whole = False  # the graph would have answered here, or would not have
            break
    if not kept or (not whole and over == "drop"):
        return None
    identity = f"{run.run_id}~{digest(facts)}"
    changed = replace(
        run,
        run_id=identity,
        menu=menu,
        settings=settings,
        metadata={**run.metadata, "relabelled": {"run": run.run_id, **facts}},
        steps=tuple(replace(one, run_id=identity) for one in kept),
        usd=account.picousd / PICO,
        tokens=account.tokens,
    )
    if whole and run.stop_reason is not None:
        said: StopReason = "no_answer" if run.answer.startswith(NOTHING) else "answered"
        return replace(changed, stop_reason=kept[-1].step["decision"]["forced"] or said)
    if whole:
        return changed
    return replace(changed, status="open", answer="", citations=(), stop_reason=None, ended_at=None)


class _Account:
    """What was spent so far, and what is left of it. Money is counted as the ledger does, in whole picodollars."""

    def __init__(self, run: RunRecord, settings: Mapping[str, Any]) -> None:
        self.picousd, self.tokens = 0, 0
        self.settings = settings
        self.steps: list[Step] = []
        self._reserve = _reserve(run)

    def book(self, step: Step) -> None:
        picousd, tokens = _cost(step)
        self.picousd += picousd
        self.tokens += tokens
        self.steps.append(step)

    def left(self) -> Left:
        usd, tokens, seconds = (self.settings.get(name) for name in ("usd", "tokens", "seconds"))
        asks = sum(any(one["kind"] in ("kb", "llm") for one in step.get("actions", ())) for step in self.steps)
        for_routes = None if usd is None else picodollars(usd) - picodollars(self._reserve * usd)
        return Left(
            steps=max(0, self.settings.get("max_steps", 6) - asks),
            usd=None if for_routes is None else max(0, for_routes - self.picousd) / PICO,
            tokens=None if tokens is None else max(0, tokens - int(tokens * self._reserve) - self.tokens),
            seconds=None if seconds is None else max(0.0, seconds - limits.elapsed_s(self.steps)),
        )

    def after(self, step: Step) -> float:
        """What is left for routes when the step is booked, in USD."""
        left = self.left()["usd"]
        return float("inf") if left is None else left - _cost(step)[0] / PICO

    def overdrawn(self, step: Step) -> bool:
        """Whether the budget would not have paid for the step; the answer's reserve pays only where that is due."""
        picousd, read = _cost(step)
        usd, tokens, seconds = (self.settings.get(name) for name in ("usd", "tokens", "seconds"))
        kept = 0.0 if step["decision"]["forced"] else self._reserve
        return (
            (usd is not None and self.picousd + picousd > picodollars(usd) - picodollars(kept * usd))
            or (tokens is not None and self.tokens + read > tokens - int(tokens * kept))
            or (seconds is not None and limits.elapsed_s([*self.steps, step]) > seconds)
        )


def _cost(step: Step) -> tuple[int, int]:
    """Picodollars and tokens."""
    parts = [step["decision"], *step.get("observations", {}).values()]
    return sum(picodollars(one["usd"]) for one in parts), sum(one["tokens"] for one in parts)


def _step(step: Step, run: RunRecord, menu: tuple[Option, ...], world: World, account: _Account) -> Step | None:
    """The step in this world; None where it could not have been taken."""
    if any(key in world.without for route, came in taken(step) for key in (route.target, came["served"])):
        return None
    left = account.left()
    masked = {
        key: reason
        for key, reason in step["decision"]["masked"].items()
        if not reason.startswith(_DUE) and key not in world.without
    }
    for option in menu:
        if option["key"] not in ("answer", *masked) and left["usd"] is not None and option["usd"] > left["usd"]:
            masked[option["key"]] = (
                f"{limits.TOO_DEAR}: about ${option['usd']:.2g} a call, and ${left['usd']:.2g} is left"
            )
    due = limits.must_answer(account.settings, left, account.steps, None) or limits.nobody_left(menu, masked)
    due = due or _kept_reason(step["decision"]["forced"])
    if due is not None:
        masked |= {o["key"]: f"{limits.DUE} ({due})" for o in menu if o["key"] not in ("answer", *masked)}
    changed = Step(
        {
            **step,
            "decision": _decision(step["decision"], masked, left, due),
            "observations": {
                position: _retold(_recosted(step, position, one, run, world), step, position, masked)
                for position, one in step.get("observations", {}).items()
            },
        }
    )
    was_masked = step["decision"]["masked"]
    if any(
        came["status"] == "refused" and route.target in was_masked and route.target not in masked
        for route, came in taken(step)
    ):
        return None  # it would have been taken, and nobody knows what would have come of it
    if any(_unpaid(run, route, came) <= account.after(changed) for route, came in taken(step)):
        return None  # and so it would now that it can be paid
    asked = [route for route, came in taken(step) if came["status"] not in ("refused", "repeated")]
    if any(route.target in masked for route in asked) or account.overdrawn(changed):
        return None
    return changed


def _kept_reason(forced: StopReason | None) -> StopReason | None:
    """Why an answer was due that a budget has nothing to do with."""
    return forced if forced in ("repeats", "malformed", "policy_failed") else None


def _decision(decision: Decision, masked: dict[str, str], left: Left, due: StopReason | None) -> Decision:
    return {
        **decision,
        "probabilities": None,
        "propensity": None,
        "masked": masked,
        "left": left,
        "forced": due,
        "replay_id": "",
    }


def _unpaid(run: RunRecord, route: Route, came: Observation) -> float:
    """The price of a search that was not made for want of money: one that fails is paid. NaN for all others."""
    option = option_of(run, route.target)
    was_made = route.kind != "kb" or came["status"] != "failed" or came["usd"] > 0
    return float("nan") if was_made or option is None or option["usd"] == 0 else option["usd"]


def _retold(came: Observation, step: Step, position: str, masked: Mapping[str, str]) -> Observation:
    """A refusal, with the reason that holds now; what was a repetition is refused where nothing may be asked."""
    key = _target(step, position)
    if came["status"] == "repeated" and key in masked:
        return {**came, "status": "refused", "text": f"{key} cannot be asked now: {masked[key]}."}
    if came["status"] != "refused" or key not in masked or key not in step["decision"]["masked"]:
        return came
    return {**came, "text": came["text"].replace(step["decision"]["masked"][key], masked[key])}


def _target(step: Step, position: str) -> str:
    action = step["actions"][int(position)]
    return f"{action['kind']}:{action.get('kb') or action.get('model')}"


def _recosted(step: Step, position: str, came: Observation, run: RunRecord, world: World) -> Observation:
    key = came["served"] or _target(step, position)  # a fallback has its own price
    if key not in world.prices or came["status"] in ("refused", "repeated", "declined"):
        return came
    before = next((one["usd"] for one in run.menu if one["key"] == key), 0.0)
    now = world.prices[key]
    return {**came, "usd": came["usd"] * now / before if before > 0 else now}


def _repriced(option: Option, world: World) -> Option:
    key = option["key"]
    usd = world.prices.get(key, option["usd"])
    return {**option, "usd": usd, "description": world.descriptions.get(key, option["description"])}


def _check(run: RunRecord, world: World) -> None:
    for option in run.menu:
        key = option["key"]
        changes = world.prices.get(key, option["usd"]) != option["usd"]
        if changes and key.startswith("llm:") and key not in world.descriptions and "$" in option["description"]:
            raise ConfigError(f"The card of {key} states its old price; give its new text, as with World.of_cards.")


def _reserve(run: RunRecord) -> float:
    """The share of the budget that only the answer may use: as it was, else as it would be."""
    usd: float | None = run.settings.get("usd")
    first = run.steps[0].step["decision"]["left"]["usd"] if run.steps else None
    if usd and first is not None:
        return min(1.0, max(0.0, round(1 - first / usd, 9)))
    asks_a_model = any(one.call is not None or one.step["decision"]["tokens"] > 0 for one in run.steps)
    return limits.ANSWER_SHARE if asks_a_model else 0.0
