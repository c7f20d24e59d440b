"""One request while it runs: its tokens and text so far, and whether it goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from mote_backend.chat.completion import Completion, FinishReason, Piece, Request, Token
from mote_backend.chat.text_stream import Detokenizer, StopSearch

if TYPE_CHECKING:
    from mote_backend.grammar.grammar import Grammar, GrammarState

Listener = Callable[[Piece], None]
"""Called with each piece, on the engine's thread: it must only pass it on."""


class Row:
    """A request on its way through the engine. `future` gets the Completion; cancelling it ends the row."""

    def __init__(self, request: Request, most_tokens: int, grammar: Grammar | None, listener: Listener | None) -> None:
        self.request = request
        self.most_tokens = most_tokens
        self.future: Future[Completion] = Future()
        self.tokens: list[Token] = []
        self.constraint: GrammarState | None = None
        self._grammar = grammar
        self._listener = listener
        self._ended = False

    @property
    def going(self) -> bool:
        """False once it is answered, failed or cancelled."""
        return not self.future.done()

    @property
    def untouched(self) -> bool:
        """Nothing was sampled yet, so that it can start anew."""
        return not self.tokens

    def start(self, tokenizer: Any, end_ids: Collection[int]) -> None:
        """Make ready for the first token."""
        self._end_ids = end_ids
        self._decoder = Detokenizer(tokenizer, skip_special_tokens=self.request.skip_special_tokens)
        self._stops = StopSearch(self.request.sampling.stop)
        self._text: list[str] = []
        self.constraint = self._grammar.start() if self._grammar else None

    def take(self, token: Token) -> None:
        """Go one token on, tell the listener, and end if this was the last."""
        self.tokens.append(token)
        self._ended = token.id in self._end_ids
        if self.constraint is not None:
            self.constraint.advance(token.id)
        text = "" if self._ended else self._stops.push(self._decoder.push(token.id))
        last = self._ended or self._stops.found is not None or len(self.tokens) >= self.most_tokens
        if last and self._stops.found is None:
            text += self._stops.push(self._decoder.flush()) + self._stops.flush()
        if text:
            self._text.append(text)
        if self._listener is not None:
            self._tell(Piece(text, (token,)))
        if last:
            self._finish("stop" if self._ended or self._stops.found is not None else "length")

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if not self.future.done():
            self._settle(lambda: self.future.set_exception(error))

    def _tell(self, piece: Piece) -> None:
        assert self._listener is not None
        try:
            self._listener(piece)
        except Exception:  # nobody listens any more, such as after the event loop was closed
            self.future.cancel()

    def _finish(self, reason: FinishReason) -> None:
        done = Completion(
            text="".join(self._text),
            tokens=tuple(self.tokens),
            prompt_ids=self.request.prompt_ids,
            finish_reason=reason,
            stop=self._stops.found,
            ended=self._ended,
        )
        if not self.future.done():
            self._settle(lambda: self.future.set_result(done))

    def _settle(self, set_: Callable[[], None]) -> None:
        try:
            set_()
        except InvalidStateError:  # cancelled in this moment
            return
