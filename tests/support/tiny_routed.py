"""A random Qwen3-MoE with three routed layers of eight experts, and a tokenizer of words with a chat template."""

import torch
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

LAYERS, EXPERTS, TOP_K = 3, 8, 2
WORDS = [f"w{number}" for number in range(60)]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tiny_model(seed: int = 0) -> Qwen3MoeForCausalLM:
    """With routers that are far from uniform, in fp32."""
    torch.manual_seed(seed)
    config = Qwen3MoeConfig(
        vocab_size=80, hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, num_experts=EXPERTS, num_experts_per_tok=TOP_K, moe_intermediate_size=16, norm_topk_prob=True,
        pad_token_id=0, max_position_embeddings=64,
    )  # fmt: skip
    model = Qwen3MoeForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("gate.weight"):
                weight.normal_(0, 0.5)
            elif "embed" in name:
                weight.normal_(0, 1)
    return model


def word_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "<unk>", "<user>", "<assistant>", "<system>", *WORDS]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>")
    made.chat_template = template
    return made


def some_prompts(count: int, seed: int = 0, last: str | None = None) -> list[str]:
    """Different prompts of 1 to 9 random words, perhaps with the same last word."""
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        length = int(torch.randint(1, 10, (1,), generator=generator))
        words = [WORDS[int(one)] for one in torch.randint(0, len(WORDS), (length,), generator=generator)]
        made[" ".join([*words, *([last] if last else [])])] = None
    return list(made)
