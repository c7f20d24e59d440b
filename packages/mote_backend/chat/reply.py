"""A completion as a LangChain message: text, usage, token ids and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages.ai import UsageMetadata

from mote_backend.chat.completion import Completion, Token


def usage_of(completion: Completion) -> UsageMetadata:
    """Tokens that were read and sampled, the end-of-sequence token too."""
    read, sampled = len(completion.prompt_ids), len(completion.tokens)
    return UsageMetadata(input_tokens=read, output_tokens=sampled, total_tokens=read + sampled)


def token_metadata(completion: Completion) -> dict[str, Any]:
    """What a trainer needs: `prompt_token_ids`, `token_ids` and `token_logprobs`, with the end-of-sequence token."""
    return {
        "prompt_token_ids": list(completion.prompt_ids),
        "token_ids": [token.id for token in completion.tokens],
        "token_logprobs": [token.logprob for token in completion.tokens],
    }


def openai_logprobs(tokenizer: Any, completion: Completion) -> dict[str, Any]:
    """OpenAI's `logprobs`: an entry for each token of the reply, without the end-of-sequence token."""
    shown = completion.tokens[:-1] if completion.ended else completion.tokens
    return {"content": [_entry(tokenizer, token) for token in shown], "refusal": None}


def _entry(tokenizer: Any, token: Token) -> dict[str, Any]:
    top = [_told(tokenizer, id_, logprob) for id_, logprob in token.top]
    return {**_told(tokenizer, token.id, token.logprob), "top_logprobs": top}


def _told(tokenizer: Any, token: int, logprob: float) -> dict[str, Any]:
    text = _decoded(tokenizer, [token])
    whole = "\N{REPLACEMENT CHARACTER}" not in text  # else the token is part of a character
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
