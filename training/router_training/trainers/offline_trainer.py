"""TRL's SFTTrainer with the loss of a policy that learns from a log. Only its public places are overridden."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from router_training.errors import DataError
from router_training.trainers.anchor import Drift, drift, logprobs_of_rows
from router_training.trainers.collate import Collator, spread
from router_training.trainers.config import Awr, OfflineGrpo, Rft
from router_training.trainers.losses import clipped, summed, token_logprobs, weighted


class OfflineTrainer(SFTTrainer):
    """Learns from rows of `router_training.trainers.rows`.

    The loss is over the trained tokens of an update, on all processes and over all its pieces: what is fed in one
    batch, in four pieces or on two processes gives the same gradient. Tokens that are not trained have none.
    """

    loss_is_scaled_for_ga = True  # type: ignore[assignment]  # TRL's None is one of three values

    def __init__(self, *args: Any, objective: Rft | Awr | OfflineGrpo, sampled_at: float = 1.0, **kwargs: Any) -> None:
        tokenizer = kwargs["processing_class"]
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        kwargs.setdefault("data_collator", Collator(pad or 0, objective.normalise))
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # so that transformers counts the tokens of an update
        self.objective: Rft | Awr | OfflineGrpo = objective
        self.sampled_at = sampled_at
        self.stopped: str | None = None
        """Why training ended early, if it did."""
        self.drifts: list[Drift] = []
        """Where the policy stood at the start, and after each epoch."""
        self._anchors: list[Tensor] = []
        self._seen: defaultdict[str, list[Tensor]] = defaultdict(list)
        if isinstance(objective, OfflineGrpo):
            self.add_callback(_Anchoring(self))

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one piece of an update."""
        logprobs = token_logprobs(model, inputs, temperature=self.sampled_at)
        losses = self._losses(logprobs, inputs, is_trained=model.training)
        everywhere = num_items_in_batch is not None
        count = num_items_in_batch if everywhere else (inputs["labels"] != -100).sum()
        loss = summed(
            losses,
            inputs["mask"],
            self.objective.normalise,
            count=count,
            pieces=self.current_gradient_accumulation_steps if model.training else 1,
            longest=self.objective.longest,
        )
        if everywhere and self.objective.normalise != "bnpo":
            loss = loss * self.accelerator.num_processes  # whose gradients are averaged
        if model.training:
            self._note("logprob", logprobs.detach(), inputs["mask"])
        return (loss, {"loss": loss}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means since the last time, over all processes."""
        if any(name.startswith("eval_") for name in logs):
            return super().log(logs, start_time)
        for name, parts in self._seen.items():
            total, count = self.accelerator.reduce(torch.stack(parts).sum(0), reduction="sum")
            logs[name] = float(total / count.clamp(min=1))
        self._seen.clear()
        super().log(logs, start_time)

    def anchor(self) -> None:
        """Hold what follows to the policy as it is now, and see how far it has gone; `stopped` says if too far."""
        objective = self.objective
        if not isinstance(objective, OfflineGrpo):
            return
        accelerator, rows = self.accelerator, cast(Any, self.train_dataset)
        share = logprobs_of_rows(
            self.model_wrapped,
            rows,
            cast(Any, self.data_collator),
            batch_size=self.args.per_device_train_batch_size,
            device=accelerator.device,
            temperature=self.sampled_at,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        now = [one for _, one in sorted(dict(gather_object(share)).items())]
        behaviour = [torch.tensor(one) for one in rows["logprobs"]]
        if objective.anchor == "epoch" or not self._anchors:
            self._anchors = now if objective.anchor == "epoch" else behaviour
        self.drifts.append(gone := drift(now, behaviour))
        self.log({"ess": gone.ess, "kl": gone.kl})
        if gone.ess < objective.least_ess:
            self.stopped = (
                f"the log's effective share of samples is {gone.ess:.2f} under the policy, less than "
                f"{objective.least_ess:g}; record with the new policy, and go on from there"
            )
        elif gone.kl > objective.most_kl:
            self.stopped = (
                f"the policy has gone {gone.kl:.2f} nats per token from the one that logged, more than "
                f"{objective.most_kl:g}; record with the new policy, and go on from there"
            )

    def _losses(self, logprobs: Tensor, inputs: dict[str, Tensor], *, is_trained: bool) -> Tensor:
        objective, behaviour, weight = self.objective, inputs["behaviour"], inputs["weight"]
        if not isinstance(objective, OfflineGrpo):
            return weighted(logprobs, weight)
        if not is_trained:  # of held-out rows: the gain by truncated importance weights, nothing clipped
            return clipped(logprobs, logprobs, behaviour, weight, most_weight=objective.most_weight)
        anchor = spread(inputs["mask"], [self._anchors[row] for row in inputs["row"].tolist()])
        self._note("ratio", torch.exp(logprobs.detach() - anchor), inputs["mask"])
        return clipped(
            logprobs,
            anchor,
            behaviour,
            weight,
            low=objective.clip_low,
            high=objective.clip_high,
            most_weight=objective.most_weight,
        )

    def _note(self, name: str, values: Tensor, mask: Tensor) -> None:
        self._seen[name].append(torch.stack([(values * mask).sum(), mask.sum()]))


class _Anchoring(TrainerCallback):
    """Anchors the policy when training begins, and anew after each epoch."""

    def __init__(self, trainer: OfflineTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first update, or the first after a checkpoint."""
        self._trainer.anchor()
        if self._trainer.stopped:
            raise DataError(f"Nothing can be learned from this log: {self._trainer.stopped}.")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The next epoch has its anchor here, so that training can be stopped before it begins."""
        self._trainer.anchor()
        control.should_training_stop |= self._trainer.stopped is not None
