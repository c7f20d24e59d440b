"""A pool as people write it down: a YAML file of model cards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from router_graph.errors import CardError, UnknownModelError, UnknownPriceError
from router_graph.pool.card import Measured, ModelCard
from router_graph.pool.local_model import LocalModels
from router_graph.pool.pool import ModelPool
from router_graph.pool.transport import Transport
from router_graph.pool.transports.replay import ReplayTransport
from router_graph.validation import Settings
from router_graph.yaml_edit import edit

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache


class PoolFile(Settings):
    """What a pool file may hold."""

    mistake = CardError

    mote: LocalModels = Field(default_factory=dict)
    """Models with switchable experts that run in this process, by name; of a card, `model: mote/NAME` is one."""
    models: list[dict[str, Any]] = Field(default_factory=list)
    """The cards; `ModelCard` has their keys. Left out, they are those of the recorded replies."""
    fallbacks: dict[str, list[str] | str] = Field(default_factory=dict)
    """Whom to ask where a model fails, by name."""
    retries: int = Field(default=1, ge=0)
    replies: str | None = None
    """A folder of recorded replies, for cards with `transport: replay`; relative to the file."""

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        return "'models' is missing." if not self.models and self.replies is None else None


def read_pool_file(path: Path | str) -> PoolFile:
    """What a file says. Raises `CardError` with the file's name."""
    path = Path(path)
    with _of_file(path):
        return PoolFile.model_validate(_mapping(_text(path)))


def load_pool(
    path: Path | str, *, transports: Mapping[str, Transport] | None = None, cache: BaseCache | None = None
) -> ModelPool:
    """The pool of a file. Raises `CardError`, `UnknownPriceError` and `UnknownModelError`, with the file's name."""
    path = Path(path)
    read = read_pool_file(path)
    with _of_file(path):
        return pool_of(read, path.parent, transports=transports, cache=cache)


def pool_of(
    told: PoolFile, folder: Path, *, transports: Mapping[str, Transport] | None = None, cache: BaseCache | None = None
) -> ModelPool:
    """The pool of what a file in this folder says. Raises `CardError`, `UnknownPriceError`, `UnknownModelError`."""
    cards = [ModelCard.model_validate(card) for card in told.models]
    known: dict[str, Transport] = {}
    if told.replies is not None:
        known["replay"] = replay = ReplayTransport.load(folder / told.replies)
        cards = cards or replay.cards()
    if told.mote:
        from router_graph.settings_mote import local_models

        known["litellm"] = local_models(told.mote, folder, cards)
    return ModelPool(
        cards, transports={**known, **(transports or {})}, fallbacks=told.fallbacks, retries=told.retries, cache=cache
    )


def write_measured(path: Path | str, name: str, measured: Measured) -> None:
    """Put what was measured into a card of a file, whose comments and order stay. Raises `CardError`.

    The file is replaced as a whole, and only by one that says the same but for the card's `measured`.
    """
    path, facts = Path(path), measured.model_dump(exclude_none=True)
    with _of_file(path.resolve()):
        PoolFile.model_validate(_mapping(_text(path)))
        if not edit(path, lambda content: _put_measured(_card(content, name), facts)):
            raise CardError("it cannot be written without a change of what it says; add `measured` by hand.")


def _card(content: Mapping[str, Any], name: str) -> Any:
    card = next((one for one in content.get("models", ()) if one.get("name") == name), None)
    if card is None:
        raise CardError(f"it has no card {name!r}.")
    return card


def _put_measured(card: Any, facts: dict[str, Any]) -> None:
    # ruamel.yaml keeps a comment with the key above it, so what is there is changed in place, and its last key stays
    # the last: the next card's comment hangs on it.
    known = card.get("measured")
    if not isinstance(known, CommentedMap) or not known:
        card["measured"] = facts
        return
    last = list(known)[-1]
    for key in [key for key in known if key not in facts and key != last]:
        del known[key]
    for key, value in facts.items():
        if key in known:
            known[key] = value
        else:
            known.insert(len(known) - 1, key, value)
    if last not in facts:
        del known[last]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CardError("there is no such file; give a YAML file with a list `models:`.") from None
    except UnicodeDecodeError:
        raise CardError("it is no text in UTF-8.") from None
    except OSError as error:
        raise CardError(f"it cannot be read ({error.strerror}).") from None


def _mapping(text: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise CardError(_in_words(error)) from None
    except (RecursionError, ValueError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise CardError(f"it cannot be read as YAML ({why}).") from None
    if content is None:
        raise CardError("it is empty; it needs a list `models:` of cards.")
    if not isinstance(content, dict):
        what = "a list" if isinstance(content, list) else "one value"
        raise CardError(f"it holds {what}, and not keys; the cards stand in a list under `models:`.")
    return content


def _in_words(error: YAMLError) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"it is no YAML ({' '.join(str(error).split())})."
    problem = str(error.problem).split(" with value")[0]  # a key that stands twice: what it holds says nothing
    return f"it is no YAML in line {error.problem_mark.line + 1}: {problem}."


@contextlib.contextmanager
def _of_file(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except (CardError, UnknownModelError) as error:
        kind = next(one for one in (UnknownPriceError, UnknownModelError, CardError) if isinstance(error, one))
        raise kind(f"{path}: {error}") from None
