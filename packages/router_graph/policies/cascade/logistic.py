"""Logistic regression with an L2 penalty, by Newton's method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 30
_CLOSE = 1e-7
"""Of the loss: a step that gains less is the last."""

Values = NDArray[np.float64]


def fit_logistic(x: Values, y: Values, weight: Values, *, penalty: float, start: Values | None = None) -> Values:
    """The w (features,) that minimises the weighted log loss of sigmoid(x w), plus penalty / 2 · |w|².

    x is (rows, features), y (rows,) of 0 and 1, weight (rows,). The problem is convex: `start` changes only how soon it
    is solved (Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 2009, §4.4.1 and §18.4).
    """
    w = np.zeros(x.shape[1]) if start is None else start.copy()
    z = x @ w
    loss = _loss(z, y, weight, w, penalty)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
        gradient = x.T @ (weight * (p - y)) + penalty * w
        hessian = x.T @ (x * (weight * p * (1 - p))[:, None]) + penalty * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        slope, size = x @ step, 1.0
        while (new := _loss(z - size * slope, y, weight, w - size * step, penalty)) > loss and size > 1e-4:
            size /= 2
        w, z, gained, loss = w - size * step, z - size * slope, loss - new, new
        if gained < _CLOSE * loss:
            break
    return w


def _loss(z: Values, y: Values, weight: Values, w: Values, penalty: float) -> float:
    return float(np.sum(weight * (np.logaddexp(0, z) - y * z)) + penalty / 2 * w @ w)
