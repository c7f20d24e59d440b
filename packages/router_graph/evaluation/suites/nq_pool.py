"""Natural Questions and the recorded replies of Router-R1's six models: which to ask, and what to make of the replies.

A reply is known for the whole question alone, so each model is asked that. Neither prompts nor latency were recorded:
costs are of completion tokens, in units (tokens × USD per million).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

from router_graph.errors import EvaluationError
from router_graph.evaluation.comparing import Sort
from router_graph.evaluation.controls import CONTROLS
from router_graph.evaluation.learned import Turns, learner
from router_graph.evaluation.metrics import exact_match
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.published import NQ
from router_graph.evaluation.questions import Question, fingerprint, read_questions, rows_of, stated
from router_graph.evaluation.suites.suite import Suite, data_folder, file_mark, resources_mark, split_file
from router_graph.policies.cascade import Cascade, chain_of, load
from router_graph.policies.cascade.fitting import fit_cascades
from router_graph.policies.policy import Policy
from router_graph.policies.replies import answer_in
from router_graph.pool.card import Measured, ModelCard
from router_graph.pool.pool import ModelPool
from router_graph.pool.transports.replay import ReplayTransport
from router_graph.resources import Resources

LIMITS = (35, 45, 60, 90, 130, 200)
"""Units per question that the cascades of the frontier may cost on the train split."""
_MOST = 100
"""Train questions whose replies the handbook and the kNN are learned from, each under every model."""


@contextmanager
def opened(
    data: Path | None,
    split: str,
    *,
    limit: int | None = None,
    frontier: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Suite]:
    """The suite of a split. With `frontier`, cascades are fitted on the train split for other limits of the cost too.

    Raises `EvaluationError`.
    """
    folder = data_folder(data, "nq_pool")
    path = split_file(folder, "replies", split)
    questions = read_questions(path)[:limit]
    train = folder / "replies.train.jsonl"
    replay = ReplayTransport.load([*dict.fromkeys(one for one in (train, path) if one.is_file())])
    cards, measured = _cards(replay, train)
    pool = ModelPool(cards, transports={"replay": replay}, retries=0)
    learn, notes = learner(train, questions, gold=stated, turns=_each_model, most=_MOST)
    more = [*_extraction(cards), *(_frontier(train, cards, say) if frontier else ())]
    singles = tuple(f"direct:{card.name}" for card in cards)
    resources = Resources((), pool=pool, policy="cheapest", policies=[*(kind() for kind in CONTROLS), *more])
    yield Suite(
        name="nq-pool",
        title=f"Natural Questions {split}: the recorded replies of Router-R1's six models",
        questions=questions,
        resources=resources,
        policies=("cascade", *(one.name for one in more)),
        simple=("cheapest", "random", "strongest", "prompt-length", "support", "escalate", *singles),
        headline="em",
        cost="cost_units",
        facts={
            "split": split,
            "questions": fingerprint(one.text for one in questions),
            "replies": file_mark(path),
            "measured": measured,
            "resources": resources_mark(resources),
        },
        notes=(
            "Published rows are on all 500 questions, of which these are a part; their prompts differ from those of "
            "the recorded replies, and so do their costs.",
            "Costs are of completion tokens alone; prompts and latency were not recorded.",
            "Selection alone is the kNN's row, reading alone that of the cascade's first model.",
            *([] if measured else ["There is no train split: the strongest model is the dearest."]),
            *notes,
        ),
        learn=learn,
        extra=lambda outcomes: _bounds(questions, {one: outcomes[one] for one in singles if one in outcomes}),
        published=NQ,
    )


def _cards(replay: ReplayTransport, train: Path) -> tuple[list[ModelCard], bool]:
    """The cards, with how often each model is right on the train split, if there is one."""
    cards = replay.cards()
    if not train.is_file():
        return cards, False
    right: dict[str, int] = dict.fromkeys((card.id for card in cards), 0)
    asked = 0
    for _, row in rows_of(train):
        asked += 1
        for model, reply in row["responses"].items():
            if model in right:
                right[model] += bool(exact_match(answer_in(reply["text"]), row["golden_answers"]))
    on = Measured(right=0, asked=asked, on="NQ train", date=date(2026, 1, 1))
    return [one.model_copy(update={"measured": on.model_copy(update={"right": right[one.id]})}) for one in cards], True


def _extraction(cards: Sequence[ModelCard]) -> Iterator[Policy]:
    """What reading alone gives: the cascade's first model, its reply read, and nobody else asked."""
    fitted = load()
    if chain := chain_of({card.name: card for card in cards}, fitted.chain[:1]):
        policy = Cascade(replace(fitted, chain=fitted.chain[:1], stops=()), chain=chain)
        policy.name = "first of the cascade alone"
        yield policy


def _frontier(train: Path, cards: Sequence[ModelCard], say: Callable[[str], None]) -> Iterator[Policy]:
    if not train.is_file():
        raise EvaluationError(f"There is no {train.name} to fit the frontier on.")
    say(f"Cascades are fitted on {train.name} for {len(LIMITS)} limits; this takes a minute or two.")
    rows = [row for _, row in rows_of(train)]
    for units, fitted in zip(LIMITS, fit_cascades(rows, cards, [one / 1e6 for one in LIMITS]), strict=True):
        policy = Cascade(fitted, chain=chain_of({card.name: card for card in cards}, fitted.chain))
        policy.name = f"cascade, limit {units}"
        yield policy


def _each_model(resources: Resources) -> Turns:
    assert resources.pool is not None
    return [{"policy": f"direct:{name}"} for name in resources.pool.cards]


def _bounds(
    questions: Sequence[Question], singles: Mapping[str, Sequence[Outcome]]
) -> dict[str, tuple[Sort, list[Outcome]]]:
    """The oracle: of the models that are right the cheapest; where none is, the cheapest."""
    if not singles:
        return {}

    def best(place: int) -> Outcome:
        question, runs = questions[place], [runs[place] for runs in singles.values()]
        return min(runs, key=lambda run: (-exact_match(run.answer, question.gold.answers), run.cost_units))

    return {"oracle": ("bound", [best(place) for place in range(len(questions))])}
