"""Recorded replies in place of models: the same answers and the same bill each time, without a key or a network."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata

from router_graph.errors import CardError, UnrecordedError
from router_graph.pool.card import ModelCard
from router_graph.pool.transport import Request, Transport
from router_graph.pool.transports.record import context_of, normalise_question, question_of

_log = logging.getLogger(__name__)

_Key = tuple[str, str | None]
"""A model's id, and the context of its reply; None is any."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many questions have a recorded reply."""

    asked: int = 0
    found: int = 0


class ReplayTransport(Transport):
    """Answers with what a model was recorded to say to the last human message; `RecordTransport` makes recordings.

    A model is known by its card's `id`. A question is the same as another if `normalise_question` says so. A recording
    with a context answers only where all else that is sent is the same too, but for `max_tokens`; one without answers
    in any context. A reply that is longer than `max_tokens` is none. Where nothing is recorded, raises
    `UnrecordedError`.

    The usage is what was recorded. If that is the completion alone, the prompt counts 0 tokens: the bill then holds
    only what is known. If it is nothing, the pool counts.
    """

    def __init__(self, replies: dict[str, dict[_Key, str]], cards: Iterable[ModelCard] = ()) -> None:
        self._replies = replies
        self._models = {model for of_question in replies.values() for model, _ in of_question}
        self._cards = tuple(cards)
        self._coverage: dict[str, Coverage] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, source: Path | str | Iterable[Path | str]) -> ReplayTransport:
        """Read files of recordings, or all of a folder's `replies*.jsonl`; a folder's `models.jsonl` has the prices.

        Of two recordings of the same reply the later counts: further down, or in the file that is named later. Raises
        `CardError` with file and line.
        """
        given = [source] if isinstance(source, (str, Path)) else source
        files = [file for one in given for file in _files(Path(one))]
        replies: dict[str, dict[_Key, str]] = {}
        for file in files:
            for number, row in _rows(file):
                try:
                    _take(row, replies)
                except ValueError as error:
                    raise CardError(f"{file}, line {number}: {error}") from None
        return cls(replies, _read_cards(dict.fromkeys(file.parent / "models.jsonl" for file in files)))

    def cards(self) -> list[ModelCard]:
        """A card for each model whose price was recorded; empty without `models.jsonl`."""
        return list(self._cards)

    def coverage(self) -> dict[str, Coverage]:
        """How many of the requests up to now had a recorded reply, by model id."""
        with self._lock:
            return dict(self._coverage)

    def covers(self, models: Iterable[str], questions: Iterable[str]) -> dict[str, Coverage]:
        """How many of the questions have a recorded reply in some context, by model id."""
        recorded = [self._replies.get(normalise_question(question), {}) for question in questions]
        said = [{model for model, _ in of_question} for of_question in recorded]
        return {model: Coverage(len(said), sum(model in by for by in said)) for model in models}

    async def complete(self, request: Request) -> AIMessage:
        """The recorded reply. Raises `UnrecordedError`."""
        return self._message(request)

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The recorded reply word by word. Raises `UnrecordedError`."""
        message = self._message(request)
        content = message.content
        if isinstance(content, str):
            for word in re.findall(r"\S+\s*|\s+", content):
                yield AIMessageChunk(content=word)
            content = ""
        yield AIMessageChunk(**{**message.model_dump(exclude={"type"}), "content": content})

    def _message(self, request: Request) -> AIMessage:
        model, question = request.card.id, question_of(request.messages)
        try:
            message = self._find(request, model, question)
        except UnrecordedError:
            self._count(model, found=False)
            raise
        self._count(model, found=True)
        return message

    def _find(self, request: Request, model: str, question: str) -> AIMessage:
        of_question = self._replies.get(normalise_question(question), {})
        asked = f"{model!r} to {_short(question)!r}"
        for context in (context_of(request, cut=True), context_of(request), None):
            if (recorded := of_question.get((model, context))) is not None:
                break
        else:
            raise UnrecordedError(f"No reply of {asked} is recorded: {self._why(model, of_question)}")
        try:
            message = _as_message(json.loads(recorded))
        except (TypeError, ValueError) as error:
            raise UnrecordedError(f"The recorded reply of {asked} is no message: {error}") from error
        said = message.usage_metadata["output_tokens"] if message.usage_metadata else 0
        if said > request.max_tokens:
            raise UnrecordedError(
                f"The recorded reply of {asked} is {said} tokens long, and max_tokens allows {request.max_tokens}."
            )
        return message

    def _why(self, model: str, of_question: dict[_Key, str]) -> str:
        if model not in self._models:
            return f"the model is unknown; known are {', '.join(sorted(self._models)) or 'none'}."
        if not of_question:
            return "the question is unknown."
        if any(model == other for other, _ in of_question):
            return "it was recorded under other messages or parameters."
        return "only other models were asked this."

    def _count(self, model: str, *, found: bool) -> None:
        with self._lock:
            before = self._coverage.get(model, Coverage())
            self._coverage[model] = Coverage(before.asked + 1, before.found + found)


def _files(source: Path) -> Sequence[Path]:
    if not source.is_dir():
        return [source]
    found = sorted(source.glob("replies*.jsonl"))
    if not found:
        raise CardError(f"The folder {source} has no replies*.jsonl; give a folder or file of recorded replies.")
    return found


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file of JSON lines, each with the number of its line."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line) if line.strip() else {}
                except (ValueError, RecursionError) as error:
                    if not line.endswith(b"\n"):
                        _log.warning("%s, line %d is cut off, and left out.", file, number)
                        return
                    raise CardError(f"{file}, line {number} is no JSON ({error}); mend or remove it.") from None
                if not isinstance(row, dict):
                    raise CardError(f"{file}, line {number} is no JSON object; mend or remove it.")
                if row:
                    yield number, row
    except OSError as error:
        raise CardError(f"{file} cannot be read ({error.strerror or error}).") from error


def _take(row: dict[str, Any], replies: dict[str, dict[_Key, str]]) -> None:
    """Add a row's replies. Raises `ValueError`."""
    question, responses = row.get("question"), row.get("responses")
    if not isinstance(question, str) or not isinstance(responses, dict):
        raise ValueError("a recording has a text `question`, and `responses` by model.")
    of_question = replies.setdefault(normalise_question(question), {})
    for model, response in responses.items():
        if not isinstance(response, dict) or not isinstance(response.get("text"), str):
            raise ValueError(f"the response of {model!r} has no `text`.")
        context = response.pop("context", None)
        if not isinstance(context, str | None):
            raise ValueError(f"the context of {model!r} is no text.")
        if type(count := response.get("completion_tokens", 0)) is not int or count < 0:
            raise ValueError(f"completion_tokens of {model!r} is {count!r}, and must be a whole number, 0 or more.")
        # Text is a fraction of the size of parsed objects, and no caller can change it.
        of_question[sys.intern(model), context] = json.dumps(response)


def _as_message(response: dict[str, Any]) -> AIMessage:
    fields = {"content": response["text"], **response.get("message", {})}
    if "usage_metadata" not in fields and "completion_tokens" in response:
        said = response["completion_tokens"]
        fields["usage_metadata"] = UsageMetadata(input_tokens=0, output_tokens=said, total_tokens=said)
    return AIMessage(**fields)


def _read_cards(files: Iterable[Path]) -> list[ModelCard]:
    prices: dict[str, float] = {}
    for file in files:
        for number, row in _rows(file) if file.is_file() else ():
            model, usd = row.get("model"), row.get("usd_per_million_completion_tokens")
            if not isinstance(model, str) or not isinstance(usd, (int, float)):
                raise CardError(
                    f"{file}, line {number}: a row has a `model` and its `usd_per_million_completion_tokens`."
                )
            prices[model] = usd
    names = _names(prices)
    return [
        ModelCard.model_validate(
            {
                "name": names[model],
                "model": model,
                "transport": "replay",
                "price": {"input": 0, "output": usd, "source": "recorded"},
            }
        )
        for model, usd in prices.items()
    ]


def _names(models: Iterable[str]) -> dict[str, str]:
    """A short name for each model that a card may have: the end of its id, or the whole id where ends are alike."""
    names: dict[str, str] = {}
    for model in models:
        for wanted in (model.rsplit("/", 1)[-1], model, *(f"{model[-50:]}-{i}" for i in range(2, 1000))):
            name = re.sub(r"[^A-Za-z0-9._@/-]", "-", wanted).lstrip("._@/-")[-64:].lstrip("._@/-")
            if name and name not in names.values():
                names[model] = name
                break
    return names


def _short(question: str) -> str:
    return question if len(question) <= 80 else question[:79] + "…"
