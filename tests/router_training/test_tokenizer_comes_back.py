"""A policy is asked in the tokens that it was trained on: its tokenizer comes back from the folder as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaTokenizer, Qwen3Config

from router_training.errors import ConfigError
from router_training.trainers.config import OfflineConfig
from router_training.trainers.offline import train_offline
from router_training.trainers.tokenizing import save_tokenizer
from router_training.world.tokenizer import word_tokenizer
from support.offline_samples import judged, tiny
from support.tiny_engine import byte_tokenizer, tiny_model

TEXT = '<think></think>\n<route to="kb:atlas">moons of Jupiter, 12?</route>'


def own_words(kind: type = LlamaTokenizer):
    """A tokenizer of whole words that says it is a Llama's."""
    made = word_tokenizer([TEXT], phrases=[])
    made.__class__ = kind
    return made


@pytest.mark.parametrize("family", [LlamaConfig, Qwen3Config])
def test_a_tokenizer_that_would_come_back_as_its_familys_is_saved_as_what_its_file_says(family, tmp_path: Path):
    tokenizer = own_words()
    family(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)(TEXT)["input_ids"] != tokenizer(TEXT)["input_ids"]  # the trap

    save_tokenizer(tokenizer, tmp_path)

    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
    assert again.chat_template == tokenizer.chat_template
    assert again.eos_token_id == tokenizer.eos_token_id


def test_one_that_comes_back_as_it_is_is_left_as_it_was_saved(tmp_path: Path):
    tokenizer = byte_tokenizer()
    Qwen3Config(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    before = (tmp_path / "tokenizer_config.json").read_text()
    save_tokenizer(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer_config.json").read_text() == before


def test_one_that_no_folder_gives_back_is_refused_before_anything_is_trained(tmp_path: Path):
    model, tokenizer = tiny()
    samples = judged(model, tokenizer)
    other = tiny_model("qwen2", hidden_size=16, intermediate_size=24, num_attention_heads=2)
    with pytest.raises(ConfigError, match=r"does not come back from a folder .* a model that is no 'qwen2'") as caught:
        train_offline(samples, OfflineConfig(), other, tokenizer, tmp_path / "policy")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "policy").exists()


def test_a_chat_template_that_is_lost_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokenizer = byte_tokenizer()
    Qwen3Config(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    whole = type(tokenizer).save_pretrained

    def without_template(self, folder, *given, **options):
        written = whole(self, folder, *given, **options)
        (Path(folder) / "chat_template.jinja").unlink()
        return written

    monkeypatch.setattr(type(tokenizer), "save_pretrained", without_template)
    with pytest.raises(ConfigError, match="chat template"):
        save_tokenizer(tokenizer, tmp_path)


def test_what_a_saved_policy_says_of_its_tokenizer_is_of_the_mended_files(tmp_path: Path):
    from router_graph.policies.local import load_policy

    tokenizer = own_words()
    model = tiny_model("qwen3", hidden_size=16, intermediate_size=24, num_attention_heads=2, vocab_size=len(tokenizer))
    tokens = tokenizer(TEXT)["input_ids"]
    from router_training.data.samples import Sample
    from router_training.trainers.rows import Judged

    samples = [Judged(Sample("r", 1, "q", "kb:a", tokens[:3], [*tokens[3:], tokenizer.eos_token_id], None), 1.0, "s")]
    settings = OfflineConfig(trl={"max_steps": 1, "use_cpu": True}, policy={"protocol": "brief"})
    folder = train_offline(samples, settings, model, tokenizer, tmp_path / "p")
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "TokenizersBackend"
    load_policy(folder)  # which compares the fingerprint of the card
