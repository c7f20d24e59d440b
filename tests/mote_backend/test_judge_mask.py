"""Verdicts on replies of a formula, where the truth is known, and on a model without anything to find."""

import json

import pytest
import torch

from mote_backend.errors import InputError, MaskError, PromptError
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.greedy import Search
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.replies import KeptReplies, Replies
from mote_backend.ftri.selection import select
from mote_backend.judging.judges import AnswerJudge, FunctionJudge
from mote_backend.judging.refusals import RefusalJudge
from mote_backend.mask import ExpertMask
from mote_backend.verdict.judge_mask import judge_mask
from mote_backend.verdict.panels import Panel
from mote_backend.verdict.verdict import Verdict
from support.lively import lively_model
from support.tiny_routed import some_prompts, word_tokenizer

SHAPE = Fingerprint("qwen3_moe", (32,) * 4, (4,) * 4)
CAUSES = frozenset({(1, 3), (2, 5)})
MASK = ExpertMask(off=CAUSES)
NO, YES = "I cannot help with that.", "Paris."
SECRET = PromptSet("secret", tuple(f"secret {number}" for number in range(24)))
PLAIN = PromptSet("plain", tuple(f"plain {number}" for number in range(24)))
BORDER = PromptSet("borderline", tuple(f"border {number}" for number in range(24)))
PARIS = AnswerJudge({one.text: "Paris" for one in (*SECRET.prompts, *PLAIN.prompts)})
BEHAVIOUR, BENIGN = Panel(SECRET, RefusalJudge()), Panel(PLAIN, PARIS)


def planted(prompts, masks):
    """Refuses secrets while one of the causes is on, and at the border by half, or always if one is forced on."""

    def reply(text, mask):
        off, on = (mask.off, mask.on) if mask else (frozenset(), frozenset())
        kind, number = text.split()
        if kind == "secret":
            return YES if off >= CAUSES else NO
        return NO if kind == "border" and (on & CAUSES or int(number) % 2) else YES

    return [reply(one.text, mask) for one, mask in zip(prompts, masks, strict=True)]


def fragile(prompts, masks):
    """Refuses secrets unless anything at all is off."""
    return [NO if one.text.startswith("secret") and not mask else YES for one, mask in zip(prompts, masks, strict=True)]


def broken(prompts, masks):
    """Says nonsense, everywhere, if the causes are off."""
    whole = planted(prompts, masks)
    return ["mumble" if mask and mask.off >= CAUSES else reply for mask, reply in zip(masks, whole, strict=True)]


def words(verdict):
    return {check.name: check.word for check in verdict.checks}


def test_planted_causes_are_localised_with_their_controls():
    found = judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, borderline=Panel(BORDER, RefusalJudge()), right=PARIS)
    assert found.word == "localised"
    assert (found.behaviour.before.value, found.behaviour.after.value) == (1, 0)
    assert [(point.experts, point.behaviour.value, len(point.random)) for point in found.curve] == [
        (0, 1, 0), (1, 1, 10), (2, 0, 10),
    ]  # fmt: skip
    assert set(found.curve[-1].random) == {1.0}
    assert found.right.after.value == 1
    assert found.forced.panel.change.value == 0.5 and found.forced.specific
    assert set(found.forced.random) == {0.5}


@pytest.mark.parametrize(("generate", "blamed"), [(fragile, "specific"), (broken, "harmless")])
def test_what_any_mask_does_or_what_breaks_the_model_is_not_localised(generate, blamed):
    found = judge_mask(MASK, generate, SHAPE, BEHAVIOUR, BENIGN)
    assert found.word == words(found)[blamed] == "not localised"


def test_answers_that_are_gone_but_not_right_are_not_localised():
    def mute(prompts, masks):
        pairs = zip(prompts, planted(prompts, masks), strict=True)
        return ["mumble" if one.text.startswith("secret") and reply == YES else reply for one, reply in pairs]

    assert judge_mask(MASK, mute, SHAPE, BEHAVIOUR, BENIGN).word == "localised"
    assert words(judge_mask(MASK, mute, SHAPE, BEHAVIOUR, BENIGN, right=PARIS))["right"] == "not localised"


def test_replies_that_cannot_be_judged_are_counted_and_not_guessed():
    silent = lambda prompts, masks: [  # noqa: E731
        "" if one.text.startswith("secret") and mask == MASK else reply
        for one, mask, reply in zip(prompts, masks, planted(prompts, masks), strict=True)
    ]
    found = judge_mask(MASK, silent, SHAPE, BEHAVIOUR, BENIGN)
    assert found.behaviour.untold == len(SECRET)
    assert found.behaviour.after.n == 0
    assert found.word == words(found)["told"] == words(found)["effect"] == "not localised"


def test_harmless_replies_that_cannot_be_judged_are_not_called_harmless():
    def numb(prompts, masks):
        pairs = zip(prompts, masks, planted(prompts, masks), strict=True)
        return ["" if one.text.startswith("plain") and mask == MASK else reply for one, mask, reply in pairs]

    spoken = FunctionJudge(lambda _, reply: reply == YES if reply else None, "answers")
    found = judge_mask(MASK, numb, SHAPE, BEHAVIOUR, Panel(PLAIN, spoken))
    assert found.word == words(found)["told"] == "not localised"


def test_conversations_that_end_alike_are_each_held_against_their_own_reply():
    pairs = [[{"role": "user", "content": f"plain {n}"}, {"role": "user", "content": "go on"}] for n in range(24)]
    numbered = lambda prompts, masks: [  # noqa: E731
        one.messages[0][1] if one.text == "go on" else reply
        for one, reply in zip(prompts, planted(prompts, masks), strict=True)
    ]
    found = judge_mask(MASK, numbered, SHAPE, BEHAVIOUR, Panel(PromptSet("talks", tuple(pairs))))
    assert found.benign.before.value == found.benign.after.value == 1


def test_two_judges_of_one_name_do_not_share_their_scores_and_no_reply_is_judged_twice():
    judged = []

    def says(answer):
        def function(prompt, reply):
            judged.append((answer, prompt, reply))
            return reply == answer

        return FunctionJudge(function)

    found = judge_mask(MASK, planted, SHAPE, Panel(SECRET, says(NO)), BENIGN, others=[Panel(SECRET, says(YES))])
    assert (found.behaviour.before.value, found.others[0].before.value) == (1, 0)
    assert len(judged) == len(set(judged))


def test_a_behaviour_can_be_wanted_more():
    found = judge_mask(
        MASK, planted, SHAPE, Panel(SECRET, FunctionJudge(lambda _, reply: reply == YES, "yes")), BENIGN, goal="more"
    )
    assert found.word == "localised"
    assert words(judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, goal="more"))["effect"] == "not localised"


def test_where_more_is_wanted_experts_that_are_forced_on_are_to_bring_less():
    talks = FunctionJudge(lambda _, reply: reply == YES, "answers")
    found = judge_mask(MASK, planted, SHAPE, Panel(SECRET, talks), BENIGN, borderline=Panel(BORDER, talks), goal="more")
    assert found.forced.panel.change.value == -0.5
    assert found.forced.specific
    assert Verdict.from_json(json.loads(json.dumps(found.to_json()))).forced.specific


def test_borderline_prompts_without_an_expert_to_force_on_are_not_passed_over():
    soft = ExpertMask(bias=frozenset((*one, -2.0) for one in CAUSES))
    with pytest.raises(InputError, match="nothing to force on at 'borderline'"):
        judge_mask(soft, planted, SHAPE, BEHAVIOUR, BENIGN, borderline=Panel(BORDER, RefusalJudge()))
    empty = judge_mask(ExpertMask(), planted, SHAPE, BEHAVIOUR, BENIGN, borderline=Panel(BORDER, RefusalJudge()))
    assert empty.word == "not localised" and empty.forced is None


def test_without_a_judge_the_reply_without_a_mask_is_what_is_right():
    found = judge_mask(MASK, planted, SHAPE, BEHAVIOUR, Panel(PLAIN), others=[Panel(SECRET)])
    assert found.benign.after.value == found.benign.before.value == 1
    assert found.others[0].after.value == 0


def test_the_order_may_go_on_past_the_mask():
    order = [(1, 3), (2, 5), (0, 0), (3, 1), (3, 2)]
    found = judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, order=order)
    assert [point.experts for point in found.curve] == [0, 1, 2, 4, 5]
    with pytest.raises(InputError, match="does not begin with the mask's experts"):
        judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, order=order[1:])


def test_every_reply_is_made_once_and_progress_is_told(tmp_path):
    made, progress = [], []

    def counting(prompts, masks):
        made.extend(zip(prompts, [mask.id if mask else "" for mask in masks], strict=True))
        return planted(prompts, masks)

    kept = KeptReplies(counting, tmp_path / "replies.jsonl", chunk=100, settings={})
    first = judge_mask(MASK, kept, SHAPE, BEHAVIOUR, BENIGN, right=PARIS, progress=lambda *step: progress.append(step))
    assert len(made) == len(set(made)) == progress[-1][0] == progress[-1][1]
    again = judge_mask(
        MASK, KeptReplies(counting, tmp_path / "replies.jsonl", settings={}), SHAPE, BEHAVIOUR, BENIGN, right=PARIS
    )
    assert again == first
    assert len(made) == progress[-1][1]


def test_a_verdict_is_read_back_from_its_file(tmp_path):
    found = judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, borderline=Panel(BORDER, RefusalJudge()), right=PARIS)
    found.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == found
    assert found.switched == MASK
    broken = json.loads((tmp_path / "verdict.json").read_text()) | {"word": "surely"}
    for wrong, said in ((broken, "word"), ({}, "needs the format"), ([], "needs the format")):
        with pytest.raises(InputError, match=said) as error:
            Verdict.from_json(wrong)
        assert "\n" not in str(error.value)
    assert "**localised**" in found.to_markdown()


def test_bad_input_is_one_sentence():
    few = Panel(PromptSet("few", SECRET.prompts[:7]), RefusalJudge())
    with pytest.raises(PromptError, match="'few' has 7 different prompts; a verdict needs at least 8"):
        judge_mask(MASK, planted, SHAPE, few, BENIGN)
    with pytest.raises(MaskError, match="layer 7"):
        judge_mask(ExpertMask(off=frozenset({(7, 0)})), planted, SHAPE, BEHAVIOUR, BENIGN)
    with pytest.raises(InputError, match="draws is 0"):
        judge_mask(MASK, planted, SHAPE, BEHAVIOUR, BENIGN, draws=0)


def test_a_random_model_has_nothing_to_find_and_the_selections_prompts_are_refused():
    torch.set_num_threads(1)
    model, tokenizer = lively_model(), word_tokenizer()
    prompts = some_prompts(48, seed=1)
    first = FunctionJudge(lambda _, reply: reply.split()[:1] < ["w3"], "opens early")
    every = [(layer, expert) for layer in range(3) for expert in range(8)]
    mask = select(
        model, tokenizer, prompts[:12], prompts[12:24], first, every[::3], options=Search(budget=2),
        generate=Replies(model, tokenizer, max_tokens=2, batch_size=128),
    )  # fmt: skip
    shape = mask.mask.model
    sets = PromptSet("shown", tuple(prompts[24:36])), PromptSet("plain", tuple(prompts[36:]))
    replies = Replies(model, tokenizer, max_tokens=2, batch_size=128)
    found = judge_mask(mask, replies, shape, Panel(sets[0], first), Panel(sets[1]))
    assert found.word == "not localised"
    one_of_each = ExpertMask(off=frozenset({(0, 1), (1, 1), (2, 1)}))
    assert judge_mask(one_of_each, replies, shape, Panel(sets[0], first), Panel(sets[1])).word == "not localised"
    with pytest.raises(PromptError, match="1 prompts of 'seen' were used to select the mask"):
        seen = PromptSet("seen", (*prompts[11:12], *prompts[24:36]))
        judge_mask(mask, replies, shape, Panel(seen, first), Panel(sets[1]))
