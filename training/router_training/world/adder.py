"""A model of the pool that knows one thing: sums."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata

from router_graph.pool.transport import Request, Transport
from router_training.world.questions import NUMBERS, UNKNOWN

_SUM = re.compile(r"sum of (\w+) and (\w+)")


class Adder(Transport):
    """Says the sum of two numbers in words, and of everything else, or of more than nine, that it is unknown."""

    async def complete(self, request: Request) -> AIMessage:
        """One word."""
        asked = _SUM.search(str(request.messages[-1].text))
        said = UNKNOWN
        if asked and asked[1] in NUMBERS and asked[2] in NUMBERS:
            total = NUMBERS.index(asked[1]) + NUMBERS.index(asked[2])
            said = NUMBERS[total] if total < len(NUMBERS) else UNKNOWN
        usage = UsageMetadata(input_tokens=10, output_tokens=1, total_tokens=11)
        return AIMessage(said, usage_metadata=usage)

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """One word."""
        message = await self.complete(request)
        yield AIMessageChunk(content=message.content, usage_metadata=message.usage_metadata)
