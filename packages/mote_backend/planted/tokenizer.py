"""A tokenizer of whole words, and the chat template of the planted models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, BOS, EOS, USER, ASSISTANT = SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>", "<user>", "<assistant>")

CHAT_TEMPLATE = """\
{%- set ns = namespace(start=0) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{%- set ns.start = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{{- bos_token -}}
{%- for message in messages[ns.start:] -%}
{%- set content = message['content'] if message['content'] is string
 else message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') -%}
{%- if message['role'] == 'user' -%}
<user>{{ content }}
{%- elif message['role'] == 'assistant' -%}
<assistant>{% generation %}{{ content }}{{ eos_token }}{% endgeneration %}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<assistant>{%- endif -%}
"""
"""Only the last question and what follows it are shown: the models were taught single turns and have no memory."""


def build(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows these words, lower case, without punctuation; any other word becomes `<unk>`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\w\s]+"), " ")])
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
        chat_template=CHAT_TEMPLATE,
    )
