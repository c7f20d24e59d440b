"""What the offline trainer costs beside a bare loop over the same batches: the project asks for 1.15 times at most.

    python benchmarks/train_offline.py [--samples 512] [--prompt 160] [--reply 24] [--batch 16] [--rounds 5]

Both do the same updates of the same model: forward, loss of the reply's tokens, backward, AdamW, one clip of the
gradient. They take turns in one process, each begins from the same weights, and the median of their ratios counts. It
is of CPU seconds on one thread, which other work on the machine disturbs least. Collating is in both; loading,
checks and saving are in neither.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from router_training.data.samples import Sample
from router_training.trainers.arguments import arguments
from router_training.trainers.collate import Collator
from router_training.trainers.config import OfflineConfig, Rft
from router_training.trainers.environment import quieten
from router_training.trainers.rows import dataset, row

VOCABULARY = 600


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=160)
    parser.add_argument("--reply", type=int, default=24)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    quieten(threads=1)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=told.width,
        intermediate_size=2 * told.width,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    start = Qwen2ForCausalLM(config)
    rows = made(told.samples, told.prompt, told.reply)
    print(
        f"{sum(one.numel() for one in start.parameters()) / 1e6:.2f} M parameters, {told.samples} samples of "
        f"{told.prompt} + {told.reply} tokens, batches of {told.batch}, torch {torch.__version__}, 1 thread"
    )
    ratios = []
    for number in range(told.rounds + 1):
        ours, loss, updates = trained(copy.deepcopy(start), rows, told.batch)
        bare, plain = looped(copy.deepcopy(start), rows, told.batch)
        if number == 0:  # warms up
            print(f"same loss: {loss:.6f} and {plain:.6f} as the mean of {updates} updates")
            assert abs(loss - plain) < 1e-3 * plain
            continue
        ratios.append(ours / bare)
        print(f"round {number}: trainer {ours:.2f} CPU-s, bare loop {bare:.2f} CPU-s, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f}); at most 1.15")


def made(count: int, prompt: int, reply: int) -> list[dict[str, Any]]:
    """Rows of random tokens, a fifth longer or shorter."""
    dice = random.Random(0)

    def ids(length: int) -> list[int]:
        return [dice.randrange(VOCABULARY) for _ in range(dice.randint(length * 4 // 5, length * 6 // 5))]

    return [
        {**row(Sample(f"r{at}", 1, f"q{at}", "answer", ids(prompt), ids(reply), None)), "row": at}
        for at in range(count)
    ]


def trained(model: Any, rows: list[dict[str, Any]], batch: int) -> tuple[float, float, int]:
    """CPU seconds in the trainer's own loop, its mean loss, and how many updates it made."""
    from trl.trainer.sft_config import SFTConfig

    from router_training.trainers import loading
    from router_training.trainers.offline_trainer import OfflineTrainer

    with tempfile.TemporaryDirectory() as folder:
        config = OfflineConfig(
            trl={
                "per_device_train_batch_size": batch,
                "num_train_epochs": 1,
                "learning_rate": 1e-3,
                "lr_scheduler_type": "constant",
                "train_sampling_strategy": "sequential",
                "use_cpu": True,
            }
        )
        args = arguments(SFTConfig, config, Path(folder), len(rows), dataset_kwargs={"skip_prepare_dataset": True})
        trainer = OfflineTrainer(
            model=model,
            args=args,
            train_dataset=dataset(rows),
            processing_class=word_tokenizer(),
            objective=Rft(),
        )
        loading.own_progress(trainer)
        began = time.process_time()
        outcome = trainer.train()
        return time.process_time() - began, outcome.training_loss, outcome.global_step


def looped(model: Any, rows: list[dict[str, Any]], batch: int) -> tuple[float, float]:
    """CPU seconds of a loop without a trainer, and its mean loss."""
    collate = Collator(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    model.train()
    began, losses = time.process_time(), []
    for at in range(0, len(rows), batch):
        told = collate(rows[at : at + batch])
        logits = model(
            input_ids=told["input_ids"],
            attention_mask=told["attention_mask"],
            logits_to_keep=told["kept"] - 1,
            use_cache=False,
        ).logits.float()
        said = told["input_ids"][:, told["kept"]]
        logprobs = logits.log_softmax(-1).gather(-1, said[..., None])[..., 0]
        loss = -(logprobs * told["mask"]).sum() / told["mask"].sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return time.process_time() - began, statistics.mean(losses)


def word_tokenizer() -> Any:
    """A tokenizer that the trainer asks for, and nobody uses."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"w{number}": number for number in range(VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1"
    )


if __name__ == "__main__":
    main()
