"""What a method would train on, as people can look at it: each sample with the part of it that is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from router_training.data.samples import Left
from router_training.trainers.config import Dpo, Kto, OfflineConfig
from router_training.trainers.pairs import pairs
from router_training.trainers.rows import Judged, check_labels, rows

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One sample as a method takes it."""

    tokens: Ids
    mask: Ids
    """1 for each token that is trained; as long as `tokens`."""
    title: str
    facts: dict[str, float] = field(default_factory=dict)

    def spans(self, decode: Callable[[list[int]], str]) -> list[tuple[str, bool]]:
        """Its text in pieces that are trained, or not."""
        found: list[tuple[list[int], bool]] = []
        for token, trained in zip(self.tokens, self.mask, strict=True):
            if not found or found[-1][1] != bool(trained):
                found.append(([], bool(trained)))
            found[-1][0].append(token)
        return [(decode(ids), trained) for ids, trained in found]


def lessons(judged: Sequence[Judged], config: OfflineConfig, left: Left) -> list[Lesson]:
    """What the method of the settings takes of these samples; what it leaves out is counted. Raises `DataError`."""
    match config.objective:
        case Dpo() as goal:
            made = pairs(judged, margin=goal.margin, most=goal.most_pairs, left=left)
            return [
                Lesson(
                    (*one.prompt_ids, *ids),
                    (*[0] * len(one.prompt_ids), *[1] * len(ids)),
                    title,
                    {"margin": one.margin},
                )
                for one in made
                for title, ids in (("chosen", one.chosen_ids), ("rejected", one.rejected_ids))
            ]
        case Kto() as goal:
            return [
                _lesson(one, "good" if one.reward > goal.above else "bad", {"reward": one.reward})
                for one in check_labels(judged, goal.above)
            ]
        case goal:
            by_tokens = {(*one.sample.prompt_ids, *one.sample.completion_ids): one for one in judged}
            found = []
            for row in rows(judged, goal, left):
                one = by_tokens[tuple(row["input_ids"])]
                facts = {"reward": one.reward, "advantage": one.advantage, "weight": row["weight"]}
                found.append(Lesson(tuple(row["input_ids"]), tuple(row["loss_mask"]), one.sample.target, facts))
            return found


def shown(found: Sequence[Lesson], count: int = 3) -> list[Lesson]:
    """A few, of as many different titles as there are."""
    picked: dict[str, Lesson] = {}
    for one in found:
        picked.setdefault(one.title, one)
    first = list(picked.values())[:count]
    return [*first, *(one for one in found if one not in first)][:count]


def facts_of(judged: Sequence[Judged], made: Sequence[Lesson], config: OfflineConfig) -> dict[str, Any]:
    """What there is to learn from, and what of it is trained."""
    of_target: dict[str, list[float]] = {}
    groups: dict[Any, set[float]] = {}
    sizes: dict[Any, int] = {}
    for one in judged:
        of_target.setdefault(one.sample.target, []).append(one.reward)
        groups.setdefault(one.state, set()).add(one.reward)
        sizes[one.state] = sizes.get(one.state, 0) + 1
    trl = config.trl
    batch = int(trl.get("per_device_train_batch_size", 8)) * int(trl.get("gradient_accumulation_steps", 1))
    several = 2 if isinstance(config.objective, Dpo) else 1
    return {
        "method": config.objective.method,
        "decisions": len(judged),
        "with_recorded_tokens": sum(one.sample.logprobs is not None for one in judged),
        "states": len(groups),
        "states_of_one": sum(count == 1 for count in sizes.values()),
        "states_with_two_rewards": sum(len(rewards) > 1 for rewards in groups.values()),
        "targets": {
            key: {"decisions": len(rewards), "mean_reward": sum(rewards) / len(rewards)}
            for key, rewards in sorted(of_target.items())
        },
        "trained": len(made) // several,
        "trained_tokens": sum(sum(one.mask) for one in made),
        "longest": max((len(one.tokens) for one in made), default=0),
        "updates_per_epoch": -(-len(made) // several // batch) if made else 0,
    }


def _lesson(one: Judged, title: str, facts: dict[str, float]) -> Lesson:
    prompt, reply = one.sample.prompt_ids, one.sample.completion_ids
    return Lesson((*prompt, *reply), (*[0] * len(prompt), *[1] * len(reply)), title, facts)
