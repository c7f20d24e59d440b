import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mote_backend.errors import InputError, MaskError, PromptError
from mote_backend.ftri.behaviour import first_token, instead_of
from mote_backend.ftri.contrast import contrast
from mote_backend.ftri.greedy import Search
from mote_backend.ftri.probe import Probe
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.selection import FORMAT, Selection, candidate_experts, select
from mote_backend.judging.judges import FunctionJudge
from mote_backend.mask import ExpertMask
from mote_backend.steering import steer
from support.lively import lively_model
from support.tiny_routed import EXPERTS, LAYERS, TOP_K, some_prompts, word_tokenizer

TOKENIZER = word_tokenizer()
SHOWN, HARMLESS = some_prompts(10, seed=1, last="w7"), some_prompts(12, seed=2, last="w8")
EVERY = [(layer, expert) for layer in range(LAYERS) for expert in range(EXPERTS)]


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return lively_model()


@pytest.fixture(scope="module")
def likely(model):
    """The token that the shown prompts are followed by most, as a behaviour."""
    logits = torch.stack([_logits(model, one) for one in SHOWN])
    token = int(logits.softmax(-1).mean(0).argmax())
    return lambda rows: rows.softmax(-1)[:, token]


def _logits(model, prompt, mask=None):
    ids = TOKENIZER.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    with torch.no_grad(), steer(model, mask):
        return model(input_ids=ids).logits[0, -1]


@pytest.mark.parametrize("max_rows", [1, 7, 22, 500])
def test_masks_measured_together_are_measured_as_each_alone(model, likely, max_rows):
    masks = [None, *(ExpertMask(off=frozenset({one})) for one in EVERY[::5]), ExpertMask(on=frozenset({(1, 3)}))]
    measured = Probe(model, TOKENIZER, SHOWN, HARMLESS, likely, max_rows=max_rows)(masks)
    for mask, one in zip(masks, measured, strict=True):
        shown = torch.stack([_logits(model, prompt, mask) for prompt in SHOWN])
        assert one.behaviour == pytest.approx(float(likely(shown).mean()), abs=1e-5)
        bare, after = (
            torch.stack([_logits(model, prompt, its) for prompt in HARMLESS]).log_softmax(-1) for its in (None, mask)
        )
        assert one.drift == pytest.approx(float((bare.exp() * (bare - after)).sum(-1).mean()), abs=1e-5)
    assert measured[0].drift == 0 < min(one.drift for one in measured[1:])
    assert len({round(one.behaviour, 4) for one in measured}) >= 4


@pytest.mark.parametrize(("phase", "acts"), [("prefill", True), ("decode", False)])
def test_the_first_token_is_decided_in_the_prompt(model, likely, phase, acts):
    probe = Probe(model, TOKENIZER, SHOWN, HARMLESS, likely)
    off = frozenset(one for one in EVERY if one[1] < EXPERTS - TOP_K)
    whole, one = probe([ExpertMask(off=off), ExpertMask(off=off, phase=phase)])
    assert one.drift == pytest.approx(whole.drift if acts else 0, abs=1e-6)
    assert whole.drift > 0.1


def test_measuring_leaves_the_model_as_it_was(model, likely):
    before = _logits(model, SHOWN[0])
    model.model.layers[0].train()
    Probe(model, TOKENIZER, SHOWN, HARMLESS, likely)([ExpertMask(off=frozenset({(0, 0)}))])
    assert model.model.layers[0].training and not model.model.layers[1].training
    model.eval()
    assert torch.equal(_logits(model, SHOWN[0]), before)


def test_the_selection_is_the_best_single_expert_first_and_the_same_every_time(model, likely):
    options = Search(budget=2, min_gain=0.0, kl_weight=0.5, target=0.0)
    first, again = (select(model, TOKENIZER, SHOWN, HARMLESS, likely, EVERY, options=options) for _ in range(2))
    assert (first.mask, first.steps) == (again.mask, again.steps)
    probe = Probe(model, TOKENIZER, SHOWN, HARMLESS, likely)
    alone = probe([ExpertMask(off=frozenset({one})) for one in EVERY])
    objectives = [one.behaviour + 0.5 * one.drift for one in alone]
    assert first.steps[0].expert == EVERY[objectives.index(min(objectives))]
    assert first.steps[0].tried == len(EVERY)
    assert first.mask.model.weights
    assert probe([first.mask])[0].behaviour == pytest.approx(first.end.behaviour, abs=1e-6)


@pytest.mark.parametrize("switch", ["off", "on"])
def test_no_layer_gets_more_switched_than_a_token_allows(model, likely, switch):
    layer = [one for one in EVERY if one[0] == 0]
    options = Search(budget=8, min_gain=0.0, patience=99, target=0.0, kl_weight=0.0, less=switch == "off")
    found = select(model, TOKENIZER, SHOWN, HARMLESS, likely, layer, switch=switch, options=options)
    assert len(found.steps) == (EXPERTS - TOP_K if switch == "off" else TOP_K)
    assert set(found.mask.off if switch == "off" else found.mask.on) == set(found.order)


def test_candidates_come_from_the_table_the_different_and_the_busy(model):
    table = contrast(model, TOKENIZER, SHOWN, HARMLESS, at=slice(-2, -1)).table
    found = candidate_experts(table, 6)
    assert len(found) == len(set(found)) == 6
    assert found[:3] == [(row.layer, row.expert) for row in table.top(3)]
    assert all(table.row(*one).rate_a > 0 for one in found)


def test_a_judge_of_whole_replies_can_take_the_place_of_the_first_token(model):
    asked = []

    def generate(prompts, masks):
        asked.append(len(prompts))
        return ["long reply" if mask is None or (1, 4) not in mask.off else "short" for mask in masks]

    judge = FunctionJudge(lambda prompt, reply: reply == "long reply")
    found = select(model, TOKENIZER, SHOWN, HARMLESS, judge, EVERY[8:16], generate=generate)
    assert found.order == ((1, 4),)
    assert found.start.behaviour == 1 and found.end.behaviour == 0 < found.end.drift
    assert max(asked) == 8 * len(SHOWN)


def test_prompts_of_the_verdict_are_refused(model, likely):
    kept = PromptSet("kept for the verdict", (SHOWN[3], "w1 w2"))
    with pytest.raises(PromptError, match=r"1 prompts of 'kept for the verdict' are used for the selection too"):
        select(model, TOKENIZER, SHOWN, HARMLESS, likely, EVERY, evaluation=[kept])
    with pytest.raises(PromptError, match="both in 'shown' and in 'harmless'"):
        select(model, TOKENIZER, SHOWN, [*HARMLESS, SHOWN[0]], likely, EVERY)


def test_bad_input_is_one_sentence(model, likely):
    for error, words, arguments in (
        (InputError, "no expert to try", (SHOWN, HARMLESS, likely, [])),
        (MaskError, "switches layer 9", (SHOWN, HARMLESS, likely, [(9, 0)])),
        (PromptError, "one of them is empty", (SHOWN, [], likely, EVERY)),
        (InputError, "for each row of logits", (SHOWN, HARMLESS, lambda rows: rows.sum(-1), EVERY)),
        (InputError, "for each row of logits", (SHOWN, HARMLESS, lambda rows: rows.softmax(-1), EVERY)),
    ):
        with pytest.raises(error, match=words) as raised:
            select(model, TOKENIZER, *arguments)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="cannot change the first token"):
        select(model, TOKENIZER, SHOWN, HARMLESS, likely, EVERY, like=ExpertMask(phase="decode"))


def test_first_tokens_are_read_from_texts():
    rows = torch.zeros(2, len(TOKENIZER))
    rows[0, TOKENIZER("w3")["input_ids"][0]] = 20.0
    assert first_token(TOKENIZER, ["w3 w4"])(rows).tolist() == pytest.approx([1, 1 / len(TOKENIZER)], abs=1e-4)
    assert instead_of(TOKENIZER, ["w3"], ["w4"])(rows).tolist() == pytest.approx([1, 0.5], abs=1e-4)
    for wrong in ([], ["   "], ["unknown"]):
        with pytest.raises(InputError):
            first_token(TOKENIZER, wrong)


def test_a_token_that_is_only_a_space_is_no_beginning():
    """Llama's and Mixtral's tokenizers put one before a second space, and before what is no word of theirs."""
    words = {"<unk>": 0, "▁": 1, "▁Sorry": 2, "抱歉": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("▁Sorry|▁|抱歉"), "isolated")
    inner.decoder = decoders.Replace("▁", " ")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    assert tokenizer(" Sorry")["input_ids"] == [1, 2]
    space, sorry = torch.eye(4)[[1, 2]] * 30
    assert first_token(tokenizer, ["Sorry"])(torch.stack([space, sorry])).tolist() == pytest.approx([0, 1])
    with pytest.raises(InputError, match="only a space"):
        first_token(tokenizer, ["抱歉"])


def test_a_selection_is_read_back_from_its_file_and_still_refuses_the_prompts_that_led_to_it(model, likely, tmp_path):
    found = select(model, TOKENIZER, SHOWN, HARMLESS, likely, EVERY, profiled=[["w9 w9"]], name="kept")
    found.save(tmp_path / "kept.selection")
    again = Selection.load(tmp_path / "kept.selection")
    assert (again, again.mask.name, again.mask.model) == (found, "kept", found.mask.model)
    again.check_unseen(PromptSet("fresh", ("w1 w2",)))
    for seen in ("w9 w9", SHOWN[0], HARMLESS[0]):
        with pytest.raises(PromptError, match="1 prompts of 'stale' were used to select the mask"):
            again.check_unseen(PromptSet("stale", ("w1 w2", seen)))
    for wrong, said in (({}, "needs the format"), ([], "needs the format"), ({"format": FORMAT}, "cannot be read")):
        with pytest.raises(InputError, match=said) as error:
            Selection.from_json(wrong)
        assert "\n" not in str(error.value)
