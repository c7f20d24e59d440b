"""A causal language model from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import GraniteForCausalLM, PreTrainedTokenizerFast


def small_model(
    tokenizer: PreTrainedTokenizerFast, *, width: int = 64, layers: int = 2, heads: int = 2, seed: int = 0
) -> GraniteForCausalLM:
    """A Llama in all but its name, with random weights; the same for the same seed, on the CPU, in float32.

    The name matters: from a folder whose model is a Llama or a Qwen, transformers 5 loads a tokenizer of that family,
    which cuts texts its own way and knows no words of ours. Granite is the same architecture, with multipliers that
    are set so that they change nothing.
    """
    import torch
    from transformers import GraniteConfig, GraniteForCausalLM

    config = GraniteConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        attention_multiplier=(width // heads) ** -0.5,
        initializer_range=0.1,  # at the usual 0.02 a model so narrow takes four times as long to learn to copy a word
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GraniteForCausalLM(config)
