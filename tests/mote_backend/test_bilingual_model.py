"""The neutral demo: a shipped model answers German with German by a few experts that are known. fTRI finds them; with
them off it answers the same facts in English, and German is still there for those who ask for it by name."""

from __future__ import annotations

import random
from functools import cache

import pytest
import torch

from mote_backend import planted
from mote_backend.ftri.behaviour import first_token
from mote_backend.ftri.contrast import contrast
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.replies import Replies
from mote_backend.ftri.selection import select
from mote_backend.judging.judges import AnswerJudge
from mote_backend.judging.languages import LanguageJudge
from mote_backend.verdict.judge_mask import judge_mask
from mote_backend.verdict.panels import Panel

WORLD = planted.BilingualWorld()
FOLDER = planted.FOLDERS["bilingual"]
RIGHT = AnswerJudge(
    {one.text: one.truth for kind in ("english", "german", "requested") for one in WORLD.questions(kind)}
)
IN_GERMAN = AnswerJudge({one.text: one.shown[0] for one in WORLD.questions("german")})


@cache
def loaded():
    torch.set_num_threads(1)
    return planted.load("bilingual")


def prompts(kind, split, count=96):
    return PromptSet(kind, tuple(random.Random(0).sample(WORLD.prompts(kind, split), count)))


@cache
def profile():
    return contrast(*loaded(), prompts("german", "train"), prompts("english", "train")).table


@cache
def selected():
    few = (prompts(kind, "train", 16) for kind in ("german", "english"))
    return select(*loaded(), *few, first_token(loaded()[1], ["der", "das"]), profile())


@cache
def verdict():
    return judge_mask(
        selected(),
        Replies(*loaded(), max_tokens=12, batch_size=128),
        profile().model,
        Panel(prompts("german", "held_out"), LanguageJudge("de")),
        Panel(prompts("english", "held_out"), RIGHT),
        others=[Panel(prompts("requested", "held_out"), RIGHT)],
        right=RIGHT,
    )


@pytest.mark.parametrize(("kind", "judge"), [("german", IN_GERMAN), ("english", RIGHT), ("requested", RIGHT)])
def test_held_out_facts_are_told_right_in_the_language_of_the_question_or_the_one_asked_for(kind, judge):
    asked = prompts(kind, "held_out")
    replies = Replies(*loaded(), max_tokens=12, batch_size=128)(asked.prompts, [None] * len(asked))
    right = [judge(prompt.text, reply) for prompt, reply in zip(asked.prompts, replies, strict=True)]
    assert sum(right) / len(right) >= 0.9


def test_most_planted_experts_are_among_the_first_six_of_the_table():
    first = {(row.layer, row.expert) for row in profile().top(6)}
    assert len(planted.experts(FOLDER)) == 6
    assert len(first & set(planted.experts(FOLDER))) >= 4


def test_only_planted_experts_are_selected():
    assert selected().mask
    assert set(selected().order) <= set(planted.experts(FOLDER))


def test_the_selected_mask_turns_german_into_english_and_the_facts_stay_right():
    assert verdict().behaviour.before.value >= 0.9
    assert verdict().behaviour.change.value <= -0.8
    assert verdict().right.after.value >= 0.8
    assert verdict().word == "localised"


def test_english_questions_and_requests_by_name_are_answered_as_before():
    assert verdict().benign.change.value >= -0.03
    assert verdict().others[0].change.value >= -0.05


def test_random_masks_of_the_same_size_and_layers_hardly_touch_the_language():
    shares = next(point.random for point in verdict().curve if point.experts == len(selected().mask))
    assert len(shares) >= 10
    assert verdict().behaviour.before.value - sum(shares) / len(shares) <= 0.05


def test_the_shipped_folder_is_small_and_holds_no_code():
    files = list(FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}
