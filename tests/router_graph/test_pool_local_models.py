"""Models that a pool file names under `mote:`: reached from YAML alone, loaded late, and refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mote_backend import planted
from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.mask import ExpertMask
from router_graph.cli import app
from router_graph.errors import CardError, ModelNotFoundError, SettingsError, UnknownModelError
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool, load_pool
from router_graph.settings_live import load_router
from support.served_pool import WAYS, answers
from support.tiny_engine import byte_tokenizer, tiny_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "pool_mote.yaml"
QUESTION = "what happened in 1901 in ardal"
CARD = "models: [{name: a, model: mote/tiny, price: free, max_tokens: 16}]\n"
MASK = ExpertMask(off=frozenset({(2, 25), (3, 0), (3, 10)}), name="answers")


@cache
def said(mask: ExpertMask | None = None) -> str:
    """What the model says when nothing is between us and it."""
    return ChatMoTE(model=str(planted.FOLDER), max_tokens=32).invoke(QUESTION, mote_mask=mask).text


def written(folder: Path, text: str, name: str = "pool.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def with_masks(folder: Path, *masks: ExpertMask) -> None:
    folder.mkdir(exist_ok=True)
    for mask in masks:
        mask.save(folder / f"{mask.name}.json")


@WAYS
def test_the_cards_of_a_file_are_one_model_with_and_without_its_mask(how):
    pool = load_pool(EXAMPLE)
    assert said() != said(MASK)
    assert answers(pool, how, "bare", QUESTION) == (said(), "bare")
    assert answers(pool, how, "answering", QUESTION) == (said(MASK), "answering")


def test_a_call_is_booked_under_the_id_that_stands_on_the_card():
    ledger = Ledger()
    reply = load_pool(EXAMPLE).invoke("answering", QUESTION, ledger=ledger)
    (row,) = ledger.bill()
    assert not row["estimated"]
    assert reply.message.response_metadata["model_name"] == "mote/tiny"


def test_the_name_of_a_mask_may_stand_in_the_id_of_the_model(tmp_path):
    with_masks(tmp_path / "masks", MASK)
    text = "mote: {tiny: {model: planted, masks: masks}}\n" + CARD.replace("mote/tiny", "'mote/tiny:answers'")
    path = written(tmp_path, text.replace("16", "32"))
    assert load_pool(path).invoke("a", QUESTION).text == said(MASK)


def test_two_files_may_call_different_models_the_same(tmp_path):
    pools = []
    for seed in (1, 2):
        tiny_model(seed=seed).save_pretrained(tmp_path / str(seed))
        byte_tokenizer().save_pretrained(tmp_path / str(seed))
        pools.append(load_pool(written(tmp_path, f"mote: {{tiny: '{tmp_path}/{seed}'}}\n{CARD}", f"{seed}.yaml")))
    first, second = (pool.invoke("a", "hello").text for pool in pools)
    assert first != second
    assert pools[0].invoke("a", "hello").text == first


def test_a_router_asks_either_card_of_one_model(tmp_path):
    with_masks(tmp_path / "masks", MASK)
    models = EXAMPLE.read_text().partition("\nmodels:\n")[2].replace("\n", "\n  ")
    mote = "mote: {tiny: {model: planted, masks: masks, only_named: true}}"
    path = written(tmp_path, f"knowledge: none\npool:\n  {mote}\n  models:\n  {models}\n", "router.yaml")
    question, replies = "what happened in 1903 in belmar", []
    with load_router(path) as router:
        for card in ("bare", "answering"):
            result = router.graph.invoke({"question": question}, context={"route": f"llm:{card}", "policy": "cheapest"})
            (observation,) = (one for step in result["steps"] for one in step["observations"].values())
            assert (observation["status"], observation["served"]) == ("ok", f"llm:{card}")
            replies.append(observation["text"])
    assert replies[0] != replies[1]


@pytest.mark.parametrize(
    "work",
    [
        f"from router_graph.pool import load_pool; load_pool({str(EXAMPLE)!r}).describe()",
        f"from router_graph.cli import app; app(['pool', 'list', '-p', {str(EXAMPLE)!r}], standalone_mode=False)",
    ],
    ids=["load_pool", "pool list"],
)
def test_nothing_is_loaded_before_a_model_is_asked(work):
    program = f"import sys; {work}; print([one for one in ('torch', 'transformers', 'litellm') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_and_a_card_tell_the_mask():
    listed = CliRunner().invoke(app, ["pool", "list", "-p", str(EXAMPLE)])
    assert "mote/tiny under answers" in listed.stdout
    assert "no key needed" in listed.stdout
    shown = CliRunner().invoke(app, ["pool", "show", "answering", "-p", str(EXAMPLE)]).stdout
    assert "expert mask answers" in shown


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mote: {tiny: ./nowhere}\n" + CARD, "nowhere is no folder; give a folder that holds a model"),
        ("mote: {tiny: empty}\n" + CARD, "holds no model: it has no config.json"),
        ("mote: {tiny: {model: planted, masks: maskss}}\n" + CARD, "There is no folder of masks at"),
        ("mote: {tiny: {model: planted, masks: broken}}\n" + CARD, "is no JSON"),
        (
            "mote: {tiny: {model: planted, masks: masks}}\n" + CARD.replace("free", "free, mask: answer"),
            "The card 'a': There is no mask 'answer'; did you mean 'answers'?",
        ),
        ("mote: {tinny: planted}\n" + CARD, "The card 'a': There is no model 'tiny'; did you mean 'tinny'?"),
        ("mote: {tiny: {modl: planted}}\n" + CARD, "mote: tiny: 'modl' is no known key; did you mean 'model'?"),
        ("mote: {tiny: {model: planted, max_batch: 0}}\n" + CARD, "mote: tiny: max_batch is 0"),
        ("mote: {tiny: }\n" + CARD, "mote: tiny: it is None; it must be a folder"),
        ("mote: {'a:b': planted}\n" + CARD, "a name has no colon"),
        ("mote: [planted]\n" + CARD, "mote is ['planted']"),
    ],
)
def test_a_mistake_under_mote_is_one_sentence_before_anything_is_loaded(tmp_path, text, sentence):
    with_masks(tmp_path / "masks", MASK)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.json").write_text("{")
    with pytest.raises((CardError, UnknownModelError)) as raised:
        load_pool(written(tmp_path, text))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_in_a_routers_file_a_mistake_under_mote_has_its_line(tmp_path):
    text = "knowledge: none\npool:\n  mote:\n    tiny:\n      model: planted\n      dtyp: float32\n  models: []\n"
    with pytest.raises(SettingsError, match=r"router.yaml, line 6: .*'dtyp' is no known key; did you mean 'dtype'"):
        load_router(written(tmp_path, text, "router.yaml"))


@pytest.mark.parametrize("told", ["dense", "{model: dense, masks: masks}"])
def test_a_dense_model_is_refused_in_a_sentence(tmp_path, told):
    tiny_model("llama").save_pretrained(tmp_path / "dense")
    byte_tokenizer().save_pretrained(tmp_path / "dense")
    with_masks(tmp_path / "masks", MASK)
    ledger = Ledger()
    path = written(tmp_path, f"mote: {{tiny: {told}}}\n" + CARD)
    with pytest.raises(ModelNotFoundError, match=r"'a' was not asked: .*dense model") as raised:
        load_pool(path).invoke("a", "hello", ledger=ledger)
    assert "\n" not in str(raised.value)
    assert not ledger.bill()


def test_a_mask_of_another_shape_is_refused_before_the_model_is_asked(tmp_path):
    with_masks(tmp_path / "masks", ExpertMask(off=frozenset({(99, 1)}), name="far"))
    pool = load_pool(written(tmp_path, "mote: {tiny: {model: planted, masks: masks}}\n" + CARD))
    with pytest.raises(ModelNotFoundError, match=r"'a' was not asked: .*99"):
        pool.invoke("a", "hello")


def test_a_model_that_no_file_names_says_where_it_would_stand():
    card = ModelCard(name="a", model="mote/nobody", price="free")
    with pytest.raises(ModelNotFoundError, match=r"under `mote:` in the pool file|There is no model 'nobody'"):
        ModelPool([card], retries=0).invoke("a", "hello")
