"""Choosing the next token of every row of a batch, each in its own way, inside one call of `generate`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from mote_backend.chat.completion import Token
from mote_backend.chat.row import Row
from mote_backend.chat.sampling import Sampling
from mote_backend.errors import MoTEError

_NEVER = float("-inf")
_NO_NUMBERS = (
    "The model's logits are no numbers, which comes of broken weights or of a dtype that is too small: load it anew, "
    "in float32 or bfloat16."
)
_BELOW_ONE = 1 - 2**-50
_COLDEST = 1e-5
"""Below this temperature the most likely token is taken: dividing by it would overflow."""
_Way = tuple[float, float, int, float]


class RowSampler(LogitsProcessor):
    """Draws the tokens itself and leaves only them possible, so that `generate(do_sample=False)` takes them.

    `starts` are the first columns of the rows' prompts, behind their padding. Each row has its own random numbers:
    one for each token, the same on every device, whoever shares the batch.
    """

    def __init__(self, rows: Sequence[Row], starts: Sequence[int], pad_id: int) -> None:
        self._rows = rows
        self._starts = starts
        self._pad_id = pad_id
        self._random = [_generator(row.request.sampling.seed) for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores [rows, vocabulary], of which all but one token of each row become -inf."""
        chosen = [self._pad_id] * len(self._rows)
        going = [at for at, row in enumerate(self._rows) if row.going and self._prepared(at, input_ids, scores)]
        ways: dict[_Way, list[int]] = defaultdict(list)
        for at in going:
            ways[_way(self._rows[at].request.sampling)].append(at)
        for way, members in ways.items():
            logits = scores[members] if len(members) < len(self._rows) else scores
            for at, token in zip(members, self._draw(logits, way, members), strict=True):
                chosen[at] = token.id
                self._take(at, token)
        only = torch.full_like(scores, _NEVER)
        only.scatter_(1, torch.tensor(chosen, device=scores.device)[:, None], 0.0)
        return only  # type: ignore[return-value]

    def _prepared(self, at: int, input_ids: torch.Tensor, scores: torch.Tensor) -> bool:
        """Apply in place what belongs to the row alone. False if it failed, which is told to its request only."""
        row = self._rows[at]
        try:
            if row.constraint is not None:
                row.constraint.mask(scores[at])
            penalty = row.request.sampling.repetition_penalty
            if penalty != 1:
                seen = input_ids[at : at + 1, self._starts[at] :]
                scores[at] = RepetitionPenaltyLogitsProcessor(penalty)(seen, scores[at : at + 1])[0]
        except Exception as error:
            row.fail(error)
            return False
        return True

    def _draw(self, logits: torch.Tensor, way: _Way, members: Sequence[int]) -> list[Token]:
        logits = _warped(logits, way)
        logprobs = logits.log_softmax(-1)
        ids = logits.argmax(-1) if way[0] == 0 else self._sampled(logprobs, members)
        values = logprobs.gather(1, ids[:, None])[:, 0].tolist()
        tops = self._tops(logprobs, members)
        return [Token(*one) for one in zip(ids.tolist(), values, tops, strict=True)]

    def _sampled(self, logprobs: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
        """The inverse of the distribution function at one uniform number for each row."""
        exact = torch.float32 if logprobs.device.type == "mps" else torch.float64
        sums = logprobs.to(exact).exp().cumsum(-1)
        uniform = torch.cat([torch.rand(1, generator=self._random[at], dtype=torch.float64) for at in members])
        at = (uniform * _BELOW_ONE).to(sums)[:, None] * sums[:, -1:]
        ids = torch.searchsorted(sums, at, right=True)[:, 0]
        return torch.where(ids < sums.shape[1], ids, logprobs.argmax(-1))

    def _tops(self, logprobs: torch.Tensor, members: Sequence[int]) -> list[tuple[tuple[int, float], ...]]:
        wanted = [self._rows[at].request.sampling.top_logprobs for at in members]
        most = min(max(wanted), logprobs.shape[1])
        if not most:
            return [()] * len(members)
        values, ids = logprobs.topk(most, dim=-1)
        rows = zip(ids.tolist(), values.tolist(), wanted, strict=True)
        return [
            tuple(pair for pair in zip(ids_[:n], values_[:n], strict=True) if math.isfinite(pair[1]))
            for ids_, values_, n in rows
        ]

    def _take(self, at: int, token: Token) -> None:
        if math.isnan(token.logprob):
            return self._rows[at].fail(MoTEError(_NO_NUMBERS))
        try:
            self._rows[at].take(token)
        except Exception as error:
            self._rows[at].fail(error)


class RowsStop(StoppingCriteria):
    """Ends each row when its request is answered or cancelled, and all of them when the engine closes."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: object) -> torch.BoolTensor:
        """Bools [rows]."""
        done = [not row.going for row in self._rows]
        return torch.tensor(done, device=input_ids.device)  # type: ignore[return-value]


def _way(sampling: Sampling) -> _Way:
    if sampling.temperature < _COLDEST:
        return (0.0, 1.0, 0, 0.0)
    return (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p)


def _warped(logits: torch.Tensor, way: _Way) -> torch.Tensor:
    temperature, top_p, top_k, min_p = way
    warpers = LogitsProcessorList()
    if temperature not in (0, 1):
        warpers.append(TemperatureLogitsWarper(temperature))
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    return warpers(None, logits)  # type: ignore[arg-type]


def _generator(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
