"""Who trains a model next waits until nobody evaluates it any more."""

from __future__ import annotations

import threading

from torch import nn

from mote_backend.evaluating import await_own_mode, evaluating


def test_the_own_mode_is_back_when_the_wait_is_over():
    model, inside, leave = nn.Dropout(), threading.Event(), threading.Event()

    def evaluate():
        with evaluating(model):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=evaluate)
    thread.start()
    assert inside.wait(10) and not model.training
    threading.Timer(0.1, leave.set).start()
    await_own_mode(model)
    assert model.training
    thread.join()
    await_own_mode(model)  # at once, where nobody does
