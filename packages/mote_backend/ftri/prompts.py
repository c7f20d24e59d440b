"""The prompts whose routing is contrasted: a named set, from a file, a grid, or a list."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from mote_backend.errors import PromptError

FEWEST = 8
"""Prompts in a set; with fewer, the ten most different experts are mostly others in the next sample."""

RECOMMENDED = 64
"""Prompts in a set, below which a contrast says that its ranking is unsure."""

Message = tuple[str, str]
"""(role, content)."""


@dataclass(frozen=True)
class Prompt:
    """A conversation that ends where the model is to speak, and perhaps what it said."""

    messages: tuple[Message, ...]
    reply: str | None = None
    """What was answered; needed only to record the routing of the answer's tokens."""

    @property
    def text(self) -> str:
        """What the last message says."""
        return self.messages[-1][1]

    @classmethod
    def of(cls, given: Any) -> Prompt:
        """From a text, from `{"prompt": …}` or `{"messages": [{"role": …, "content": …}]}` (both with an optional
        `"reply"`), or from the list of messages itself. PromptError if it is none of these."""
        match given:
            case Prompt():
                return given
            case str() if given.strip():
                return cls((("user", given),))
            case {"prompt": str(text)} if text.strip():
                return cls((("user", text),), _reply(given))
            case {"messages": [*messages]} if messages:
                return cls(tuple(_message(one) for one in messages), _reply(given))
            case [*messages] if messages:
                return cls(tuple(_message(one) for one in messages))
        raise PromptError(
            f"{_short(given)} is no prompt; a prompt is a text that is not empty, "
            '{"prompt": "…"}, or {"messages": [{"role": "user", "content": "…"}]}.'
        )


@dataclass(frozen=True)
class PromptSet:
    """Prompts that have something in common, each of them once."""

    name: str
    prompts: tuple[Prompt, ...]
    """Given as whatever `Prompt.of` reads."""
    duplicates: int = field(init=False, default=0)
    """How many were given again and left out: the same prompt twice is one observation, not two."""

    def __post_init__(self) -> None:
        given = [Prompt.of(one) for one in self.prompts]
        kept = tuple(dict.fromkeys(given))
        object.__setattr__(self, "prompts", kept)
        object.__setattr__(self, "duplicates", len(given) - len(kept))

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """12 hex digits of the prompts; neither their order nor the set's name is part of it."""
        lines = sorted(json.dumps([one.messages, one.reply], ensure_ascii=False) for one in self.prompts)
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:12]

    @classmethod
    def of(cls, given: PromptSet | Iterable[Any], name: str) -> PromptSet:
        """A set as it is, or a new one of this name."""
        if isinstance(given, PromptSet):
            return given
        if isinstance(given, str | Mapping):
            raise PromptError(f"{_short(given)} is one prompt, and a list of prompts is needed.")
        return cls(name, tuple(given))

    @classmethod
    def load(cls, path: str | Path, name: str | None = None) -> PromptSet:
        """From a `.txt` file, a prompt a line, or a `.jsonl` file, an object a line as in `Prompt.of`; blank lines are
        skipped. Without a name it takes the file's. PromptError names the line that is wrong."""
        path = Path(path)
        if path.suffix not in (".txt", ".jsonl"):
            raise PromptError(f"{path} is no file of prompts; it ends in .txt (a prompt a line) or .jsonl.")
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except OSError as error:
            raise PromptError(f"The prompts {path} cannot be read: {error.strerror or error}.") from None
        except UnicodeDecodeError:
            raise PromptError(f"The prompts {path} are not UTF-8 text; save the file as UTF-8.") from None
        numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
        if path.suffix == ".txt":
            return cls(name or path.stem, tuple(Prompt.of(line) for _, line in numbered))
        return cls(name or path.stem, tuple(_line(path, number, line) for number, line in numbered))

    @classmethod
    def grid(cls, template: str, *, name: str = "grid", **values: Sequence[str]) -> PromptSet:
        """Each value of each placeholder with each of the others: `grid("What happened {time}{place}?", time=[…],
        place=[…])` are the prompts of the paper. `{{` and `}}` are written braces. PromptError if template and values
        do not fit each other."""
        wanted = _placeholders(template)
        if missing := [one for one in wanted if one not in values]:
            raise PromptError(f"The template {template!r} has the placeholder {{{missing[0]}}}, which has no values.")
        if unused := [one for one in values if one not in wanted]:
            raise PromptError(f"The template {template!r} has no placeholder {{{unused[0]}}} for the values given.")
        for key, given in values.items():
            if isinstance(given, str) or not given:
                raise PromptError(f"The values of {{{key}}} are {given!r}; a list with at least one text is needed.")
        rows = product(*(values[one] for one in wanted))
        return cls(name, tuple(Prompt.of(template.format(**dict(zip(wanted, row, strict=True)))) for row in rows))

    def split(self, labels: Iterable[str]) -> dict[str, PromptSet]:
        """A set for each label, such as what a judge said of each reply; one label a prompt, in their order."""
        labels = list(labels)
        if len(labels) != len(self):
            raise PromptError(
                f"There are {len(labels)} labels for the {len(self)} prompts of {self.name!r}; give one each."
            )
        return {
            label: PromptSet(label, tuple(one for one, its in zip(self.prompts, labels, strict=True) if its == label))
            for label in dict.fromkeys(labels)
        }


def check_contrast(sets: Sequence[PromptSet]) -> tuple[str, ...]:
    """What a reader of their contrast has to know, a sentence each. PromptError if they cannot be contrasted."""
    if len(sets) < 2:
        raise PromptError(f"A contrast needs two sets of prompts or more, not {len(sets)}.")
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise PromptError(f"Two sets of prompts are named {twice!r}; give each its own name.")
    notes = []
    for one in sets:
        if len(one) < FEWEST:
            raise PromptError(
                f"The set {one.name!r} has {len(one)} different prompts; at least {FEWEST} are needed, and "
                f"{RECOMMENDED} or more are better."
            )
        if one.duplicates:
            notes.append(f"{one.duplicates} repeated prompts of {one.name!r} were left out.")
        if again := len(one) - len(_asked(one)):
            notes.append(
                f"{again} prompts of {one.name!r} are there again with another reply; before the reply they are one "
                "observation, not two."
            )
        if len(one) < RECOMMENDED:
            notes.append(
                f"{one.name!r} has only {len(one)} prompts: the ranking of experts is unsure below {RECOMMENDED}."
            )
    return (*notes, *_overlaps(sets))


def _overlaps(sets: Sequence[PromptSet]) -> list[str]:
    notes = []
    for position, one in enumerate(sets):
        for other in sets[position + 1 :]:
            shared = set(one.prompts) & set(other.prompts)
            both = len(shared)
            if both and both in (len(one), len(other)):
                inner, outer = (one, other) if both == len(one) else (other, one)
                raise PromptError(
                    f"All prompts of {inner.name!r} are in {outer.name!r} too; each prompt can be in one of the sets."
                )
            if both:
                notes.append(f"{both} prompts are both in {one.name!r} and in {other.name!r}, where they tell nothing.")
            if alike := len((_asked(one) & _asked(other)) - {prompt.messages for prompt in shared}):
                notes.append(
                    f"{alike} prompts are both in {one.name!r} and in {other.name!r} but for their replies, so that "
                    "only the tokens of these can tell them apart."
                )
    return notes


def _asked(one: PromptSet) -> set[tuple[Message, ...]]:
    return {prompt.messages for prompt in one.prompts}


def _placeholders(template: str) -> list[str]:
    try:
        parsed = [one for one in string.Formatter().parse(template) if one[1] is not None]
    except ValueError as error:
        raise PromptError(
            f"The template {template!r} cannot be read: {error}; a brace that is meant is written twice."
        ) from None
    fields = [f"{name}{'!' if how else ''}{how or ''}{':' if spec else ''}{spec}" for _, name, spec, how in parsed]
    if not fields:
        raise PromptError(f"The template {template!r} has no placeholder; write one as {{place}}.")
    if odd := [one for one in fields if not one.isidentifier()]:
        raise PromptError(
            f"The template {template!r} has the placeholder {{{odd[0]}}}; a placeholder is one plain name."
        )
    return list(dict.fromkeys(fields))


def _line(path: Path, number: int, line: str) -> Prompt:
    try:
        return Prompt.of(json.loads(line))
    except PromptError as error:
        raise PromptError(f"Line {number} of {path}: {error}") from None
    except (ValueError, RecursionError):
        raise PromptError(
            f'Line {number} of {path} is no JSON; each line is an object such as {{"prompt": "…"}}.'
        ) from None


def _message(given: Any) -> Message:
    match given:
        case {"role": str(role), "content": str(content)} | (str(role), str(content)) if role.strip():
            return role, content
    raise PromptError(
        f'{_short(given)} is no message; a message is {{"role": "user", "content": "…"}}, both of them texts.'
    )


def _reply(given: Mapping[str, Any]) -> str | None:
    reply = given.get("reply")
    if reply is None or isinstance(reply, str):
        return reply
    raise PromptError(f"The reply {_short(reply)} is no text.")


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 80 else text[:77] + "…"
