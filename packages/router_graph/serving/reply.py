"""The answer to a request in OpenAI's form: one object, or the chunks of a stream."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from mote_backend.serving.exchange import event_of
from router_graph.serving.errors import told
from router_graph.serving.facts import facts_json, usage_json
from router_graph.serving.request import Asked
from router_graph.serving.run import Run

KEEP_ALIVE_S = 10.0
"""Seconds after which a stream in which nothing happens sends a comment, so that nobody between takes it for dead."""
DONE = "data: [DONE]\n\n"
_PIECE = re.compile(r"\w+|[^\w\s]")
"""A word or a mark: what `max_tokens` counts. Several models may have had a part in an answer, so that it has no
tokens of its own."""


class Reply:
    """What is sent back for one request."""

    def __init__(self, asked: Asked, run: Run) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self._asked, self._run, self._created = asked, run, int(time.time())

    async def whole(self) -> dict[str, Any]:
        """The answer as one object. Raises what `Run.result` does."""
        state = await self._run.result()
        answer, reason = self._cut(state["answer"])
        message = {"role": "assistant", "content": answer, "refusal": None}
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": usage_json(state["ledger"]),
            "polyroute": facts_json(state, seconds=self._run.seconds),
        }

    async def events(self) -> AsyncGenerator[str, None]:
        """The answer as server-sent events: the role once the run has begun, then the answer when it is there. What
        fails before the first is raised; after it, it is told in an event of its own."""
        began = False
        try:
            async for news in self._run.events(every_s=KEEP_ALIVE_S):
                if news is None:
                    if began:
                        yield ": the router is at work\n\n"
                    continue
                if not began:
                    began = True
                    yield self._chunk({"role": "assistant", "content": ""})
                if self._asked.extra.events:
                    yield self._chunk({}, polyroute={"event": news})
            for one in self._end(await self._run.result()):
                yield one
        except Exception as error:
            if not began:
                raise
            yield event_of(told(error)[1])
        yield DONE

    def _end(self, state: dict[str, Any]) -> Iterator[str]:
        answer, reason = self._cut(state["answer"])
        if answer:
            yield self._chunk({"content": answer})
        yield self._chunk({}, reason, polyroute=facts_json(state, seconds=self._run.seconds))
        if self._asked.include_usage:
            usage = {"choices": [], "usage": usage_json(state["ledger"])}
            yield event_of({**self._head("chat.completion.chunk"), **usage})

    def _cut(self, answer: str) -> tuple[str, str]:
        return cut(answer, most=self._asked.most, stops=self._asked.stops)

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **facts: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._asked.include_usage else {}
        return event_of({**self._head("chat.completion.chunk"), "choices": [choice], **usage, **facts})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._asked.model}


def cut(answer: str, *, most: int | None, stops: Sequence[str]) -> tuple[str, str]:
    """The answer as far as the client wants it, and why it ends there: "stop" or "length"."""
    ends = [at for stop in stops if (at := answer.find(stop)) >= 0]
    if ends:
        answer = answer[: min(ends)]
    if most is not None:
        for count, piece in enumerate(_PIECE.finditer(answer)):
            if count == most:
                return answer[: piece.start()].rstrip(), "length"
    return answer, "stop"
