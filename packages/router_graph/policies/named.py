"""Policies by name, as a command line, a file of settings or the context of a turn gives them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_graph.errors import SettingsError
from router_graph.policies.policy import Policy
from router_graph.pool.pool import ModelPool


@dataclass(frozen=True, slots=True)
class _Asked:
    """A name, taken apart."""

    name: str
    detail: str
    """What stands behind the colon; empty if nothing."""
    pool: ModelPool | None
    knowledge: Sequence[str]

    def model(self) -> str | None:
        """The model that it names, if it names one. Raises `RouterError` where the pool has no such model."""
        if not self.detail:
            return None
        if self.pool is None:
            raise SettingsError(
                f"The policy '{self.name}:{self.detail}' names a model, but there is no pool of models."
            )
        return self.pool.card(self.detail).name

    def needs_models(self) -> None:
        """Raise `SettingsError` where there are none."""
        if self.pool is None:
            raise SettingsError(
                f"The policy {self.name!r} asks models, and there is no pool of models; give one, or choose a policy "
                "that asks knowledge bases, such as 'heuristic'."
            )

    def ranking(self) -> list[str] | None:
        """The pool's models, the strongest first."""
        from router_graph.policies.models import strongest_first

        return None if self.pool is None else strongest_first(self.pool.cards)


def _heuristic(asked: _Asked) -> Policy:
    from router_graph.policies.heuristic import Heuristic

    return Heuristic()


def _direct(asked: _Asked) -> Policy:
    from router_graph.policies.models import Direct

    asked.needs_models()
    return Direct(asked.model(), ranking=asked.ranking())


def _kb(asked: _Asked) -> Policy:
    from router_graph.policies.single import OneKnowledgeBase

    if asked.detail not in asked.knowledge:
        raise SettingsError(
            f"There is no knowledge base {asked.detail!r} for the policy 'kb:{asked.detail}'; "
            f"{_near(asked.detail, asked.knowledge)}"
        )
    return OneKnowledgeBase(asked.detail)


def _fanout(asked: _Asked) -> Policy:
    from router_graph.policies.fanout import FanOut

    return FanOut(asked.model())


def _gate(asked: _Asked) -> Policy:
    from router_graph.policies.gate import Gate

    return _learned(asked) if asked.detail else Gate()


def _learned(asked: _Asked) -> Policy:
    from router_graph.policies.learned.saved import SORTS, load

    models = [] if asked.pool is None else list(asked.pool.cards)
    options = [*(f"kb:{name}" for name in asked.knowledge), *(f"llm:{name}" for name in models)]
    return load(asked.detail, SORTS[asked.name], options=options)


def _cheapest(asked: _Asked) -> Policy:
    from router_graph.policies.models import Cheapest

    asked.needs_models()
    return Cheapest()


def _strongest(asked: _Asked) -> Policy:
    from router_graph.policies.models import Strongest

    asked.needs_models()
    return Strongest(asked.ranking())


def _random(asked: _Asked) -> Policy:
    from router_graph.policies.models import RandomModel

    asked.needs_models()
    return RandomModel()


def _prompt_length(asked: _Asked) -> Policy:
    from router_graph.policies.length import PromptLength

    asked.needs_models()
    return PromptLength()


def _escalate(asked: _Asked) -> Policy:
    from router_graph.policies.escalate import Escalate

    asked.needs_models()
    return Escalate()


def _support(asked: _Asked) -> Policy:
    from router_graph.policies.support import Support

    asked.needs_models()
    return Support(ranking=asked.ranking())


def _cascade(asked: _Asked) -> Policy:
    from router_graph.policies.cascade import SHIPPED, Cascade, chain_of, load

    asked.needs_models()
    fitted = load(asked.detail or SHIPPED)
    cards = {} if asked.pool is None else asked.pool.cards
    return Cascade(fitted, chain=chain_of(cards, fitted.chain), ranking=asked.ranking())


def _llm(asked: _Asked) -> Policy:
    from router_graph.policies.chat import ChatPolicy

    model = asked.model()
    if asked.pool is None or model is None:
        raise SettingsError("The policy 'llm:NAME' needs the name of a model of the pool, as in llm:fast.")
    return ChatPolicy(asked.pool, model)


def _local(asked: _Asked) -> Policy:
    from router_graph.policies.local import load_policy

    return load_policy(asked.detail)


POLICIES: dict[str, tuple[str, Callable[[_Asked], Policy]]] = {
    "heuristic": ("no language model: follows the evidence, and cites it", _heuristic),
    "gate": ("one search, whose features decide to stop or to go on; gate:FILE has it fitted", _gate),
    "handbook": ("handbook:FILE, what each source was worth for a kind of question in a log", _learned),
    "knn": ("knn:FILE, what each source was worth for the most similar logged questions", _learned),
    "fanout": ("all knowledge bases at once; fanout:MODEL has a model write the answer", _fanout),
    "kb": ("kb:NAME searches this knowledge base once", _kb),
    "direct": ("no retrieval: the strongest model, or direct:MODEL", _direct),
    "cheapest": ("no retrieval: the cheapest model", _cheapest),
    "strongest": ("no retrieval: the strongest model, or where it cannot answer the next", _strongest),
    "random": ("no retrieval: any model, with logged probabilities", _random),
    "prompt-length": ("no retrieval: the longer the question, the dearer the model", _prompt_length),
    "escalate": ("no retrieval: the cheapest model, and a dearer one where its reply is no short answer", _escalate),
    "support": ("several models at once; the answer that most of them give", _support),
    "cascade": ("a cheap model, and others only where its reply is not sure enough; or cascade:FILE", _cascade),
    "local": ("local:FOLDER, a policy that `polyroute train` has written", _local),
    "llm": ("llm:MODEL, or the model's name alone: this model of the pool decides", _llm),
}
"""The policies that have names: what each does, in a few words, and what makes it."""

_WITH_DETAIL = frozenset({"cascade", "fanout", "gate", "handbook", "knn", "kb", "direct", "local", "llm"})
_ONLY_WITH_DETAIL = frozenset({"handbook", "knn", "kb", "local", "llm"})


def policy_named(spec: str, *, pool: ModelPool | None = None, knowledge: Sequence[str] = ()) -> Policy:
    """The policy of a name: one of `POLICIES`, a model of the pool, or a LiteLLM id such as "openai/gpt-4o-mini".

    `knowledge` are the names of the knowledge bases. Raises `RouterError`, which names the nearest.
    """
    name, colon, detail = spec.partition(":")
    takes_detail = bool(colon) == bool(detail) and (name in _WITH_DETAIL if colon else name not in _ONLY_WITH_DETAIL)
    if name in POLICIES and takes_detail:
        return POLICIES[name][1](_Asked(name, detail, pool, knowledge))
    if pool is not None and spec in pool.cards:
        return _llm(_Asked("llm", spec, pool, knowledge))
    if "/" in spec:
        from router_graph.policies.chat import ChatPolicy

        return ChatPolicy.of(spec)
    raise SettingsError(f"There is no policy {spec!r}; {_near(spec, policy_names(pool, knowledge))}")


def policy_names(pool: ModelPool | None, knowledge: Sequence[str]) -> list[str]:
    """The names that say all of a policy, where these sources are there."""
    plain = [name for name in POLICIES if name not in _ONLY_WITH_DETAIL]
    models = list(pool.cards) if pool is not None else []
    return list(dict.fromkeys([*plain, *(f"kb:{name}" for name in knowledge), *models]))


def _near(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"there is {', '.join(known)}." if known else "there is none."
