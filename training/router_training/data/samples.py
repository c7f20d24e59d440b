"""Steps of a log as what a policy can learn from: what it saw and what was done, in tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from router_graph.actions import Malformed, Note, action_from_dict
from router_graph.trajectories import forks
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_training.data.rendering import Rendering
from router_training.errors import DataError, TokensError


@dataclass(frozen=True, slots=True)
class Sample:
    """One decision."""

    run_id: str
    number: int
    """Of the step, from 1."""
    question_id: str
    target: str
    """`kb:NAME`, `llm:NAME` or `answer`."""
    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float] | None
    """Of the completion under the policy that logged it; None where it is not known to the token."""
    logprob_kind: Literal["processed", "raw"] | None = None
    """Whether they are of the distribution that was drawn from, or of the bare model; see `Tokens`."""
    model: str = ""
    """A fingerprint of the weights that wrote it; empty where nobody told it."""


@dataclass
class Left:
    """What was left out of a log, and why."""

    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {why}" for why, count in self.counts.most_common()) or "nothing"


def samples(
    runs: Iterable[RunRecord],
    rendering: Rendering,
    *,
    most_tokens: int | None = None,
    left: Left | None = None,
    among: Container[tuple[str, int]] | None = None,
    without: Container[tuple[str, int]] = (),
) -> Iterator[Sample]:
    """The decisions of these runs, in order: those `among` the given (run_id, number), and not those of `without`.

    Recorded tokens are taken where they were made by this tokenizer; else the action is written anew. What is left out
    is counted in `left`: replies of several routes, replies that are no action, steps whose routes have not come back,
    answers that were forced out of the policy's hands, of forks what the policy did not do there, and what is longer
    than `most_tokens`.
    """
    left = left or Left()
    for run in runs:
        taken_over = forks.steps_taken_over(run)
        for record in run.steps:
            place = run.run_id, record.number
            if place in without or (among is not None and place not in among):
                continue
            is_own = record.number > taken_over and record.step["decision"]["policy"] != forks.POLICY
            if (reason := _unfit(record) if is_own else "of a fork up to where it was forked") is not None:
                left.counts[reason] += 1
                continue
            sample = _sample(run, record, view_at(run, record.number), rendering)
            if most_tokens is not None and len(sample.prompt_ids) + len(sample.completion_ids) > most_tokens:
                left.counts[f"longer than {most_tokens:,} tokens"] += 1
                continue
            yield sample


def _unfit(record: StepRecord) -> str | None:
    actions = record.step.get("actions", [])
    decision = record.step["decision"]
    if decision["problem"] or not record.step.get("reply"):
        return "where the policy failed"
    if len(actions) != 1:
        return "of several routes at once"
    action = action_from_dict(actions[0])
    if isinstance(action, Malformed):
        return "that are no action"
    if isinstance(action, Note):
        return "that ask nobody"
    return None if record.is_whole else "whose route has not come back"


def _sample(run: RunRecord, record: StepRecord, view: View, rendering: Rendering) -> Sample:
    action = action_from_dict(record.step["actions"][0])
    tokens = record.call["tokens"] if record.call else None
    prompt = rendering.prompt(view)
    place = run.run_id, record.number, run.question_id, action.target
    if tokens is not None and tokens["prompt_ids"] == prompt:
        drawn = tokens["completion_ids"], tokens["logprobs"], tokens["logprob_kind"], tokens["model"]
        return Sample(*place, prompt, *drawn)
    return Sample(*place, prompt, rendering.reply(record.step.get("thought", ""), action, view), None)


def check_lengths(found: Iterable[Sample], context: int) -> None:
    """Raise `DataError` where a sample is longer than the model takes, with how many are and the longest."""
    lengths = [len(one.prompt_ids) + len(one.completion_ids) for one in found]
    long = [one for one in lengths if one > context]
    if long:
        raise DataError(
            f"{len(long):,} of {len(lengths):,} samples are longer than the {context:,} tokens that the model takes "
            f"(the longest has {max(long):,}); set data.most_tokens to leave them out, or use a model with more "
            "context."
        )


def check_ratios(found: Sequence[Sample], weights: str = "") -> None:
    """Raise `TokensError` where recorded log-probs are none to divide by: of the bare model, while the replies were
    drawn from another distribution, or of other weights than those of this fingerprint. Without one, of weights nothing
    is said.
    """
    raw = sum(one.logprob_kind == "raw" for one in found)
    if raw:
        raise TokensError(
            f"{raw:,} of {len(found):,} samples have log-probs of the bare model, and not of the distribution that "
            "they were drawn from, which a ratio needs; have the sampler tell those (vLLM: --logprobs-mode "
            "processed_logprobs), or train with rft or awr."
        )
    others = Counter(one.model for one in found if one.logprobs is not None and one.model not in ("", weights))
    if weights and others:
        named = ", ".join(others)
        raise TokensError(
            f"{others.total():,} of {len(found):,} samples were written by other weights ({named}) than those that are "
            f"to be trained ({weights}), and a ratio needs the same; give the model that wrote the log, train with rft "
            "or awr, or say data.verify=false if they differ in nothing but how they are saved."
        )


def check_tokens(run: RunRecord, tokenizer: str) -> None:
    """Raise `TokensError` where the run's tokens were made by another tokenizer than the one of this fingerprint."""
    for record in run.steps:
        tokens = record.call["tokens"] if record.call else None
        if tokens is not None and tokens["tokenizer"] and tokens["tokenizer"] != tokenizer:
            raise TokensError(
                f"The run {run.run_id} was sampled with the tokenizer {tokens['tokenizer']}, and this one is "
                f"{tokenizer}; train the policy that wrote the log, or pass --retokenize to use its text alone."
            )
