"""A language model as the policy whose choice is drawn from probabilities that are known exactly."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from router_graph.errors import RouterError
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.policy import Act, Means
from router_graph.pool.pool import ModelPool
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.records import Tokens
from router_graph.view import View


class ScoredText(Interface):
    """A continuation with the log-probability of each of its tokens, in nats."""

    @property
    def ids(self) -> Sequence[int]:
        """Its tokens."""
        ...

    @property
    def logprobs(self) -> Sequence[float]:
        """Of each token after those before it."""
        ...


class Scorer(Interface):
    """A chat model that says how likely it is to go on with a text; `mote_backend.ChatTransformers` is one.

    Its calls take `reply_prefix_ids`, and its replies tell `prompt_token_ids`, `token_ids` and `token_logprobs`.
    """

    async def ascore(
        self,
        messages: Sequence[BaseMessage],
        continuations: Sequence[str],
        *,
        reply_prefix_ids: Sequence[int],
        temperature: float,
    ) -> Sequence[ScoredText]:
        """Each continuation of a reply that has begun with these tokens."""
        ...

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        ...


class ScoredPolicy(ChatPolicy):
    """The model thinks; the options that are legal are scored after its thought, all in one batch; one of them is drawn
    from their probabilities, which are logged; then the model writes the query, or the answer.

    The draw depends on the view and its seed alone. At temperature 0 the likeliest option is taken, with propensity 1.
    Where `thinks` is off the thought is empty. In a protocol that cannot say how its options begin, the model writes
    the whole reply, and nothing is known of probabilities. Where what it writes spoils the option, so that the reply
    reads as something else, the probabilities are told, and the propensity of what it came to is not known.
    """

    def __init__(
        self,
        pool: ModelPool,
        model: str,
        *,
        scorer: Scorer,
        thinks: bool = True,
        temperature: float = 0.0,
        most_thought: int = 256,
        identity: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pool, model, temperature=temperature, **options)
        self._scorer, self._thinks, self._temperature = scorer, thinks, temperature
        self._most_thought = most_thought
        self._identity = {"model": "", "tokenizer": "", **(identity or {})}

    @classmethod
    def over(cls, model: BaseChatModel, **options: Any) -> ScoredPolicy:
        """A chat model that is a `Scorer` too, such as `ChatTransformers`; it is local, and costs nothing."""
        return cls.of(model, price="free", scorer=model, **options)

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """Think, draw, write. Raises what `ChatPolicy.act` raises."""
        openings = protocol.openings(view)
        if not openings:
            return await super().act(view, protocol, means)
        weighed = await self._weigh(view, protocol, means, openings)
        if isinstance(weighed, Act):
            return weighed
        keys, chances, said = weighed.keys, weighed.chances, weighed.said
        place = random.Random(_seed(view, "choice")).choices(range(len(keys)), chances)[0]
        said.ids.extend(weighed.scored[place].ids)
        said.logprobs.extend(weighed.scored[place].logprobs)
        prefix = len(said.ids)
        options = {"stop": list(protocol.ends), "seed": _seed(view, "text")}
        reply = await self._write(weighed.messages, said, means, weighed.until, options)
        tokens = self._tokens(_prompt(reply, prefix), said)
        said.add(reply)
        text = AIMessage(self._scorer.text_of(said.ids), response_metadata=_facts(reply))
        came_to = [one.target for one in protocol.read(text, view).actions]
        propensity = chances[place] if came_to == [keys[place]] else None
        return Act(text, dict(zip(keys, chances, strict=True)), propensity, tokens)

    async def chances(self, view: View, protocol: Protocol, means: Means) -> Mapping[str, float] | None:
        """The probability of each legal option at a view, by its key: those that `act` draws from.

        One pass over the prompt and one over all options; no reply is written, but the thought where the policy thinks.
        None where it does not draw from options: the protocol cannot say how they begin, or the reply was whole before
        the choice; what it does there, `act` tells. Raises what `ChatPolicy.act` raises.
        """
        openings = protocol.openings(view)
        weighed = await self._weigh(view, protocol, means, openings) if openings else None
        return dict(zip(weighed.keys, weighed.chances, strict=True)) if isinstance(weighed, _Weighed) else None

    async def _weigh(self, view: View, protocol: Protocol, means: Means, openings: Mapping[str, str]) -> _Weighed | Act:
        """Think, and score the options; an `Act` where the thought was the whole reply."""
        self.check(means)
        messages, said, until = protocol.messages(view), _Said([], []), _until(means)
        before, after = protocol.thinks
        lead = before + after
        if self._thinks and view.must_answer is None and before:
            options = {"stop": [after.strip()], "max_tokens": self._most_thought, "seed": _seed(view, "thought")}
            reply = await self._write(messages, said, means, until, options)
            prompt = _prompt(reply, 0)
            said.add(reply)
            written = self._scorer.text_of(said.ids)
            if before not in written or any(end in written for end in protocol.ends):
                text = AIMessage(written, response_metadata=_facts(reply))
                return Act(text, tokens=self._tokens(prompt, said))
            if not self._scorer.text_of(said.ids[-1:]):
                said.drop_last()  # the token that ended the reply, which goes on
            lead = _rest(written, after)
        keys = list(openings)
        scored = await self._scorer.ascore(
            messages,
            [lead + openings[key] for key in keys],
            reply_prefix_ids=said.ids,
            temperature=self._temperature,
        )
        chances = _chances([sum(one.logprobs) for one in scored], greedy=self._temperature == 0)
        return _Weighed(messages, said, until, keys, scored, chances)

    async def _write(
        self,
        messages: list[BaseMessage],
        said: _Said,
        means: Means,
        until: float | None,
        options: Mapping[str, Any],
    ) -> AIMessage:
        """What the model goes on with."""
        reply = await self._whole(messages, {**options, "reply_prefix_ids": list(said.ids)}, means, until)
        if "token_ids" not in reply.response_metadata:
            raise RouterError(f"The policy's model {self._model!r} does not tell its tokens; ask it as a ChatPolicy.")
        return reply

    def _tokens(self, prompt: list[int], said: _Said) -> Tokens:
        return Tokens(
            prompt_ids=prompt,
            completion_ids=said.ids,
            logprobs=said.logprobs,
            logprob_kind="processed",
            model=self._identity["model"],
            tokenizer=self._identity["tokenizer"],
        )


class _Said:
    """The reply so far, to the token."""

    def __init__(self, ids: list[int], logprobs: list[float]) -> None:
        self.ids, self.logprobs = ids, logprobs

    def add(self, reply: AIMessage) -> None:
        """What the model went on with."""
        self.ids.extend(reply.response_metadata.get("token_ids") or ())
        self.logprobs.extend(reply.response_metadata.get("token_logprobs") or ())

    def drop_last(self) -> None:
        """Take the last token away."""
        del self.ids[-1:], self.logprobs[-1:]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What was thought, and how likely each option is to follow."""

    messages: list[BaseMessage]
    said: _Said
    until: float | None
    """When the step must be over, by `time.monotonic`."""
    keys: list[str]
    scored: Sequence[ScoredText]
    chances: list[float]


def _until(means: Means) -> float | None:
    return None if means.deadline_s is None else time.monotonic() + means.deadline_s


def _seed(view: View, what: str) -> int:
    """Of one draw of a step; different for each, so that they do not depend on each other."""
    seen = repr((view.seed, view.question, len(view.steps), what))
    return int.from_bytes(hashlib.sha256(seen.encode()).digest()[:4])


def _prompt(reply: AIMessage, prefix: int) -> list[int]:
    """The tokens before the reply, which had begun with `prefix` tokens."""
    ids = list(reply.response_metadata.get("prompt_token_ids") or ())
    return ids[: len(ids) - prefix]


def _rest(written: str, after: str) -> str:
    """What is still to be written of the end of the thought."""
    if after.strip() in written:
        return "" if written[-1:].isspace() else after[after.index(after.strip()) + len(after.strip()) :]
    for length in range(len(after), 0, -1):
        if written.endswith(after[:length]):
            return after[length:]
    return after


def _chances(totals: Sequence[float], *, greedy: bool) -> list[float]:
    """The options' probabilities, given that one of them is chosen."""
    best = max(totals)
    if greedy:
        place = totals.index(best)
        return [float(n == place) for n in range(len(totals))]
    weights = [math.exp(one - best) for one in totals]
    return [one / sum(weights) for one in weights]


def _facts(reply: AIMessage) -> dict[str, Any]:
    """What the step keeps of the call; tokens go another way."""
    return {key: reply.response_metadata[key] for key in ("card", "model_name") if key in reply.response_metadata}
