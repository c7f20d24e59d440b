"""What a training run is told: strict settings, whose mistakes read as one sentence (`ConfigError`)."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from router_graph.validation import Settings
from router_training.credit.advantages import By as Scale
from router_training.credit.advantages import Convention
from router_training.credit.assign import By
from router_training.credit.states import By as Sameness
from router_training.errors import ConfigError

Normaliser = Literal["dapo", "bnpo", "grpo", "dr_grpo"]
NAIVE = (
    "Against recorded log-probs (anchor 'log') the clip leaves no gradient once the policy has moved by a fifth from "
    "the one that logged, and what is taken from bad samples goes to tokens that nobody logged; so that is done for "
    "one epoch at most: set num_train_epochs to 1, or anchor to 'epoch'."
)


class Part(Settings):
    """Of these settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    mistake: ClassVar[type[Exception]] = ConfigError  # type: ignore[assignment]  # a tree of errors of its own

    def __init__(self, **told: Any) -> None:
        try:
            super().__init__(**told)
        except ValidationError as error:  # pydantic wraps whatever is a ValueError, as ConfigError is
            raise ConfigError(str(error.errors()[0]["ctx"]["error"])) from None

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As the constructor, from a mapping."""
        return cls(**obj) if isinstance(obj, dict) else super().model_validate(obj, **options)

    def as_json(self) -> dict[str, Any]:
        """For a card: what JSON has no number for is text, which reads back as the same."""
        told: dict[str, Any] = json.loads(self.model_dump_json())
        return told


class Data(Part):
    """Which samples."""

    most_tokens: int | None = Field(default=None, ge=2)
    """Samples longer than this (prompt and reply) are left out, and counted."""
    sampled_at: float = Field(default=1.0, ge=0)
    """Temperature of the sampler that wrote the log; recorded log-probs are of that distribution. 0 is as 1: nothing
    was drawn, and log-probs are the bare model's."""
    verify: bool | None = None
    """Whether recorded log-probs are compared with those of the model that is trained; None: where the method uses
    them."""
    most_difference: float = Field(default=0.05, gt=0)
    """Mean |recorded - recomputed| that is still taken for rounding, in nats per token. 0.05 is for bfloat16 against
    another engine; in float32 on one engine it stays below 1e-4."""


class RewardChoice(Part):
    """Which scores."""

    version: str = ""
    """Of the reward, as its `version` says; goes into the card. The name alone will do where it is clear."""
    whole: str = ""
    """Of the reward of whole runs, where credit is "mixed"; `version` is then that of the steps."""


class Credit(Part):
    """How a sample is compared with others."""

    by: By = "step"
    """What its own step was worth, compared with steps from the same `group`; its whole run ("episode"), compared with
    runs of the same question; or the sum of both ("mixed", GiGPO, arXiv 2505.10978). By step, one without a score of
    its own has its run's."""
    weight: float = Field(default=1.0, ge=0)
    """Of the step beside the episode, where both count."""
    parts: dict[str, float] | None = None
    """By name, with their weights: parts of the steps' scores that are made relative in their groups each on its own,
    and then summed (GDPO, arXiv 2601.05242), in place of the totals."""
    group: Literal["state", "question", "place"] = "state"
    """With which: steps from the same state; all of the same question; those of one number of one question."""
    same: Sameness = "history"
    """When two states are the same; see `router_training.credit.states`."""
    scale: Scale = "group"
    ddof: int = Field(default=1, ge=0, le=1)
    eps: float = Field(default=1e-4, ge=0)

    @property
    def convention(self) -> Convention:
        """How advantages are scaled."""
        return Convention(self.scale, self.ddof, self.eps)


class Summed(Part):
    """How the loss of tokens becomes one number.

    "dapo": the mean over all trained tokens of an update. "grpo": the mean over samples of each one's mean.
    "dr_grpo": the sum over tokens, by samples times `longest`. "bnpo": the mean over the tokens of each micro-batch,
    which depends on how updates are cut up, as it does in TRL. The others do not: gradient accumulation and several
    processes give what one batch gives.
    """

    normalise: Normaliser = "dapo"
    longest: int = Field(default=256, ge=1)
    """For "dr_grpo": TRL's max_completion_length."""


class Rft(Summed):
    """Filtered behaviour cloning: the good samples are imitated, the others left out (RAFT, arXiv 2304.06767)."""

    method: Literal["rft"] = "rft"
    above: float = 0.0
    """A sample is good if its reward is more than this."""
    best_of_state: int | None = Field(default=None, ge=1)
    """And among so many best of its group; equals of the last one are good as well."""
    dedupe: bool = True
    """Whether equal replies to equal prompts count once."""


class Awr(Summed):
    """Each sample weighs exp(advantage / tau), at most `cap` (arXiv 1910.00177)."""

    method: Literal["awr"] = "awr"
    tau: float = Field(default=0.5, gt=0)
    cap: float = Field(default=20.0, gt=0)


class OfflineGrpo(Summed):
    """Decoupled PPO (arXiv 2505.24298, eq. 5) on a log: the clip is around the policy as it was when the epoch began;
    the distance from there to the policy that logged is a truncated weight."""

    method: Literal["offline-grpo"] = "offline-grpo"
    anchor: Literal["epoch", "log"] = "epoch"
    """Around what is clipped: the policy at the start of the epoch, or the one that logged."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    most_weight: float = Field(default=2.0, gt=0)
    """Bound of the weight pi_epoch / pi_log of a token."""
    least_ess: float = Field(default=0.3, ge=0, le=1)
    """Training stops where the log's effective share of samples, under the policy, is less."""
    most_kl: float = Field(default=0.5, gt=0)
    """Training stops where KL(log's policy || policy) is more, in nats per token."""


class Dpo(Part):
    """Preferences between replies to the same state (arXiv 2305.18290), by TRL's `DPOTrainer`."""

    method: Literal["dpo"] = "dpo"
    margin: float = Field(default=0.1, ge=0)
    """Least difference in reward of a pair."""
    most_pairs: int = Field(default=4, ge=1)
    """Of a state."""
    beta: float = Field(default=0.1, gt=0)


class Kto(Part):
    """Good and bad replies without pairs (arXiv 2402.01306), by TRL's `KTOTrainer`."""

    method: Literal["kto"] = "kto"
    above: float = 0.0
    """A sample is good if its reward is more than this."""
    beta: float = Field(default=0.1, gt=0)


Objective = Annotated[Rft | Awr | OfflineGrpo | Dpo | Kto, Field(discriminator="method")]


class Lora(Part):
    """Train an adapter (arXiv 2106.09685) in place of all weights."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"
    merge: bool = True
    """Whether the policy is saved as one model; else as an adapter, which needs its base where it lies now."""


class Save(Part):
    """Checkpoints to resume from."""

    every: int | None = Field(default=None, ge=1)
    """Updates between two; None for none."""
    keep: int = Field(default=2, ge=1)


class Spoken(Part):
    """How the policy is spoken to when it is used."""

    name: str = "trained"
    protocol: str = "tags"
    thinks: bool = False
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=256, ge=1)


class OfflineConfig(Part):
    """A training run from logs."""

    data: Data = Data()
    reward: RewardChoice = RewardChoice()
    credit: Credit = Credit()
    objective: Objective = Rft()
    lora: Lora | None = None
    save: Save = Save()
    policy: Spoken = Spoken()
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Of torch, on a CPU; None leaves them alone."""
    trl: dict[str, Any] = Field(default_factory=dict)
    """Passed to TRL's SFTConfig, DPOConfig or KTOConfig: learning_rate, num_train_epochs,
    per_device_train_batch_size and so on."""

    def problem(self) -> str | None:
        """What is wrong between settings, if anything."""
        goal = self.objective
        epochs = self.trl.get("num_train_epochs", 3)
        if isinstance(goal, OfflineGrpo) and goal.anchor == "log" and not _is_at_most_one(epochs, self.trl):
            return NAIVE
        return None


def _is_at_most_one(epochs: Any, trl: dict[str, Any]) -> bool:
    return isinstance(epochs, int | float) and epochs <= 1 and trl.get("max_steps") in (None, 0, -1)
