"""Episodes of a policy while it is trained: the real graph, run with its live weights."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from langgraph.graph.state import CompiledStateGraph

from mote_backend import ChatTransformers
from mote_backend.evaluating import await_own_mode
from router_graph.context import RouterContext
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.policy import Means, Policy
from router_graph.pool import ModelCard, ModelPool
from router_graph.protocols.protocol import Protocol
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from router_training.errors import DataError
from router_training.trainers.episode_config import EpisodeConfig

Graph = CompiledStateGraph[Any, Any, Any, Any]
Graphs = Callable[[Policy], Callable[[RunRecord], Graph]]
"""For a policy: the graph in which the question of a recorded run is asked again."""
_AT_ONCE = 32
_PATIENCE_S = 3600.0
"""For a reply: a model that is trained beside others may be slow, and is not to be given up for it."""
_EPISODE = "episode"


class Sampled(ChatPolicy):
    """Writes each reply freely, token by token, so that the log-probs of its tokens are those of what was drawn.

    `local:FOLDER` draws among the legal options alone; where a trained policy writes nothing else, that is the same.
    """

    def _options(self, view: View, protocol: Protocol, means: Means) -> dict[str, Any]:
        drawn = hashlib.sha256(f"{view.seed}/{len(view.steps)}".encode()).digest()
        return {**super()._options(view, protocol, means), "seed": int.from_bytes(drawn[:4])}


class Player:
    """Runs episodes, many at once, and reads them from a log of their own that is then thrown away.

    One event loop serves all updates, as connections of a pool belong to theirs. Close it.
    """

    def __init__(self, graphs: Graphs, config: EpisodeConfig) -> None:
        self._graphs, self._config = graphs, config
        self._runner = asyncio.Runner()
        self._model: ChatTransformers | None = None
        self._graph_of: Callable[[RunRecord], Graph] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()
        if self._model is not None:
            self._model.engine().close()

    def play(self, model: Any, tokenizer: Any, asked: Sequence[RunRecord], seeds: Sequence[int]) -> list[RunRecord]:
        """An episode of each question with its seed, in their order, by the model as it is now.

        One that broke off outside of the graph's own care has no steps. Raises `DataError` where all did.
        """
        if self._graph_of is None:
            self._graph_of = self._graphs(self._policy(model, tokenizer))
        with tempfile.TemporaryDirectory() as folder:
            with Recorder(folder, redact=None, strict=True, sync="never") as recorder:
                problems = self._runner.run(self._all(self._graph_of, recorder, asked, seeds))
            await_own_mode(model)  # the engine answers before it lets go of the model, which is trained next
            if problems and len(problems) == len(asked):
                raise DataError(f"No episode could be run: {problems[0]}")
            found = {run.metadata[_EPISODE]: run for run in read_runs(folder)}
        lost = (RunRecord(f"lost-{n}", 0.0, metadata={**run.metadata}) for n, run in enumerate(asked))
        return [found.get(n, gone) for n, gone in enumerate(lost)]

    def _policy(self, model: Any, tokenizer: Any) -> Sampled:
        spoken, longest = self._config.policy, self._config.longest_reply
        chat = ChatTransformers(
            model=(model, tokenizer), temperature=self._config.temperature, max_tokens=longest, max_batch=_AT_ONCE
        )
        card = {
            "name": spoken.name,
            "transport": "chat_model",
            "price": "free",
            "concurrency": _AT_ONCE,  # what comes together is sampled in one batch
            "timeout_s": _PATIENCE_S,
            "max_tokens": longest,
        }
        pool = ModelPool()
        pool.add(ModelCard.model_validate(card), transport=chat)
        policy = Sampled(pool, spoken.name, streams=False)
        policy.speaks = spoken.protocol
        self._model = chat
        return policy

    async def _all(
        self,
        graph_of: Callable[[RunRecord], Graph],
        recorder: Recorder,
        asked: Sequence[RunRecord],
        seeds: Sequence[int],
    ) -> list[str]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(place: int, run: RunRecord, seed: int) -> None:
            about = {**run.metadata, "question_id": run.question_id, _EPISODE: place}
            async with room:
                await graph_of(run).ainvoke(
                    _given(run),
                    config={"callbacks": [recorder], "metadata": about},
                    context=RouterContext(seed=seed, explore=0.0),
                )

        came = await asyncio.gather(
            *(one(n, run, seed) for n, (run, seed) in enumerate(zip(asked, seeds, strict=True))),
            return_exceptions=True,
        )
        for error in came:
            if isinstance(error, BaseException) and not isinstance(error, Exception):
                raise error
        return [str(error) or type(error).__name__ for error in came if error is not None]


def _given(run: RunRecord) -> Mapping[str, Any]:
    return {"question": run.question, "images": list(run.images)} if run.images else {"question": run.question}
