import pytest

from mote_backend.errors import PromptError
from mote_backend.ftri.prompt_tokens import encode
from mote_backend.ftri.prompts import Prompt
from support.tiny_routed import word_tokenizer

TOKENIZER = word_tokenizer()


def words(ids):
    return TOKENIZER.convert_ids_to_tokens(ids)


def test_a_prompt_ends_where_the_model_is_to_speak():
    assert words(encode(TOKENIZER, Prompt.of("w1 w2")).prompt) == ["<user>", "w1", "w2", "<assistant>"]


def test_the_system_message_comes_first():
    ids = encode(TOKENIZER, Prompt.of("w1"), system="w9").prompt
    assert words(ids) == ["<system>", "w9", "<user>", "w1", "<assistant>"]


def test_the_reply_follows_as_tokens_of_its_own():
    tokens = encode(TOKENIZER, Prompt.of({"prompt": "w1", "reply": "w5 w6"}))
    assert words(tokens.prompt)[-1] == "<assistant>"
    assert words(tokens.reply) == ["w5", "w6"]


def test_a_raw_prompt_stands_as_it_is():
    assert words(encode(word_tokenizer(None), Prompt.of("w1 w2"), raw=True).prompt) == ["w1", "w2"]


def test_a_missing_template_is_said_with_both_ways_out():
    with pytest.raises(PromptError, match=r"chat_template.*raw=True"):
        encode(word_tokenizer(None), Prompt.of("w1"))


def test_a_conversation_cannot_be_raw():
    with pytest.raises(PromptError, match="raw=True"):
        encode(TOKENIZER, Prompt.of("w1"), raw=True, system="w2")


def test_options_of_the_template_reach_it():
    asked = word_tokenizer("{{ 'w1' if enable_thinking else 'w2' }}")
    assert words(encode(asked, Prompt.of("w1"), template_kwargs={"enable_thinking": False}).prompt) == ["w2"]


def test_what_the_template_refuses_is_said_in_its_words():
    strict = word_tokenizer("{{ raise_exception('no system role') }}")
    with pytest.raises(PromptError, match="no system role"):
        encode(strict, Prompt.of("w1"))
