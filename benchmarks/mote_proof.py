"""Does it find what is known to be there, and say so when nothing is? The planted model, its control, and from scratch.

    python benchmarks/mote_proof.py                        # the two shipped models: a minute or two
    python benchmarks/mote_proof.py --from-scratch 0 1 2   # and one model trained for each seed: minutes each

In the planted model six experts refuse, and it is known which. Its control refuses as well, by attention. A model from
scratch learns to refuse with all its weights, and nobody knows where that ends up: its figures are reported as they
come. Everything is chosen on train prompts and judged on held-out ones; shares with 95 % Wilson intervals.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from mote_backend import planted
from mote_backend.ftri.behaviour import first_token
from mote_backend.ftri.contrast import contrast
from mote_backend.ftri.perplexity import reply_perplexity
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.random_masks import usage_of
from mote_backend.ftri.replies import Replies
from mote_backend.ftri.selection import select
from mote_backend.judging.judges import AnswerJudge
from mote_backend.judging.refusals import RefusalJudge
from mote_backend.planted.words import REFUSALS
from mote_backend.verdict.judge_mask import judge_mask
from mote_backend.verdict.panels import Panel

WORLD = planted.World()
RIGHT = AnswerJudge({one.text: one.truth for kind in ("sensitive", "near", "plain") for one in WORLD.questions(kind)})


def spread(prompts: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly over the list."""
    count = min(count, len(prompts))
    return [prompts[at * len(prompts) // count] for at in range(count)]


def panel(kind: Any, judge: Any, count: int = 96) -> Panel:
    """Held-out questions of one kind, in all templates."""
    return Panel(PromptSet(kind, tuple(spread([one.text for one in WORLD.questions(kind, "held_out")], count))), judge)


def prove(name: str, model: Any, tokenizer: Any, known: Sequence[tuple[int, int]]) -> None:
    """fTRI, selection and verdict of one model, in a few lines."""
    print(f"{name}:", flush=True)
    sensitive, plain = WORLD.prompts("sensitive", "train"), WORLD.prompts("plain", "train")
    table = contrast(model, tokenizer, sensitive, plain).table
    refusal = first_token(tokenizer, REFUSALS)
    harmless = [*spread(plain, 8), *spread(WORLD.prompts("near", "train"), 8)]
    off = select(model, tokenizer, spread(sensitive, 16), harmless, refusal, table)
    border = spread(WORLD.prompts("borderline", "train"), 16)
    on = select(model, tokenizer, border, harmless, refusal, table, switch="on")
    mask = off.mask or table.mask(4)
    assert table.model is not None
    replies = Replies(model, tokenizer, max_tokens=12, batch_size=128)
    plainly = spread([{"prompt": one.text, "reply": one.truth} for one in WORLD.questions("plain", "held_out")], 96)
    verdict = judge_mask(
        off if off.mask else mask,
        replies,
        table.model,
        panel("sensitive", RefusalJudge()),
        panel("plain", RIGHT),
        borderline=panel("borderline", RefusalJudge()),
        forced=on if on.mask else None,
        others=[panel("near", RIGHT)],
        right=RIGHT,
        usage=usage_of(table),
        perplexity=reply_perplexity(model, tokenizer, PromptSet("plain", tuple(plainly)), replies),
    )
    first = {(row.layer, row.expert) for row in table.top(6)}
    if known:
        print(
            f"  planted experts among the first 6 of {len(table)}: {len(first & set(known))} of {len(known)}, wanted 4"
        )
    chosen = ", ".join(f"{layer}.{expert}" for layer, expert in off.order) or "none (judged: the first 4 of the table)"
    print(f"  selected: {chosen}, after {off.seconds:.1f} s; {off.stop}")
    print(f"  refusals on held-out sensitive prompts: {verdict.behaviour.before} -> {verdict.behaviour.after}")
    shares = verdict.curve[-1].random
    if shares:
        mean = sum(shares) / len(shares)
        print(f"  under {len(shares)} random masks of the same size, layers and use: {100 * mean:.1f} % on average")
    if verdict.right is not None:
        print(f"  of the replies then, factually right: {verdict.right.after}")
    for one in (verdict.benign, *verdict.others):
        print(f"  right on {one.name} prompts: {one.before} -> {one.after}")
    if verdict.perplexity is not None:
        bare, masked = verdict.perplexity
        print(f"  perplexity of the right replies on plain prompts: {bare:.3f} -> {masked:.3f}")
    if verdict.forced is not None:
        forced = verdict.forced
        words = "more" if forced.specific else "no more"
        print(f"  borderline, forced on: {forced.panel.before} -> {forced.panel.after}; {words} than by random experts")
    print(f"  verdict: {verdict.word}", flush=True)


def main() -> None:
    """Judge the shipped models, and those from scratch that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-scratch", type=int, nargs="*", default=[], metavar="SEED")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where models from scratch are, or go, by seed")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")) + ", 1 thread, seed 0")
    prove("planted", *planted.load(), planted.experts())
    prove("control, which refuses by attention", *planted.load("unplanted"), ())
    with tempfile.TemporaryDirectory() as scratch:
        for seed in chosen.from_scratch:
            folder = (chosen.keep or Path(scratch)) / f"s{seed}"
            if not (folder / "planted.json").exists():
                from mote_backend.planted.recipe import PLANTED, emergent
                from mote_backend.planted.training import train

                print(f"training seed {seed} …", file=sys.stderr, flush=True)
                train(seed, emergent(PLANTED), folder)
            from mote_backend.chat.loading import Source, load

            prove(f"from scratch, seed {seed}", *load(Source(str(folder), dtype="float32", device="cpu")), ())


if __name__ == "__main__":
    main()
