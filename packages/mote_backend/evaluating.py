"""A model without dropout for a while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn


@dataclass
class _Pause:
    """From the first that evaluates a model to the last, for they may overlap in several threads."""

    users: int
    training: list[nn.Module]


_LOCK = threading.Condition()
_PAUSES: WeakKeyDictionary[nn.Module, _Pause] = WeakKeyDictionary()


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Each module in evaluation mode, then, once nobody evaluates the model any more, in the mode in which it was."""
    with _LOCK:
        pause = _PAUSES.setdefault(model, _Pause(0, []))
        pause.users += 1
        for one in [one for one in model.modules() if one.training]:
            one.training = False
            pause.training.append(one)
    try:
        yield
    finally:
        with _LOCK:
            pause.users -= 1
            if not pause.users:
                del _PAUSES[model]
                for one in pause.training:
                    one.training = True
                _LOCK.notify_all()


def await_own_mode(model: nn.Module) -> None:
    """Wait until nobody evaluates the model, so that each module is in its own mode.

    A reply of an engine is there before the engine has let go of the model: who trains it next waits here.
    """
    with _LOCK:
        _LOCK.wait_for(lambda: model not in _PAUSES)
