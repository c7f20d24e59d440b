"""The models that a pool file names under `mote:`, each loaded when it is first asked."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, AIMessageChunk

from router_graph.errors import CardError, ModelNotFoundError
from router_graph.pool.card import ModelCard
from router_graph.pool.local_model import PROVIDER, LocalModel
from router_graph.pool.transport import Request
from router_graph.pool.transports.litellm import LiteLLMTransport

if TYPE_CHECKING:
    from mote_backend.chat.chat_mote import ChatMoTE

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_NUMBERS = itertools.count(1)


class LocalModelsTransport(LiteLLMTransport):
    """LiteLLM, whose provider `mote` has these models for the cards of one pool.

    Neither LiteLLM nor torch nor a model is loaded before it is asked. LiteLLM's providers are of the whole process, so
    that the models are registered under names of this pool's own: another pool may call another model the same.
    """

    def __init__(self, models: Mapping[str, ChatMoTE]) -> None:
        self._models = dict(models)
        number = next(_NUMBERS)
        self._registered_as = {name: f"{name}@{number}" for name in models}
        self._ready: set[str] = set()

    async def prepare(self, card: ModelCard | None = None) -> None:
        """Import LiteLLM, and load the model that is asked. Raises `ModelNotFoundError` where that fails."""
        await super().prepare(card)
        if card is None or (name := _name(card)) is None or name in self._ready:
            return
        await asyncio.to_thread(self._load, name, card)
        self._ready.add(name)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""
        message = await super().complete(self._renamed(request))
        told = {**message.response_metadata, "model_name": request.card.id}
        return message.model_copy(update={"response_metadata": told})

    def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in pieces."""
        return super().stream(self._renamed(request))

    def _renamed(self, request: Request) -> Request:
        name = _name(request.card)
        if name is None:
            return request
        model = request.card.id.replace(PROVIDER + name, PROVIDER + self._registered_as[name], 1)
        return replace(request, card=request.card.model_copy(update={"model": model}))

    def _load(self, name: str, card: ModelCard) -> None:
        from mote_backend.errors import MoTEError
        from mote_backend.serving.litellm_provider import register
        from mote_backend.serving.served_models import ServedModels

        model = self._models[name]
        try:
            from mote_backend.chat.loading import without_bars_in_logs

            without_bars_in_logs()
            ServedModels({name: model}).check()
        except MoTEError as error:
            raise ModelNotFoundError(f"{card.name!r} was not asked: {error}") from error
        except ImportError as error:
            raise ModelNotFoundError(
                f"{card.name!r} was not asked ({error}); pip install 'polyroute[mote]' brings what its model needs."
            ) from error
        register({self._registered_as[name]: model})


def local_models(told: Mapping[str, LocalModel], folder: Path, cards: Iterable[ModelCard]) -> LocalModelsTransport:
    """The models of a file in this folder, for the cards of it. Loads none of them.

    Raises `CardError` for a folder that holds no model or no masks, a mask that cannot be read, and a card whose model
    or mask is not there.
    """
    from mote_backend.errors import MoTEError
    from mote_backend.serving.served_models import ServedModels

    models: dict[str, ChatMoTE] = {}
    for name, one in told.items():
        try:
            models[name] = _opened(one, folder)
            served = ServedModels({name: models[name]})  # refuses what is no name
        except MoTEError as error:
            raise CardError(f"mote: {name}: {error}") from error
    for card in cards:
        if _name(card) is None:
            continue
        served = ServedModels(models)
        try:
            served.choose(card.id.removeprefix(PROVIDER), card.sent.get("mote_mask"))
        except MoTEError as error:
            raise CardError(f"The card {card.name!r}: {error}") from error
    return LocalModelsTransport(models)


def _opened(told: LocalModel, folder: Path) -> ChatMoTE:
    from mote_backend.chat.chat_mote import ChatMoTE
    from mote_backend.mask_book import MaskBook

    book = MaskBook(only_named=told.only_named)
    if told.masks is not None:
        book = MaskBook.of_folder(folder / Path(told.masks).expanduser(), only_named=told.only_named)
    return ChatMoTE(
        model=_source(told.model, folder),
        mask_book=book,
        dtype=told.dtype,
        device=told.device,
        trust_remote_code=told.trust_remote_code,
        revision=told.revision,
        max_batch=told.max_batch,
    )


def _source(model: str, folder: Path) -> str:
    """The folder that is meant, or the name on the hub."""
    from mote_backend.chat.local_folder import local_folder
    from mote_backend.planted import folder_named

    if planted := folder_named(model):
        return str(planted)
    path = folder / Path(model).expanduser()
    if path.is_dir() or not _HUB_NAME.fullmatch(model):
        return str(local_folder(str(path.absolute())))
    return model


def _name(card: ModelCard) -> str | None:
    """What `mote:` calls the card's model, where it is one of those."""
    if card.transport != "litellm" or card.api_base is not None or not card.id.startswith(PROVIDER):
        return None
    return card.id.removeprefix(PROVIDER).partition(":")[0]
