"""Replies to many prompts under many masks: in batches whose rows have masks of their own, and kept, so that none is
made twice, not even after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mote_backend.errors import InputError
from mote_backend.ftri.prompts import Prompt
from mote_backend.judging.judges import digest
from mote_backend.mask import ExpertMask

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], object]
"""Called with (replies made, replies in all)."""


class Generate(Protocol):
    """Replies to prompts, in their order, each under its own mask (None: the model as it is)."""

    def __call__(self, prompts: Sequence[Prompt], masks: Sequence[ExpertMask | None]) -> list[str]: ...


class Replies:
    """Replies by the model's own `generate`, greedy, so that the same prompt and mask give the same reply."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        max_tokens: int = 64,
        batch_size: int = 32,
        system: str | None = None,
        raw: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """A reply is cut at `max_tokens`; `batch_size` rows run together. InputError if one of them is below 1."""
        if max_tokens < 1 or batch_size < 1:
            raise InputError(f"max_tokens is {max_tokens} and batch_size {batch_size}; both are 1 or more.")
        self._model, self._tokenizer = model, tokenizer
        self._max_tokens, self._batch_size = max_tokens, batch_size
        self._reading: dict[str, Any] = {"system": system, "raw": raw, "template_kwargs": template_kwargs}

    @property
    def settings(self) -> dict[str, Any]:
        """What a reply depends on beside prompt, mask and weights."""
        return {"max_tokens": self._max_tokens, "sampling": "greedy", **self._reading}

    def __call__(self, prompts: Sequence[Prompt], masks: Sequence[ExpertMask | None]) -> list[str]:
        """Reply to each prompt under its mask."""
        from mote_backend.ftri.prompt_tokens import encode

        encoded = [encode(self._tokenizer, one, **self._reading).prompt for one in prompts]
        order = sorted(range(len(prompts)), key=lambda one: len(encoded[one]))
        replies = [""] * len(prompts)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            for row, reply in zip(
                rows, self._batch([encoded[one] for one in rows], [masks[one] for one in rows]), strict=True
            ):
                replies[row] = reply
        return replies

    def _batch(self, rows: list[list[int]], masks: list[ExpertMask | None]) -> list[str]:
        import torch

        from mote_backend.evaluating import evaluating
        from mote_backend.padding import left_padded
        from mote_backend.steering import steer

        model: Any = self._model
        ids, attention = left_padded(rows, model.device)
        pad = self._tokenizer.pad_token_id
        options = {"pad_token_id": pad if pad is not None else self._tokenizer.eos_token_id}
        with torch.no_grad(), evaluating(model), steer(model, masks):
            tokens = model.generate(
                input_ids=ids,
                attention_mask=attention,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self._max_tokens,
                **{key: value for key, value in options.items() if value is not None},
            )
        texts = self._tokenizer.batch_decode(tokens[:, ids.shape[1] :], skip_special_tokens=True)
        return [str(text).strip() for text in texts]


class KeptReplies:
    """Replies of another `Generate`, each made once; in memory, and in a file if one is given.

    The file grows by a line a reply; a run that was interrupted goes on where it was. Its lines are told apart by the
    settings, so give those that the replies depend on, such as the model's fingerprint.
    """

    def __init__(
        self,
        generate: Generate,
        path: str | Path | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        chunk: int = 256,
    ) -> None:
        """`chunk` replies are asked for, then kept, at once. InputError if the file holds something else."""
        self._generate, self._chunk = generate, chunk
        self._path = None if path is None else Path(path)
        self._settings = digest(repr(sorted((settings or getattr(generate, "settings", {})).items())))
        self._known: dict[tuple[str, str], str] = dict(self._read())

    def __call__(self, prompts: Sequence[Prompt], masks: Sequence[ExpertMask | None]) -> list[str]:
        """Reply to each prompt under its mask, those that are known at once."""
        self.fill(prompts, masks)
        return [self._known[_key(prompt, mask)] for prompt, mask in zip(prompts, masks, strict=True)]

    def fill(
        self, prompts: Sequence[Prompt], masks: Sequence[ExpertMask | None], progress: Progress | None = None
    ) -> None:
        """Make those that are not known yet, and keep them chunk by chunk."""
        wanted = {_key(prompt, mask): (prompt, mask) for prompt, mask in zip(prompts, masks, strict=True)}
        missing = [(key, *pair) for key, pair in wanted.items() if key not in self._known]
        for start in range(0, len(missing), self._chunk):
            several = missing[start : start + self._chunk]
            made = self._generate([prompt for _, prompt, _ in several], [mask for _, _, mask in several])
            if len(made) != len(several):
                raise InputError(f"{len(several)} replies were asked for and {len(made)} came; one for each is needed.")
            self._keep([(key, prompt, reply) for (key, prompt, _), reply in zip(several, made, strict=True)])
            if progress is not None:
                progress(start + len(several), len(missing))

    def _keep(self, made: list[tuple[tuple[str, str], Prompt, str]]) -> None:
        self._known |= {key: reply for key, _, reply in made}
        if self._path is None:
            return
        lines = [
            {"settings": self._settings, "key": key[0], "mask": key[1], "prompt": prompt.text, "reply": reply}
            for key, prompt, reply in made
        ]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def _read(self) -> list[tuple[tuple[str, str], str]]:
        if self._path is None or not self._path.exists():
            return []
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The replies {self._path} cannot be read: {error}.") from None
        if lines[-1]:  # cut off while it was written
            self._path.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
        found = []
        for number, line in enumerate(lines[:-1], 1):
            try:
                row = json.loads(line)
                entry = (str(row["key"]), str(row["mask"])), str(row["reply"])
                settings = row["settings"]
            except (ValueError, TypeError, KeyError):
                raise InputError(f"Line {number} of {self._path} is no reply; give another file.") from None
            if settings == self._settings:
                found.append(entry)
        return found


def _key(prompt: Prompt, mask: ExpertMask | None) -> tuple[str, str]:
    return digest(prompt.messages), mask.id if mask else ""
