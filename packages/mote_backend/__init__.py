"""A chat model whose Mixture-of-Experts experts can be switched off and on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mote_backend.chat.chat_model import ChatTransformers as ChatTransformers
    from mote_backend.chat.chat_mote import ChatMoTE as ChatMoTE
    from mote_backend.chat.engine import Engine as Engine
    from mote_backend.fingerprint import Fingerprint as Fingerprint
    from mote_backend.mask import ExpertMask as ExpertMask
    from mote_backend.mask_book import MaskBook as MaskBook
    from mote_backend.steering import Steering as Steering
    from mote_backend.steering import steer as steer

_HOMES = {
    "ChatMoTE": "chat.chat_mote",
    "ChatTransformers": "chat.chat_model",
    "Engine": "chat.engine",
    "ExpertMask": "mask",
    "Fingerprint": "fingerprint",
    "MaskBook": "mask_book",
    "Steering": "steering",
    "steer": "steering",
}
"""Public name → module, loaded when asked for: importing the package loads neither torch nor transformers."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if home := _HOMES.get(name):
        from importlib import import_module

        return getattr(import_module(f"mote_backend.{home}"), name)
    raise AttributeError(f"module 'mote_backend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
