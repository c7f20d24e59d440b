"""An episode as rows of tokens, of which those that the policy sampled are told from all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from router_graph.trajectories.records import RunRecord, Tokens

ENVIRONMENT = 0
"""In place of a step's number, for tokens that the policy did not write."""


@dataclass(slots=True)
class Row:
    """What a model reads in one go. The lists after the first are as long as each other."""

    prompt_ids: list[int]
    completion_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    """Of the sampler, in nats; 0 for tokens that the policy did not write."""
    steps: list[int] = field(default_factory=list)
    """The number of the step that wrote the token, from 1; `ENVIRONMENT` for an observation or a template."""

    def wrote(self, number: int, tokens: Tokens) -> None:
        """Go on with a reply."""
        ids = tokens["completion_ids"]
        self.completion_ids += ids
        self.logprobs += tokens["logprobs"] or [0.0] * len(ids)
        self.steps += [number] * len(ids)

    def read(self, ids: list[int]) -> None:
        """Go on with what came of it."""
        self.completion_ids += ids
        self.logprobs += [0.0] * len(ids)
        self.steps += [ENVIRONMENT] * len(ids)


def calls_of(run: RunRecord) -> Iterator[tuple[int, Tokens]]:
    """Each reply of the policy that is known to the token, with the number of its step."""
    for record in run.steps:
        tokens = record.call["tokens"] if record.call else None
        if tokens is not None and tokens["completion_ids"] and tokens["prompt_ids"]:
            yield record.number, tokens


def rows_of(run: RunRecord) -> list[Row]:
    """The fewest rows in which each reply stands behind exactly the tokens that it was sampled behind.

    Where the prompt of a call goes on, token by token, from the prompt and the reply before it, the call goes on in the
    same row, with an environment's tokens between; where it was rendered anew, as most protocols do at each step, a row
    begins. A causal model gives each reply the same log-probs either way.
    """
    rows: list[Row] = []
    for number, tokens in calls_of(run):
        prompt = tokens["prompt_ids"]
        so_far = [*rows[-1].prompt_ids, *rows[-1].completion_ids] if rows else []
        if rows and prompt[: len(so_far)] == so_far:
            rows[-1].read(prompt[len(so_far) :])
        else:
            rows.append(Row(list(prompt)))
        rows[-1].wrote(number, tokens)
    return rows
