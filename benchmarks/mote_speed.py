"""What masks cost while a model generates, what recording costs, and what a batch of many masks gains.

    python benchmarks/mote_speed.py

A random Qwen3-MoE of 86 M parameters (12 layers, 64 experts, top 8), fp32, one thread: enough work in a forward for
the ratios to mean something, little enough for a CPU. Each ratio is of two things measured in turn in one run, so that
a slow moment of the machine hits both; the median over the rounds, with a 95 % bootstrap interval. Everything generates
the same number of tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
import torch
from pool_speed import SEED, interval, verdict
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from mote_backend import ExpertMask, Steering, steer
from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.ftri.activity import Accumulator
from mote_backend.ftri.contrast import tabulate
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.recorder import record

LAYERS, EXPERTS, TOP_K, VOCABULARY = 12, 64, 8, 32_768
PROMPT, NEW = 32, 32


def model_of_size() -> Qwen3MoeForCausalLM:
    """Random weights, routers far from uniform."""
    torch.manual_seed(SEED)
    config = Qwen3MoeConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
        num_experts=EXPERTS,
        num_experts_per_tok=TOP_K,
        moe_intermediate_size=128,
        norm_topk_prob=True,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = Qwen3MoeForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("gate.weight"):
                weight.normal_(0, 0.5)
    model.generation_config.eos_token_id = None
    return model


def tokenizer_of_size() -> PreTrainedTokenizerFast:
    """A token a word."""
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3} | {f"w{one}": one for one in range(4, VOCABULARY)}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<bos>")
    made.chat_template = "<bos> {% for m in messages %}{{ m['content'] }} {% endfor %}"
    return made


def in_turn(plain: Callable[[], object], other: Callable[[], object], rounds: int) -> list[float]:
    """other / plain in wall time, a ratio a round; which goes first alternates."""
    plain(), other()
    ratios = []
    for turn in range(rounds):
        seconds = {}
        for one in (plain, other) if turn % 2 else (other, plain):
            gc.collect()
            start = time.perf_counter()
            one()
            seconds[one] = time.perf_counter() - start
        ratios.append(seconds[other] / seconds[plain])
    return ratios


def told(name: str, values: Sequence[float], wanted: str, unit: str = "x", *, held: bool | None = None) -> None:
    """One line of the result."""
    low, high = interval(lambda rows: statistics.median(values[row] for row in rows), len(values))
    ok = "" if held is None else f": {verdict(held=held)}"
    middle = statistics.median(values)
    print(f"  {name}: {middle:.3f} [{low:.3f}, {high:.3f}] {unit}, n = {len(values)}, wanted {wanted}{ok}", flush=True)


def generation(model: Qwen3MoeForCausalLM, rounds: int) -> None:
    """Generation under masks against the bare model."""
    uniform = ExpertMask(off={(layer, expert) for layer in range(LAYERS) for expert in range(4)})
    ten = ExpertMask(off={(layer, 7) for layer in range(10)})
    rows = [ExpertMask(off={(layer, row + one) for layer in range(LAYERS) for one in range(4)}) for row in range(8)]
    for batch in (1, 8):
        ids = torch.randint(4, VOCABULARY, (batch, PROMPT))

        def generated(masks: object, ids: torch.Tensor = ids) -> None:
            with torch.no_grad(), steer(model, masks):  # type: ignore[arg-type]
                model.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)

        def bare(ids: torch.Tensor = ids) -> None:
            with torch.no_grad():
                model.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)

        for name, masks, most in (
            ("attached without a mask", None, 1.02),
            ("10 experts off, in 10 of 12 layers", ten, 1.05),
            ("48 experts off, in all layers", uniform, 1.05),
            ("a mask per row, in all layers", rows[:batch], 1.10),
        ):
            if batch == 1 and isinstance(masks, list):
                continue
            ratios = in_turn(bare, lambda masks=masks: generated(masks), rounds)
            wanted = "1.00" if masks is None else f"at most {most}"
            told(f"generation, batch {batch}, {name}", ratios, wanted, held=statistics.median(ratios) <= most)


def recording(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, rounds: int) -> None:
    """Recording what is routed, against the same forwards."""
    texts = [" ".join(f"w{int(one)}" for one in torch.randint(4, VOCABULARY, (63,))) for _ in range(64)]
    prompts = PromptSet.of(texts, "random")
    ids = tokenizer(["<bos> " + one for one in texts], return_tensors="pt")["input_ids"]

    def plain() -> None:
        with torch.no_grad():
            for start in range(0, len(ids), 16):
                model(input_ids=ids[start : start + 16], logits_to_keep=1, use_cache=False)

    for at in ("last", "sum"):
        ratios = in_turn(plain, lambda at=at: record(model, tokenizer, prompts, at=at, batch_size=16), rounds)
        held = statistics.median(ratios) <= 1.05
        told(f"recording 64 prompts of 64 tokens, at={at!r}", ratios, "at most 1.05", held=held)


def batching(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, rounds: int) -> None:
    """32 calls with eight masks, as one batch and one after another."""
    talk = ChatMoTE(model=(model, tokenizer), max_tokens=NEW, max_batch=32)
    masks = [None, *(ExpertMask(off={(layer, row) for layer in range(LAYERS)}) for row in range(7))]
    texts = [" ".join(f"w{int(one)}" for one in torch.randint(4, VOCABULARY, (PROMPT,))) for _ in range(32)]
    bound = [talk.bind(mote_mask=masks[at % 8]) for at in range(32)]

    def alone() -> None:
        for one, text in zip(bound, texts, strict=True):
            one.invoke(text)

    async def gathered() -> None:
        await asyncio.gather(*(one.ainvoke(text) for one, text in zip(bound, texts, strict=True)))

    ratios = [1 / one for one in in_turn(alone, lambda: asyncio.run(gathered()), rounds)]
    held = statistics.median(ratios) >= 4
    told("32 calls with 8 masks at once, against one after another", ratios, "at least 4", "times as fast", held=held)


def attaching(model: Qwen3MoeForCausalLM) -> None:
    """Attaching, and the first time with the check that every router obeys."""
    times = []
    for _ in range(50):
        start = time.perf_counter()
        steering = Steering(model, check=False)
        times.append((time.perf_counter() - start) * 1e3)
        steering.detach()
    told("attaching", times, "under 10", "ms", held=statistics.median(times) < 10)
    checks = []
    for _ in range(20):
        steering = Steering(model, check=False)
        start = time.perf_counter()
        steering._check()
        checks.append((time.perf_counter() - start) * 1e3)
        steering.detach()
    told("the check by one forward of one token, once for each model, besides", checks, "no more than a token", "ms")


def tables() -> None:
    """The statistics of a model as large as DeepSeek-R1: 58 layers of 256 experts, top 8, 500 + 500 prompts."""
    usual = torch.randn(58, 256, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(SEED)
    selected = []
    for _ in range(2):
        chosen = (usual + torch.randn(500, 58, 256, generator=generator)).topk(8).indices
        selected.append(torch.zeros(500, 58, 256).scatter_(2, chosen, 1.0).flatten(1).numpy())
    times = []
    for _ in range(7):
        start = time.perf_counter()
        both = []
        for stream, rates in enumerate(selected):
            sums = Accumulator([256] * 58, 500, seed=SEED, stream=stream)
            for at in range(0, 500, 16):
                sums.add(rates[at : at + 16], rates[at : at + 16], [1] * len(rates[at : at + 16]))
            both.append(sums.finish(f"set {stream}", "", "last"))
        tabulate(*both)
        times.append(time.perf_counter() - start)
    held = statistics.median(times) < 0.5
    told("statistics of 14,848 experts over 1,000 prompts, sums and table", times, "under 0.5", "s", held=held)


def memory(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Memory while ever more prompts are recorded."""
    process = psutil.Process()

    def prompts(count: int, seed: int) -> PromptSet:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(4, VOCABULARY, (count, 12), generator=generator).tolist()
        return PromptSet.of([" ".join(f"w{one}" for one in row) for row in drawn], "random")

    resident = []
    for count in (256, 512, 1024, 2048):
        record(model, tokenizer, prompts(count, count), at="last", batch_size=32)
        gc.collect()
        resident.append(process.memory_info().rss / 2**20)
    grown = (resident[-1] - resident[1]) * 1024 / (2048 - 512)
    shown = ", ".join(f"{one:.0f}" for one in resident)
    print(f"  memory after 256, 512, 1,024 and 2,048 prompts: {shown} MiB; {grown:.2f} KiB a prompt, wanted flat")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each pair is measured")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "langchain-core"))
    print(f"Python {platform.python_version()}, {names}, {os.cpu_count()} cores, 1 thread, seed {SEED}")
    model, tokenizer = model_of_size(), tokenizer_of_size()
    print(f"{sum(one.numel() for one in model.parameters()) / 1e6:.0f} M parameters")
    attaching(model)
    generation(model, rounds)
    recording(model, tokenizer, rounds)
    batching(model, tokenizer, max(3, rounds // 5))
    tables()
    memory(model, tokenizer)


if __name__ == "__main__":
    main()
