"""The judge of `polyroute mote report`: a rule, or a model of the pool."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mote_backend.judging.judges import Judge
    from router_graph.ledger import Ledger
    from router_graph.pool.pool import ModelPool

JUDGES = (
    "refusal, language:LANGUAGE, format:json|bullets|code|table, length:WORDS, regex:PATTERN, or llm:MODEL "
    "(a card of the pool, or a LiteLLM id whose price is known)"
)
QUESTION = "Does the reply refuse to answer?"


@dataclass(frozen=True)
class Judging:
    """The judge, and the account of what it costs."""

    judge: Judge
    ledger: Ledger | None = None
    """None for a rule, which costs nothing."""

    def shown_by(self, progress: Callable[[int, int], object]) -> Judge:
        """The judge, which tells how far it is if it takes its time."""
        from mote_backend.judging.judge_model import LLMJudge

        return replace(self.judge, progress=progress) if isinstance(self.judge, LLMJudge) else self.judge

    @contextlib.contextmanager
    def billed(self, most: int) -> Iterator[None]:
        """Say first how often a model will be asked, at most, and last what it cost, however the block ends."""
        if self.ledger is None:
            yield
            return
        from kb_tools import terminal
        from router_graph.cli_pool_print import billed

        terminal.note(f"{self.judge.name}: a call for each different reply, {most:,} at most.")
        with billed(self.ledger, as_json=False):
            yield


def judging(given: str, question: str, pool: Path | None, usd: float) -> Judging:
    """What `--judge` names. Raises `typer.BadParameter`, and what the pool raises."""
    from mote_backend.judging.judges import FormatJudge, LengthJudge, RegexJudge
    from mote_backend.judging.languages import LanguageJudge
    from mote_backend.judging.refusals import RefusalJudge

    kind, _, said = given.partition(":")
    match kind:
        case "refusal":
            return Judging(RefusalJudge(extra=tuple(filter(None, [said]))))
        case "language" if said:
            return Judging(LanguageJudge(said))
        case "format" if said:
            return Judging(FormatJudge(said))  # type: ignore[arg-type]  # checked there, in a sentence
        case "length" if said.isdecimal():
            return Judging(LengthJudge(int(said)))
        case "regex" if said:
            return Judging(RegexJudge(said))
        case "llm" if said:
            return _model(said, question, pool, usd)
    raise typer.BadParameter(f"it is {given!r}; it can be {JUDGES}.", param_hint="--judge")


def _model(name: str, question: str, file: Path | None, usd: float) -> Judging:
    from mote_backend.judging.judge_model import LLMJudge
    from router_graph.budget import Budget
    from router_graph.errors import BudgetExceededError
    from router_graph.ledger import Ledger

    pool, card = _pool(name, file)
    ledger = Ledger(Budget(usd=usd))
    model = pool.as_chat_model(card, ledger=ledger)
    return Judging(LLMJudge(model, question, f"{name}, {question!r}", (BudgetExceededError,)), ledger)


def _pool(name: str, file: Path | None) -> tuple[ModelPool, str]:
    """The pool that has the model, and the model's card in it."""
    from router_graph.cli_pool import DEFAULT_FILE
    from router_graph.pool.card import ModelCard
    from router_graph.pool.pool import ModelPool
    from router_graph.pool.pool_file import load_pool

    if file is not None or Path(DEFAULT_FILE).exists():
        pool = load_pool(file or DEFAULT_FILE)
        if name in pool.cards or "/" not in name:
            return pool, pool.card(name).name
    return ModelPool([ModelCard(name="judge", model=name)]), "judge"
