"""Tiny random models with a byte tokenizer, for the engine and the chat models: real parts, nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
LONGEST = 512
"""The context of the models, in tokens."""


def byte_tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A token for each byte, and a few of two letters."""
    pairs = [(a, b) for a in "abcdefghij" for b in "aeiou"]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in pairs)]
    bpe = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=pairs))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=SPECIAL[0], eos_token=SPECIAL[2], extra_special_tokens=[SPECIAL[1]]
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_model(kind: str = "qwen3_moe", *, seed: int = 0, **settings: Any) -> Any:
    """A causal model of random, lively weights in fp32, in evaluation mode."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    base: dict[str, Any] = {
        "vocab_size": len(byte_tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": LONGEST,
        "tie_word_embeddings": False,
    }
    if kind == "qwen3_moe":
        base |= {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True}
    config = transformers.AutoConfig.for_model(kind, **(base | settings))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2 if "lm_head" not in name else 0.5)
    model.generation_config.eos_token_id = byte_tokenizer().eos_token_id
    return model


def saved(folder: Path, kind: str = "qwen3_moe", chat_template: str | None = CHATML, **settings: Any) -> Path:
    """The model and its tokenizer, as a folder that can be loaded."""
    tiny_model(kind, **settings).save_pretrained(folder)
    byte_tokenizer(chat_template).save_pretrained(folder)
    return folder
