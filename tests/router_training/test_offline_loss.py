"""The loss of a policy that learns from a log, against TRL's own and against pencil and paper."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOConfig, GRPOTrainer, SFTConfig

from router_training.trainers.collate import Collator, spread
from router_training.trainers.config import OfflineGrpo, Rft
from router_training.trainers.losses import clipped, summed, token_logprobs, weighted
from router_training.trainers.offline_trainer import OfflineTrainer
from router_training.trainers.rows import dataset, row
from support.offline_samples import judged, said, tiny

PLAIN: dict[str, Any] = {
    "bf16": False,
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "activation_checkpointing": False,
    "disable_tqdm": True,
    "per_device_train_batch_size": 12,
}
LONGEST = 32


def noisy_rows() -> tuple[Any, Any, list[dict[str, Any]]]:
    """A model and rows whose recorded log-probs are a little off, as of an older policy."""
    model, tokenizer = tiny()
    generator = torch.Generator().manual_seed(3)
    made = []
    for at, one in enumerate(judged(model, tokenizer)):
        each: dict[str, Any] = {**row(one.sample, one.advantage), "row": at}
        off = 0.3 * torch.randn(len(each["logprobs"]), generator=generator)
        each["logprobs"] = (torch.tensor(each["logprobs"]) + off).tolist()
        start = len(one.sample.prompt_ids)
        if len(each["input_ids"]) > start + 2:  # something that the policy did not say
            each["loss_mask"][start + 1] = 0
            del each["logprobs"][1]
        made.append(each)
    return model, tokenizer, made


def offline(model: Any, tokenizer: Any, rows: list[dict[str, Any]], folder: Path, **objective: Any) -> OfflineTrainer:
    """A trainer whose anchor is the log."""
    args = SFTConfig(
        output_dir=str(folder / "sft"),
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        num_train_epochs=1,
        **PLAIN,
    )
    trainer = OfflineTrainer(
        model=model,
        args=args,
        train_dataset=dataset(rows),  # type: ignore[arg-type]
        processing_class=tokenizer,
        objective=OfflineGrpo(anchor="log", most_weight=1e9, longest=LONGEST, **objective),
    )
    trainer.anchor()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def padded_for_trl(rows: list[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """The same batch as GRPOTrainer has it: prompts padded on the left, replies on the right."""
    starts = [one["loss_mask"].index(1) for one in rows]
    wide, long = max(starts), max(len(one["input_ids"]) - start for one, start in zip(rows, starts, strict=True))
    names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "tool_mask")
    out = {name: torch.zeros(len(rows), wide if "prompt" in name else long, dtype=torch.long) for name in names}
    out["prompt_ids"] += pad
    out["completion_ids"] += pad
    for at, (one, start) in enumerate(zip(rows, starts, strict=True)):
        ids, reply = torch.tensor(one["input_ids"]), len(one["input_ids"]) - start
        out["prompt_ids"][at, wide - start :] = ids[:start]
        out["prompt_mask"][at, wide - start :] = 1
        out["completion_ids"][at, :reply] = ids[start:]
        out["completion_mask"][at, :reply] = 1
        out["tool_mask"][at, :reply] = torch.tensor(one["loss_mask"][start:])
    trained = out["completion_mask"] * out["tool_mask"]
    out["old_per_token_logps"] = spread(trained, [torch.tensor(one["logprobs"]) for one in rows])
    out["advantages"] = torch.tensor([one["weight"] for one in rows])
    out["num_items_in_batch"] = trained.sum()
    return out


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


@pytest.mark.parametrize("normalise", ["grpo", "dr_grpo", "bnpo", "dapo"])
def test_loss_and_gradient_are_those_of_trl_on_the_same_batch(normalise: str, tmp_path: Path) -> None:
    model, tokenizer, rows = noisy_rows()
    other = copy.deepcopy(model)
    ours = offline(model, tokenizer, rows, tmp_path, normalise=normalise)
    batch = ours.data_collator(rows)
    counted = (batch["labels"] != -100).sum()
    ours.model.train()
    loss = ours.compute_loss(ours.model, batch, num_items_in_batch=counted)
    loss.backward()

    trl = GRPOTrainer(
        model=other,
        reward_funcs=[lambda completions, **rest: [0.0] * len(completions)],
        args=GRPOConfig(
            output_dir=str(tmp_path / "grpo"),
            num_generations=3,
            loss_type=normalise,
            max_completion_length=LONGEST,
            **PLAIN,
        ),
        train_dataset=dataset(rows).add_column("prompt", ["-"] * len(rows)),  # type: ignore[arg-type]
        processing_class=tokenizer,
    )
    trl.model.train()
    trl.current_gradient_accumulation_steps = 1
    theirs = trl._compute_loss(trl.model, padded_for_trl(rows, tokenizer.pad_token_id))
    theirs.backward()

    assert loss.item() == pytest.approx(theirs.item(), rel=1e-5)
    apart = (gradients(ours.model) - gradients(trl.model)).norm() / gradients(trl.model).norm()
    assert float(apart) < 1e-4


def test_what_is_not_trained_has_a_gradient_of_exactly_zero(tmp_path: Path) -> None:
    model, tokenizer, rows = noisy_rows()
    trainer = offline(model, tokenizer, rows, tmp_path, clip_low=0.99, clip_high=99.0)
    batch = trainer.data_collator(rows)
    heads: list[torch.Tensor] = []

    def keep(module: Any, given: Any, logits: torch.Tensor) -> None:
        logits.retain_grad()
        heads.append(logits)

    model.lm_head.register_forward_hook(keep)
    trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(40)).backward()
    per_token = heads[0].grad.abs().sum(-1)
    assert per_token.shape == batch["mask"].shape
    assert (batch["mask"] == 0).any()
    assert (per_token[batch["mask"] == 0] == 0).all()
    assert (per_token[(batch["mask"] == 1) & (batch["weight"] != 0)[:, None]] > 0).all()


def test_text_that_is_not_trained_is_read_and_never_judged() -> None:
    model, tokenizer, rows = noisy_rows()
    collate = Collator(tokenizer.pad_token_id)
    at = next(n for n, one in enumerate(rows) if 0 in one["loss_mask"][one["loss_mask"].index(1) :])
    place = rows[at]["loss_mask"].index(0, rows[at]["loss_mask"].index(1))
    before = collate(rows)
    rows[at]["input_ids"] = [*rows[at]["input_ids"]]
    rows[at]["input_ids"][place] = 7
    after = collate(rows)
    assert torch.equal(before["mask"], after["mask"])
    assert torch.equal(before["behaviour"], after["behaviour"])
    with torch.no_grad():
        was, now = token_logprobs(model, before), token_logprobs(model, after)
    assert (was[at] != now[at]).any()
    assert torch.equal(was[at + 1 :], now[at + 1 :])


def test_at_the_start_the_gradient_is_that_of_reinforce_with_a_baseline(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    found = judged(model, tokenizer)
    rows: list[dict[str, Any]] = [{**row(one.sample, one.advantage), "row": at} for at, one in enumerate(found)]
    batch = Collator(tokenizer.pad_token_id)(rows)
    logprobs = token_logprobs(model, batch)
    losses = clipped(logprobs, batch["behaviour"], batch["behaviour"], batch["weight"])
    count = batch["mask"].sum()
    summed(losses, batch["mask"], "dapo", count=count, pieces=1, longest=1).backward()
    ours = gradients(model).clone()
    model.zero_grad()
    plain = token_logprobs(model, batch)
    (-(batch["weight"][:, None] * plain * batch["mask"]).sum() / count).backward()
    # Recorded log-probs are of one row at a time, and so a rounding off.
    assert float((ours - gradients(model)).norm() / gradients(model).norm()) < 1e-4


def test_beyond_the_clip_there_is_no_gradient() -> None:
    now = torch.tensor([[0.5, -0.5, 0.5, -0.5, 0.1]], requires_grad=True)
    anchor = torch.zeros(1, 5)
    clipped(now, anchor, anchor, torch.tensor([1.0])).sum().backward()
    assert now.grad is not None
    assert (now.grad[0] != 0).tolist() == [False, True, False, True, True]
    now.grad = None
    clipped(now, anchor, anchor, torch.tensor([-1.0])).sum().backward()
    assert (now.grad[0] != 0).tolist() == [True, False, True, False, True]


def test_the_distance_from_the_log_is_a_weight_that_is_cut_off() -> None:
    now = torch.zeros(1, 2)
    behaviour = torch.tensor([[-5.0, 0.5]])
    losses = clipped(now, now, behaviour, torch.tensor([1.0]), most_weight=2.0)
    assert losses[0].tolist() == pytest.approx([-2.0, -float(torch.exp(torch.tensor(-0.5)))])


def test_a_token_whose_log_prob_is_minus_infinity_harms_nothing_where_it_is_not_trained() -> None:
    losses = weighted(torch.tensor([[-1.0, -torch.inf]]), torch.tensor([1.0]))
    mask = torch.tensor([[1.0, 0.0]])
    assert float(summed(losses, mask, "dapo", count=torch.tensor(1), pieces=1, longest=1)) == 1.0


def test_log_probs_are_those_of_plain_softmax_whatever_is_beside_them_in_the_batch() -> None:
    model, tokenizer = tiny()
    found = judged(model, tokenizer, temperature=0.7)
    rows: list[dict[str, Any]] = [{**row(one.sample), "row": at} for at, one in enumerate(found)]
    batch = Collator(tokenizer.pad_token_id)(rows)
    with torch.no_grad():
        apart = token_logprobs(model, batch, temperature=0.7) - batch["behaviour"]
    assert float(apart.abs().max()) < 1e-4
    assert found[0].sample.logprobs == said(
        model, found[0].sample.prompt_ids, found[0].sample.completion_ids, temperature=0.7
    )


@given(
    st.lists(st.tuples(st.integers(1, 5), st.lists(st.booleans(), min_size=1, max_size=5)), min_size=1, max_size=5),
)
def test_a_batch_has_every_trained_token_in_its_place(shapes: list[tuple[int, list[bool]]]) -> None:
    rows = []
    for at, (prompt, mask) in enumerate(shapes):
        ids = [100 * at + n for n in range(prompt + len(mask))]
        logprobs = [-float(n) for n, trained in enumerate(mask) if trained]
        rows.append({"input_ids": ids, "loss_mask": [0] * prompt + [*map(int, mask)], "logprobs": logprobs})
        rows[-1] |= {"weight": 1.0, "row": at}
    batch = Collator(0)(rows)
    tokens = batch["input_ids"][:, batch["kept"]]
    for at, one in enumerate(rows):
        trained = [token for token, is_on in zip(one["input_ids"], one["loss_mask"], strict=True) if is_on]
        on = batch["mask"][at] == 1
        assert tokens[at][on].tolist() == trained
        assert batch["behaviour"][at][on].tolist() == one["logprobs"]
        assert batch["behaviour"][at][~on].abs().sum() == 0
    assert int((batch["labels"] != -100).sum()) == sum(sum(one["loss_mask"]) for one in rows)
    assert int((Collator(0, "grpo")(rows)["labels"] != -100).sum()) == len(rows)


def test_rft_is_plain_cross_entropy_over_the_reply() -> None:
    model, tokenizer = tiny()
    one = judged(model, tokenizer)[0].sample
    batch = Collator(tokenizer.pad_token_id, Rft().normalise)([{**row(one), "row": 0}])
    losses = weighted(token_logprobs(model, batch), batch["weight"])
    loss = summed(losses, batch["mask"], "dapo", count=batch["mask"].sum(), pieces=1, longest=1)
    ids = torch.tensor([[*one.prompt_ids, *one.completion_ids]])
    labels = ids.clone()
    labels[:, : len(one.prompt_ids)] = -100
    assert loss.item() == pytest.approx(float(model(ids, labels=labels).loss), rel=1e-6)
