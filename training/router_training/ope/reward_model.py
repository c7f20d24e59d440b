"""A model of what an action earns from here on, under the target: ridge regression, cross-fitted over questions."""

from __future__ import annotations

import numpy as np

from router_training.ope.bandit import Floats, Integers, Logged

FOLDS = 5
RIDGE = 4.0
"""Added to the diagonal for all but the intercept: four imagined steps that know nothing. With less, the model follows
single steps of large weight, and intervals get too short: benchmarks/ope_coverage.py, 1,000 questions, target wrong."""


def action_values(logged: Logged, target: Floats, *, folds: int = FOLDS, seed: int = 0) -> Floats:
    """[n, A] the modelled reward-to-go Q of every action at every step, the target being followed afterwards.

    Fitted Q evaluation (Le, Voloshin and Yue, ICML 2019) on the steps of the *other* folds; a question is in one fold
    (Chernozhukov et al., Econometrics Journal 21, 2018).
    `folds=1` fits on the very steps that are then valued, which biases what is built on it: for comparison only.
    """
    inputs = _inputs(logged)
    fold = _folds(logged, folds, seed)[logged.episode]
    following = _following(logged)
    values = np.zeros((len(logged.action), len(logged.actions)))
    for number in range(folds):
        ours = fold == number
        if not ours.any():
            continue
        rows = np.flatnonzero(~ours if folds > 1 else ours)
        values[ours] = inputs[ours] @ _fit(logged, target, inputs, rows, following)
    return values


def _fit(logged: Logged, target: Floats, inputs: Floats, rows: Integers, following: Integers) -> Floats:
    """[d + 1, A] coefficients: a part that all actions share, and one of each action's own."""
    d, several = inputs.shape[1], len(logged.actions)
    x, action = inputs[rows], logged.action[rows]
    design = np.zeros((len(rows), d * (several + 1)))
    design[:, :d] = x
    for one in range(several):
        chosen = action == one
        design[chosen, d * (one + 1) : d * (one + 2)] = x[chosen]
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 1e-9
    gram = design.T @ design + np.diag(penalty)
    then = following[rows]
    last = then < 0
    goal = logged.reward[rows]
    coefficients = _by_action(np.linalg.solve(gram, design.T @ goal), d, several)
    for _ in range(logged.horizon - 1):
        ahead = ((inputs[then] @ coefficients) * target[then]).sum(axis=1)
        wanted = design.T @ (goal + np.where(last, 0.0, ahead))
        coefficients = _by_action(np.linalg.solve(gram, wanted), d, several)
    return coefficients


def _by_action(flat: Floats, d: int, several: int) -> Floats:
    parts = flat.reshape(several + 1, d)
    return (parts[:1] + parts[1:]).T


def _inputs(logged: Logged) -> Floats:
    """[n, …] an intercept, the step's place in its episode, and the features, scaled."""
    columns = [np.ones((len(logged.action), 1))]
    if logged.horizon > 1:
        columns.append(np.eye(logged.horizon)[logged.place])
    if logged.features is not None:
        largest = np.abs(logged.features).max(axis=0)
        columns.append(logged.features / np.where(largest > 0, largest, 1.0))
    return np.concatenate(columns, axis=1)


def _folds(logged: Logged, folds: int, seed: int) -> Integers:
    """[E] the fold of each episode: questions are dealt out in a random order."""
    order = np.random.default_rng(seed).permutation(logged.questions)
    return (order % folds)[logged.cluster]


def _following(logged: Logged) -> Integers:
    """[n] the row of the episode's next step; -1 after its last."""
    rows = np.full((logged.episodes, logged.horizon + 1), -1, dtype=np.int64)
    rows[logged.episode, logged.place] = np.arange(len(logged.action))
    following: Integers = rows[logged.episode, logged.place + 1]
    return following
