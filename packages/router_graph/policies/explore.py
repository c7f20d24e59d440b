"""Asks somebody else now and then, with a probability that is known: without that, a log of what a policy always does
says nothing about what it never did."""

from __future__ import annotations

import random
from collections.abc import Mapping

from router_graph.actions import Action, Route, RouteToKB, RouteToLLM
from router_graph.limits import asked_before, essence
from router_graph.policies.policy import Act, Means, Policy
from router_graph.pool.card import ModelCard
from router_graph.protocols.protocol import Protocol
from router_graph.view import View


class Exploring(Policy):
    """Another policy; with probability `epsilon`, a route drawn uniformly from the legal ones instead.

    A drawn route asks the other policy's sub-query; the question where there is none, or where it was asked that
    before. Who was asked the question itself before is not drawn. So what can be drawn depends on the view alone, and
    the probabilities are exactly those of the mixture where the other policy's are known; a policy that says propensity
    1 is certain. Where the answer is due, nothing is drawn. The draw depends on the view and its seed alone, so that a
    replay explores alike.
    """

    def __init__(self, policy: Policy, epsilon: float) -> None:
        self.name = policy.name
        self.version = f"{policy.version}+explore{epsilon:g}"
        self.decides_alone = policy.decides_alone
        self.speaks = policy.speaks
        self._policy, self._epsilon = policy, epsilon

    @property
    def card(self) -> ModelCard | None:
        """The other policy's."""
        return self._policy.card

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """What the other policy does, or a route that was drawn."""
        act = await self._policy.act(view, protocol, means)
        actions = protocol.read(act.reply, view).actions
        others = [] if view.must_answer else _routes(view, actions)
        if not others:
            return act
        dice = random.Random(repr((view.seed, view.question, len(view.steps), self.version)))
        drawn = dice.choice(others) if dice.random() < self._epsilon else None
        known = _probabilities(act, actions, view)
        mixed = None
        if known is not None:
            mixed = {key: (1 - self._epsilon) * chance for key, chance in known.items()}
            for route in others:
                mixed[route.target] += self._epsilon / len(others)
        if drawn is None or [drawn.target] == [one.target for one in actions]:
            if mixed is not None:
                known_too = None if act.propensity is None else mixed.get(actions[0].target)
                return Act(act.reply, mixed, known_too, act.tokens)
            return Act(act.reply, None, self._kept(act, actions, others), act.tokens)
        reply = protocol.write(f"To learn what it knows, {drawn.target} was drawn.", [drawn], view)
        if mixed is not None:
            return Act(reply, mixed, mixed[drawn.target])
        # Where it is certain that the other policy does not take this route, the draw alone can bring it about.
        return Act(reply, None, self._epsilon / len(others) if act.propensity == 1.0 else None)

    def _kept(self, act: Act, actions: tuple[Action, ...], others: list[Route]) -> float | None:
        """The probability of the other policy's own reply, which a draw may give as well."""
        if act.propensity is None:
            return None
        drawn = sum([one.target] == [own.target for own in actions] for one in others)
        return (1 - self._epsilon) * act.propensity + self._epsilon * drawn / len(others)


def _routes(view: View, actions: tuple[Action, ...]) -> list[Route]:
    """The routes to draw from, with the query that they would ask."""
    query = next((one.query for one in actions if isinstance(one, RouteToKB | RouteToLLM)), view.question)
    asked = asked_before(view)
    wanted = zip(_each(view, query), _each(view, view.question), strict=True)
    return [plain if essence(one) in asked else one for one, plain in wanted if essence(plain) not in asked]


def _each(view: View, query: str) -> list[Route]:
    evidence = bool(view.evidence)
    routes: list[Route] = [RouteToKB(name, query) for name in view.names("kb")]
    return routes + [RouteToLLM(name, query, evidence=evidence) for name in view.names("llm")]


def _probabilities(act: Act, actions: tuple[Action, ...], view: View) -> Mapping[str, float] | None:
    """Of each legal option, where they are known and one of them was chosen, be it that its text spoiled it."""
    legal = [option["key"] for option in view.legal]
    if len(actions) != 1:
        return None
    if act.probabilities is not None:
        return {key: act.probabilities.get(key, 0.0) for key in legal}
    if act.propensity == 1.0 and actions[0].target in legal:
        return {key: float(key == actions[0].target) for key in legal}
    return None
