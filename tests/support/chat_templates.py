"""Chat templates in the styles of several model families, cut down to what tools need, and tokenizers for them."""

from __future__ import annotations

import functools
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_TURNS = (
    "{% for m in messages %}{% if m.role != 'assistant' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% else %}<|im_start|>assistant\n{{ m.content }}{% for c in m.tool_calls or [] %}CALL{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"


def _chatml(call: str) -> str:
    return _TOOLS + _TURNS.replace("CALL", call)


HERMES = _chatml(
    "{{ '\n' if m.content or not loop.first }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
)
OPENAI = _chatml(
    '{{ "\n" if not loop.first }}<tool_call>{"type": "function", "function": {"name": "{{ c.function.name }}", '
    '"arguments": {{ c.function.arguments | tojson }}}}</tool_call>'
)
LLAMA = _chatml(
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call only') }}{% endif %}"
    '{"name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}}'
)
QWEN_CODER = _chatml(
    "{{ '\n' }}<tool_call>\n<function={{ c.function.name }}>\n{% for k, v in c.function.arguments.items() %}"
    "<parameter={{ k }}>\n{{ v if v is string else v | tojson }}\n</parameter>\n{% endfor %}</function>\n</tool_call>"
)
GLM = _chatml(
    "{{ '\n' }}<tool_call>{{ c.function.name }}\n"
    "{% for k, v in c.function.arguments.items() %}<arg_key>{{ k }}</arg_key>\n"
    "<arg_value>{{ v if v is string else v | tojson }}</arg_value>\n{% endfor %}</tool_call>"
)
DEEPSEEK = _chatml(
    "{% if loop.first %}<｜tool▁calls▁begin｜>{% endif %}<｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>"
    "{{ c.function.arguments }}<｜tool▁call▁end｜>{% if loop.last %}<｜tool▁calls▁end｜>{% endif %}"
)
DEEPSEEK_3 = _chatml(
    "{% if loop.first %}<｜tool▁calls▁begin｜>{% endif %}<｜tool▁call▁begin｜>function<｜tool▁sep｜>"
    "{{ c.function.name }}\n```json\n{{ c.function.arguments | tojson }}\n```<｜tool▁call▁end｜>"
    "{% if loop.last %}<｜tool▁calls▁end｜>{% else %}\n{% endif %}"
)
MISTRAL = _chatml(
    "{% if c.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}"
    '{% if loop.first %}[TOOL_CALLS] [{% endif %}{{ (c.function | tojson)[:-1] }}, "id": "{{ c.id }}"}'
    "{{ ']' if loop.last else ', ' }}"
)
MISTRAL_11 = _chatml("[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}")
PYTHONIC = _chatml(
    "{% if loop.first %}<|tool_call_start|>[{% endif %}{{ c.function.name }}("
    "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }}"
    "{{ ', ' if not loop.last }}{% endfor %}){{ ']<|tool_call_end|>' if loop.last else ', ' }}"
)
HARMONY = (
    _TOOLS
    + "{% for m in messages %}{% if m.role != 'assistant' %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>"
    "{% elif m.tool_calls %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>"
    "commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}<|start|>assistant"
    "<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
THINKING = HERMES.replace(
    "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}{# ends with </think> #}"
)
GEMMA = _chatml(
    "<|tool_call>call:{{ c.function.name }}{ {%- for k, v in c.function.arguments.items() %}{{ k }}:"
    "{{ '<|\"|>' + v + '<|\"|>' if v is string else v | tojson }}{{ ',' if not loop.last }}{% endfor -%} }<tool_call|>"
)
GEMMA_RESPONSES = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"<\|tool_call>call:(?P<name>\w+)",
            "close": "<tool_call|>",
            "repeats": True,
            "content": "json",
            "content_args": {"unquoted_keys": True, "string_delims": [['<|"|>', '<|"|>']]},
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
        "content": {"close": ["<|im_end|>"], "content": "text"},
    },
}
"""What a tokenizer declares of Gemma's replies, whose calls are neither JSON nor Python."""
WITHOUT_TOOLS = _TURNS.replace("CALL", "")

STYLES = {
    "hermes": HERMES,
    "openai": OPENAI,
    "llama": LLAMA,
    "qwen coder": QWEN_CODER,
    "glm": GLM,
    "deepseek": DEEPSEEK,
    "deepseek 3": DEEPSEEK_3,
    "mistral": MISTRAL,
    "mistral 11": MISTRAL_11,
    "pythonic": PYTHONIC,
    "thinking": THINKING,
}
"""Those whose calls are rendered as their models write them."""

SPECIAL = "<|im_start|> <|im_end|> [TOOL_CALLS] <｜tool▁call▁begin｜> <|tool_call_start|> <|message|> <|end|>".split()
MARKERS = "<tool_call> </tool_call> <think> </think> <arg_key> </arg_value>".split()


@functools.cache
def byte_level(template: str = HERMES) -> PreTrainedTokenizerFast:
    """Spells any text (as Qwen, Llama 3 and gpt-oss)."""
    words = [("t", "h"), ("th", "e")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*alphabet, *(a + b for a, b in words)])}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=words))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return _finished(bpe, template)


@functools.cache
def with_fallback(template: str = HERMES) -> PreTrainedTokenizerFast:
    """Spells words with their space, and any byte (as Llama 2 and Mistral)."""
    pieces = [
        "<unk>",
        *(f"<0x{number:02X}>" for number in range(256)),
        "▁",
        *"abcdefghijklmnopqrstuvwxyz",
        *'{}[]":,0123456789',
    ]
    merges = [("▁", "a"), ("n", "o"), ("▁", "no"), ("y", "e")]
    vocabulary = {token: at for at, token in enumerate([*pieces, *(a + b for a, b in merges)])}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _finished(bpe, template)


@functools.cache
def of_words(words: str = "yes no maybe cat dog 1 2", template: str = HERMES) -> PreTrainedTokenizerFast:
    """Whole words, divided by spaces, and nothing else."""
    vocabulary = {word: at for at, word in enumerate(["<unk>", *words.split()])}
    level = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))
    level.pre_tokenizer = pre_tokenizers.Whitespace()
    return _finished(level, template)


def _finished(raw: Tokenizer, template: str) -> PreTrainedTokenizerFast:
    settings: dict[str, Any] = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, extra_special_tokens=SPECIAL, **settings)
    tokenizer.add_tokens([AddedToken(marker, special=False, normalized=False) for marker in MARKERS])
    tokenizer.chat_template = template
    return tokenizer
