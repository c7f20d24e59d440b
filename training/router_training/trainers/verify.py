"""Whether a log's tokens belong to the model that is to learn from them: looked at before anything is trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from router_training.data.samples import Sample
from router_training.errors import DataError, TokensError
from router_training.trainers.anchor import logprobs_of_rows
from router_training.trainers.collate import Collator
from router_training.trainers.rows import row


@dataclass(frozen=True, slots=True)
class Difference:
    """Between log-probs that were recorded and those of this model, in nats per token."""

    mean: float
    most: float
    samples: int


def check_fits(samples: Sequence[Sample], model: Any, tokenizer: Any) -> None:
    """Raise `DataError` for a sample that is longer than the model takes, `TokensError` for a token it does not have.

    What the config calls the longest text counts, where it says so.
    """
    takes = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    lengths = [len(one.prompt_ids) + len(one.completion_ids) for one in samples]
    if takes and (long := [one for one in lengths if one > takes]):
        raise DataError(
            f"{len(long):,} of {len(samples):,} samples are longer than the {takes:,} tokens that the model takes (the "
            f"longest has {max(long):,}); set data.most_tokens to leave them out, or use a model with more context."
        )
    words = min(len(tokenizer), int(model.get_input_embeddings().weight.shape[0]))
    highest = max(max(*one.prompt_ids, *one.completion_ids) for one in samples)
    if highest >= words:
        raise TokensError(
            f"The log has the token {highest:,}, and this tokenizer with its model knows {words:,}; train with the "
            "tokenizer that the log was made with."
        )


def difference(
    samples: Sequence[Sample], model: Any, *, temperature: float = 1.0, most: int = 64, seed: int = 0
) -> Difference:
    """Of up to `most` samples that have recorded log-probs, drawn at random. Raises `DataError` where none has."""
    told = [one for one in samples if one.logprobs is not None]
    if not told:
        raise DataError(
            "No sample has recorded log-probs to compare the model with; record with a local policy, or train with "
            "rft or awr and without data.verify."
        )
    drawn = told if len(told) <= most else random.Random(seed).sample(told, most)
    rows = [{**row(one), "row": at} for at, one in enumerate(drawn)]
    device = model.get_input_embeddings().weight.device
    now = logprobs_of_rows(model, rows, Collator(0), batch_size=8, device=device, temperature=temperature)
    apart = torch.cat(
        [(new.double() - torch.tensor(rows[at]["logprobs"], dtype=torch.float64)).abs() for at, new in now]
    )
    return Difference(float(apart.mean()), float(apart.max()), len(drawn))


def check_logprobs(
    samples: Sequence[Sample], model: Any, *, temperature: float = 1.0, most_difference: float = 0.05, seed: int = 0
) -> Difference:
    """Raise `TokensError` where the model would not have said what the log says that it said."""
    found = difference(samples, model, temperature=temperature, seed=seed)
    if not found.mean < most_difference:
        raise TokensError(
            f"This model's log-probs are {found.mean:.3g} nats per token from the recorded ones, and "
            f"{most_difference:g} is allowed: the log was sampled with other weights, another tokenizer or another "
            "temperature; train the policy that wrote it and set data.sampled_at to its temperature, or use rft or awr "
            "without data.verify."
        )
    return found
