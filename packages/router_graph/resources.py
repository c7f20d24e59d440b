"""The live parts of a graph: knowledge bases, pool, policies, protocols, rules, accounts. Never in its state."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from router_graph.accounts import Accounts
from router_graph.context import RouterContext
from router_graph.errors import RouterError, SettingsError
from router_graph.knowledge import Knowledge, Searchable, knowledge_by_name
from router_graph.policies.policy import Policy
from router_graph.pool.pool import ModelPool
from router_graph.protocols.protocol import Protocol
from router_graph.rules import Exclusion, Rules
from router_graph.state import Option

DEFAULTS = RouterContext(policy="heuristic", protocol="tags", max_steps=6, k=5)


class Resources:
    """What the nodes of one graph share. Made once; safe to use from many runs at once.

    `policy` and `protocol` are names, or objects of your own; `policies` are more that a turn's context can name.
    `defaults` is what a turn's context leaves open. Raises `RouterError` for names that nothing has.
    """

    def __init__(
        self,
        knowledge: Iterable[Knowledge | Searchable] | Mapping[str, Any] = (),
        *,
        pool: ModelPool | None = None,
        policy: Policy | str | None = None,
        protocol: Protocol | str | None = None,
        policies: Iterable[Policy] = (),
        exclusions: Iterable[Exclusion] = (),
        defaults: RouterContext | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.knowledge = knowledge_by_name(knowledge)
        self.pool = pool
        self.accounts = accounts or Accounts()
        for one in (*policies, *(() if policy is None else (policy,))):
            _check_kind(one, Policy, "policy", "ChoicePolicy, with choose(view)")
        if protocol is not None:
            _check_kind(protocol, Protocol, "protocol", "Protocol")
        self._policies = {one.name: one for one in policies}
        self._protocols: dict[str, Protocol] = {}
        given: dict[str, Any] = {} if defaults is None else defaults.model_dump(exclude_none=True)
        if isinstance(policy, Policy):
            self._policies[policy.name] = policy
        if isinstance(protocol, Protocol):
            self._protocols[protocol.name] = protocol
        if policy is not None:
            given["policy"] = policy.name if isinstance(policy, Policy) else policy
        if protocol is not None:
            given["protocol"] = protocol.name if isinstance(protocol, Protocol) else protocol
        self.defaults: dict[str, Any] = {**DEFAULTS.model_dump(), **given}
        self.rules = Rules(exclusions, knowledge=self.knowledge, pool=pool)
        self.check(self.defaults)

    def policy(self, name: str) -> Policy:
        """The policy of a name. Raises `RouterError`, which names the nearest."""
        found = self._policies.get(name)
        if found is None:
            from router_graph.policies import policy_named

            found = self._policies[name] = policy_named(name, pool=self.pool, knowledge=list(self.knowledge))
        return found

    def protocol(self, name: str) -> Protocol:
        """The protocol of a name. Raises `RouterError`, which names the nearest."""
        found = self._protocols.get(name)
        if found is None:
            from router_graph.protocols import protocol_named

            found = self._protocols[name] = protocol_named(name)
        return found

    def policy_names(self) -> list[str]:
        """The policies that a turn can name as things are; those of files and folders are not among them."""
        from router_graph.policies.named import policy_names

        models = [] if self.pool is None else list(self.pool.cards)
        names = [*policy_names(self.pool, list(self.knowledge)), *(f"direct:{name}" for name in models)]
        return list(dict.fromkeys([*filter(self._can_decide, names), *self._policies]))

    def protocol_names(self) -> list[str]:
        """The protocols that a turn can name."""
        from router_graph.protocols import PROTOCOLS

        return list(dict.fromkeys([*PROTOCOLS, *self._protocols]))

    def settings(self, context: RouterContext | Mapping[str, Any] | None) -> dict[str, Any]:
        """What holds in a turn: its context over the graph's defaults. Raises `SettingsError`."""
        if context is None:
            return self.defaults
        if not isinstance(context, RouterContext):
            context = RouterContext.model_validate(dict(context))
        settings = {**self.defaults, **context.model_dump(exclude_none=True, exclude_unset=True)}
        self.check(settings)
        return settings

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise `RouterError` where the settings name what is not there."""
        self.policy(settings["policy"])
        self.protocol(settings["protocol"])
        if settings["shadow"] is not None:
            self.policy(settings["shadow"])
        for field in ("only", "exclude"):
            for key in settings[field] or ():
                self.check_key(key, field)
        if settings["route"]:
            self.check_key(settings["route"], "route")

    def check_key(self, key: str, field: str) -> None:
        """Raise `SettingsError` for an option that is not there."""
        known = [option["key"] for option in self.menu()]
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}."
            raise SettingsError(f"{field} names {key!r}, which is no option; {hint}")

    def _can_decide(self, name: str) -> bool:
        try:
            self.policy(name)
        except RouterError:
            return False
        return True

    def menu(self) -> list[Option]:
        """All that can be asked, and `answer`, as they are now."""
        options = [
            Option(key=f"kb:{one.name}", description=one.description, modality=one.modality, usd=one.cost_usd)
            for one in self.knowledge.values()
        ]
        if self.pool is not None:
            from router_graph.pool.card import TYPICAL
            from router_graph.pool.price import Usage

            for name, card in self.pool.cards.items():
                usd = card.payable.cost(Usage(*TYPICAL)) / 10**12
                live = self.pool.live(name)
                options.append(Option(key=f"llm:{name}", description=card.describe(live), modality="", usd=usd))
        answer = Option(key="answer", description="Answer, when the answer is there.", modality="", usd=0.0)
        return [*options, answer]


def _check_kind(given: object, kind: type, what: str, base: str) -> None:
    """Raise `SettingsError` for what is no policy, or no protocol, and for one without a name."""
    if isinstance(given, str):
        return
    if isinstance(given, type):
        raise SettingsError(f"{given.__name__!r} is a class; give an object of it, as in {given.__name__}().")
    if not isinstance(given, kind):
        raise SettingsError(
            f"{type(given).__name__!r} is no {what}; give the name of one, or an object of a class under {base}."
        )
    if not isinstance(getattr(given, "name", None), str):
        raise SettingsError(f"{type(given).__name__!r} has no name; give its class one, as in name = 'mine'.")
