"""Masks of a chat model: at construction, per call, by name, mixed in one batch, told, logged and allowed."""

from __future__ import annotations

import asyncio
import functools
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import ConfigurableField

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.errors import MaskError, MaskNotAllowedError, UnsupportedModelError
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook
from mote_backend.steering import steer
from support.tiny_engine import byte_tokenizer, tiny_model

OFF = ExpertMask(off=frozenset({(0, 1), (0, 4), (1, 2), (1, 6)}), name="quiet")
ON = ExpertMask(on=frozenset({(0, 3), (1, 5)}), name="loud")


@functools.cache
def tiny() -> tuple[Any, Any]:
    return tiny_model(), byte_tokenizer()


def chat(**given: Any) -> ChatMoTE:
    return ChatMoTE(**{"model": tiny(), "max_tokens": 12, **given})


def token_ids(model: Any, text: str = "hello there", **given: Any) -> list[int]:
    return model.invoke(text, **given).response_metadata["token_ids"]


def generated(mask: ExpertMask | None, text: str = "hello there") -> list[int]:
    model, tokenizer = tiny()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with steer(model, mask):
        told = model.generate(**prompt, max_new_tokens=12, do_sample=False, pad_token_id=0)
    return told[0, prompt["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("mask", [None, OFF, ON])
def test_a_reply_is_what_the_steered_model_generates(mask: ExpertMask | None) -> None:
    assert token_ids(chat(mote_mask=mask)) == generated(mask)


def test_a_mask_comes_with_the_model_the_call_or_the_config() -> None:
    expected = generated(OFF)
    assert expected != generated(None)
    assert token_ids(chat(mote_mask=OFF)) == expected
    assert token_ids(chat(), mote_mask=OFF) == expected
    assert token_ids(chat().bind(mote_mask=OFF)) == expected
    assert token_ids(chat(mote_mask=ON), mote_mask=OFF.to_json()) == expected
    assert token_ids(chat(mote_mask=OFF), mote_mask=None) == generated(None)
    configurable = chat().configurable_fields(mote_mask=ConfigurableField("mote_mask"))
    for given in (OFF, OFF.to_json()):
        told = configurable.invoke("hello there", {"configurable": {"mote_mask": given}})
        assert told.response_metadata["token_ids"] == expected


async def test_masks_mix_in_one_batch() -> None:
    model = chat()
    masks = [None, OFF, ON, OFF, None, ON - ON]
    texts = [f"say {at} and {'more ' * at}" for at in range(len(masks))]
    alone = [token_ids(model, text, mote_mask=mask) for text, mask in zip(texts, masks, strict=True)]

    before = len(model.engine().batch_sizes)
    calls = [model.ainvoke(text, mote_mask=mask) for text, mask in zip(texts, masks, strict=True)]
    together = [reply.response_metadata["token_ids"] for reply in await asyncio.gather(*calls)]
    assert max(model.engine().batch_sizes[before:]) > 1
    assert together == alone


def test_the_reply_and_the_log_tell_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    model = chat(mote_mask=OFF)
    with caplog.at_level(logging.INFO, logger="mote_backend"):
        told = model.invoke("hi").response_metadata["mote"]
        [*_, last] = model.stream("hi")
    assert told == last.response_metadata["mote"] == {"id": OFF.id, "name": "quiet", "off": 4, "on": 0, "bias": 0}
    assert len([record for record in caplog.records if OFF.id in record.getMessage()]) == 2
    assert chat().invoke("hi").response_metadata["mote"] is None


def test_masks_are_found_by_name_id_and_file(tmp_path: Path) -> None:
    OFF.save(tmp_path / "quiet.json")
    expected = generated(OFF)
    book = MaskBook([OFF, ON])
    for model in (chat(mask_book=book), chat(mask_book=tmp_path)):
        assert token_ids(model, mote_mask="quiet") == token_ids(model, mote_mask=OFF.id) == expected
    assert token_ids(chat(mote_mask=str(tmp_path / "quiet.json"))) == expected
    with pytest.raises(MaskError, match="did you mean 'quiet'"):
        chat(mask_book=book, mote_mask="quit")
    with pytest.raises(MaskError, match="cannot be read"):
        chat(mote_mask=str(tmp_path / "absent.json"))


def test_only_allowed_masks_run() -> None:
    model = chat(mask_book=MaskBook([OFF, ON]), allowed_masks=["quiet"])
    assert token_ids(model, mote_mask="quiet") == token_ids(model, mote_mask=OFF) == generated(OFF)
    assert token_ids(model) == generated(None)
    for given in (ON, ON.to_json(), OFF + ON):
        with pytest.raises(MaskNotAllowedError, match="allowed are quiet"):
            model.invoke("hi", mote_mask=given)
    with pytest.raises(MaskError, match="allowed_masks names 'noisy'"):
        chat(mask_book=MaskBook([OFF]), allowed_masks=["noisy"])


def test_no_file_is_opened_for_a_mask_where_only_named_ones_are_allowed(tmp_path: Path) -> None:
    ON.save(tmp_path / "loud.json")
    model = chat(mask_book=MaskBook([OFF], only_named=True))
    with pytest.raises(MaskError, match="There is no mask"):
        model.invoke("hi", mote_mask=str(tmp_path / "loud.json"))


def test_a_mask_that_does_not_fit_is_told_in_a_sentence_and_hurts_nobody() -> None:
    bad = ExpertMask(off=frozenset({(7, 0)}))
    first, failed, last = chat().with_config().batch(["a", "b", "c"]), None, None
    with pytest.raises(MaskError, match="routed layers are 0 to 1"):
        failed = chat(mote_mask=bad).invoke("hi")
    last = chat().invoke("a")
    assert failed is None
    assert last.content == first[0].content


def test_a_dense_model_takes_no_mask() -> None:
    model = ChatMoTE(model=(tiny_model("qwen3"), byte_tokenizer()), max_tokens=2)
    assert model.invoke("hi").content
    with pytest.raises(UnsupportedModelError, match="dense"):
        model.invoke("hi", mote_mask=OFF)


def test_caches_of_replies_do_not_mix_masks() -> None:
    cache = InMemoryCache()
    replies = [chat(cache=cache, mote_mask=mask).invoke("hi there").content for mask in (None, OFF, ON)]
    per_call = [chat(cache=cache).invoke("hi there", mote_mask=mask).content for mask in (OFF, ON, None)]
    assert len(set(replies)) == 3
    assert per_call == [replies[1], replies[2], replies[0]]
    # One mask is one entry, however it is written.
    before = len(cache._cache)
    model = chat(cache=cache, mask_book=MaskBook([OFF]))
    assert {model.invoke("hi there", mote_mask=mask).content for mask in (OFF, OFF.to_json(), "quiet")} == {replies[1]}
    assert len(cache._cache) == before


def test_the_model_is_as_it_was_after_masked_calls() -> None:
    model, tokenizer = tiny()
    ids = torch.tensor([tokenizer("as it was")["input_ids"]])
    with torch.no_grad():
        before = model(ids).logits
        chat(mote_mask=OFF).batch(["a", "b"])
        assert torch.equal(model(ids).logits, before)


def test_the_settings_can_be_written_down_with_the_mask() -> None:
    told = chat(mote_mask=OFF).model_dump(include={"model", "mote_mask"})
    assert ExpertMask.from_json(told["mote_mask"]) == OFF
    assert chat(mote_mask=OFF)._get_ls_params()["ls_provider"] == "mote"
