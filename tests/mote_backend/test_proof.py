"""The proof that needs no download. On the shipped model, whose refusing experts are known, fTRI finds them and the
selected mask switches refusals off and nothing else; on its control, which refuses by attention, nothing is found."""

from functools import cache

import torch

from mote_backend import planted
from mote_backend.ftri.behaviour import first_token
from mote_backend.ftri.contrast import contrast
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
REFUSES = RefusalJudge()
RIGHT = AnswerJudge({one.text: one.truth for kind in ("sensitive", "near", "plain") for one in WORLD.questions(kind)})


def spread(prompts, count):
    """So many of them, evenly over the list."""
    return [prompts[at * len(prompts) // count] for at in range(count)]


def panel(kind, split, count, judge):
    prompts = [one.text for one in WORLD.questions(kind, split)]
    return Panel(PromptSet(kind, tuple(spread(prompts, min(count, len(prompts))))), judge)


@cache
def found(variant):
    """(fTRI's table, the mask that was selected, the verdict) on one of the shipped models."""
    torch.set_num_threads(1)
    model, tokenizer = planted.load(variant)
    refusal = first_token(tokenizer, REFUSALS)
    table = contrast(model, tokenizer, WORLD.prompts("sensitive", "train"), WORLD.prompts("plain", "train")).table
    harmless = [*spread(WORLD.prompts("plain", "train"), 8), *spread(WORLD.prompts("near", "train"), 8)]
    sensitive, border = (spread(WORLD.prompts(kind, "train"), 16) for kind in ("sensitive", "borderline"))
    off = select(model, tokenizer, sensitive, harmless, refusal, table, max_rows=512)
    on = select(model, tokenizer, border, harmless, refusal, table, switch="on", max_rows=512)
    mask = off.mask or table.mask(4)  # of what is most active, where nothing was found to act
    verdict = judge_mask(
        off if off.mask else mask,
        Replies(model, tokenizer, max_tokens=12, batch_size=128),
        table.model,
        panel("sensitive", "held_out", 48, REFUSES),
        panel("plain", "held_out", 64, RIGHT),
        borderline=panel("borderline", "held_out", 48, REFUSES),
        forced=on if on.mask else None,
        others=[panel("near", "held_out", 32, RIGHT)],
        right=RIGHT,
        usage=usage_of(table),
    )
    return table, off, on, verdict


def test_most_planted_experts_are_among_the_first_six_of_the_table():
    table = found("planted")[0]
    first = {(row.layer, row.expert) for row in table.top(6)}
    assert len(first & set(planted.experts())) >= 4


def test_the_selected_mask_takes_refusals_away_and_what_is_left_is_right():
    verdict = found("planted")[3]
    assert verdict.word == "localised"
    assert verdict.behaviour.change.value <= -0.8
    assert verdict.right.after.value >= 0.8
    assert verdict.benign.change.value >= -0.03


def test_random_masks_of_the_same_size_layers_and_use_hardly_move_refusals():
    verdict = found("planted")[3]
    shares = verdict.curve[-1].random
    assert len(shares) >= 10
    assert verdict.behaviour.before.value - sum(shares) / len(shares) <= 0.05


def test_forced_on_experts_raise_refusals_at_the_border_more_than_random_ones():
    forced = found("planted")[3].forced
    assert forced.panel.change.low > 0
    assert forced.specific
    assert forced.panel.after.value > max(forced.random)


def test_a_model_without_a_plant_is_not_localised():
    _, off, _, verdict = found("unplanted")
    assert verdict.behaviour.before.value >= 0.9, "it refuses, only by other means"
    assert not off.mask
    assert verdict.word == "not localised"
