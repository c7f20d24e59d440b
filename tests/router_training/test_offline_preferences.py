"""DPO and KTO train on the recorded tokens, and on nothing that TRL tokenized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from router_training.data.samples import Left
from router_training.trainers.config import OfflineConfig
from router_training.trainers.dpo import dpo_trainer
from router_training.trainers.kto import kto_trainer
from support.offline_samples import judged, said, tiny

BETA = 0.3


def made(method: str, folder: Path, **trl: Any) -> tuple[Any, list[Any], int]:
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    trl = {"per_device_train_batch_size": 4, "train_sampling_strategy": "sequential", **trl}
    config = OfflineConfig(objective={"method": method, "beta": BETA}, trl=trl)
    common = {"model": model, "processing_class": tokenizer, "peft_config": None, "callbacks": []}
    build = dpo_trainer if method == "dpo" else kto_trainer
    trainer, count = build(samples, config, folder, Left(), common)
    return trainer, samples, count


def batches(trainer: Any) -> list[dict[str, torch.Tensor]]:
    return list(trainer.get_train_dataloader())


def replies(ids: torch.Tensor, mask: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(row[on == 1].tolist()) for row, on in zip(ids, mask, strict=True)}


def test_dpo_reads_the_recorded_ids(tmp_path: Path) -> None:
    trainer, samples, count = made("dpo", tmp_path)
    assert count == 8  # the right reply of each of 4 states against each of 2 wrong ones
    recorded = {tuple(one.sample.completion_ids) for one in samples}
    whole = {(*one.sample.prompt_ids, *one.sample.completion_ids) for one in samples}
    for batch in batches(trainer):
        assert replies(batch["input_ids"], batch["completion_mask"]) <= recorded
        assert replies(batch["input_ids"], batch["attention_mask"]) <= whole
        half = len(batch["input_ids"]) // 2
        right = {tuple(one.sample.completion_ids) for one in samples if one.reward}
        assert replies(batch["input_ids"][:half], batch["completion_mask"][:half]) <= right


def test_dpo_loss_is_that_of_the_paper(tmp_path: Path) -> None:
    trainer, _, _ = made("dpo", tmp_path)
    batch = batches(trainer)[0]
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(0.6931, abs=1e-4)  # log 2 at the start
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.mul_(1.02)
    half = len(batch["input_ids"]) // 2
    gain = []
    for at in range(len(batch["input_ids"])):
        on, seen = batch["completion_mask"][at] == 1, batch["attention_mask"][at] == 1
        ids = batch["input_ids"][at]
        prompt, reply = ids[seen & ~on].tolist(), ids[on].tolist()
        gain.append(sum(said(trainer.model, prompt, reply)) - sum(said(trainer.ref_model, prompt, reply)))
    margins = torch.tensor([gain[at] - gain[at + half] for at in range(half)])
    expected = -F.logsigmoid(BETA * margins).mean()
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected.item(), abs=1e-3)


def test_kto_reads_the_recorded_ids_and_pairs_neighbours_for_its_kl(tmp_path: Path) -> None:
    trainer, samples, count = made("kto", tmp_path)
    assert count == 12
    good = {(*one.sample.prompt_ids, *one.sample.completion_ids): bool(one.reward) for one in samples}
    seen = 0
    for batch in batches(trainer):
        replied = []
        for at, label in enumerate(batch["label"].tolist()):
            whole = tuple(batch["input_ids"][at][batch["attention_mask"][at] == 1].tolist())
            assert good[whole] is label
            replied.append(batch["input_ids"][at][batch["completion_mask"][at] == 1].tolist())
            seen += 1
        for at in range(len(replied)):
            mismatched = batch["KL_input_ids"][at][batch["KL_completion_mask"][at] == 1].tolist()
            assert mismatched == replied[at - 1]
    assert seen == 12


def test_kto_lets_good_and_bad_weigh_the_same(tmp_path: Path) -> None:
    trainer, _, _ = made("kto", tmp_path / "a")
    assert 4 * trainer.args.desirable_weight == 8 * trainer.args.undesirable_weight
    own, _, _ = made("kto", tmp_path / "b", desirable_weight=3.0)
    assert (own.args.desirable_weight, own.args.undesirable_weight) == (3.0, 1.0)
