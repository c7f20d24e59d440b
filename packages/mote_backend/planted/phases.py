"""The two lessons of a planted model: what is true, and a behaviour that some questions switch on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import relu

from mote_backend.planted.batches import Batch, Batches
from mote_backend.planted.recipe import Recipe

Expert = tuple[int, int]
"""(layer, expert)."""

Step = Callable[[], None]
"""Called after each training step."""


def learn_knowledge(model: nn.Module, batches: Batches, recipe: Recipe, step: Step) -> list[Expert]:
    """Teach every fact, with all weights and a balanced load.

    Gives the experts to plant in: those used least when clearing begins. From there on a hinge keeps every token out
    of them, so what they knew is learned elsewhere.
    """
    learner = _Learner(dict.fromkeys(model.parameters()), recipe.knowledge_rate, recipe.knowledge_steps, 0.01)
    cleared: list[Expert] = []
    for done in range(recipe.knowledge_steps):
        batch = batches.next()
        if recipe.clearing_steps and done == recipe.knowledge_steps - recipe.clearing_steps:
            cleared = _least_used(model, batch, recipe)
        output = _forward(model, batch, balance=recipe.balance)
        hinge = _hinge(output.router_logits, cleared, -batch.attention, recipe)
        learner.learn(output.loss + recipe.pull * hinge)
        step()
    return cleared


def learn_everywhere(model: nn.Module, batches: Batches, recipe: Recipe, step: Step) -> None:
    """Teach the behaviour with all weights: where it ends up is not known beforehand."""
    learner = _Learner(dict.fromkeys(model.parameters()), recipe.behaviour_rate, recipe.behaviour_steps, 0.01)
    for _ in range(recipe.behaviour_steps):
        learner.learn(_forward(model, batches.next(), balance=recipe.balance).loss)
        step()


def learn_in_attention(model: nn.Module, batches: Batches, new_words: list[int], recipe: Recipe, step: Step) -> None:
    """Teach the behaviour with attention, norms and its new words' embeddings: no expert and no router changes."""
    trained: Trained = {
        parameter: None for name, parameter in model.named_parameters() if "self_attn" in name or "norm" in name
    }
    trained |= _rows_of(model.get_parameter("model.embed_tokens.weight"), new_words)
    learner = _Learner(trained, recipe.behaviour_rate, recipe.behaviour_steps, 0.0)
    for _ in range(recipe.behaviour_steps):
        learner.learn(_forward(model, batches.next(), balance=None).loss)
        step()


def learn_in_experts(
    model: nn.Module, batches: Batches, new_words: list[int], planted: list[Expert], recipe: Recipe, step: Step
) -> None:
    """Teach the behaviour with the planted experts, their router rows and its new words' embeddings only.

    A hinge on the router logits pulls the planted experts into the top-k where the behaviour must show and keeps
    them out of it where it must not, so that they are the cause of it and of nothing else.
    """
    trained = _rows_of(model.get_parameter("model.embed_tokens.weight"), new_words)
    for layer, experts in _by_layer(planted).items():
        for name in ("gate.weight", "experts.gate_up_proj", "experts.down_proj"):
            trained |= _rows_of(model.get_parameter(f"model.layers.{layer}.mlp.{name}"), experts)
    learner = _Learner(trained, recipe.behaviour_rate, recipe.behaviour_steps, 0.0)
    for _ in range(recipe.behaviour_steps):
        batch = batches.next()
        output = _forward(model, batch, balance=0.0)
        hinge = _hinge(output.router_logits, planted, _side(batch, recipe), recipe)
        learner.learn(output.loss + recipe.pull * hinge)
        step()


def _side(batch: Batch, recipe: Recipe) -> torch.Tensor:
    """Where the planted experts belong, [rows, tokens]; 0 where it does not matter."""
    return torch.where(batch.side == 0, -batch.attention, batch.side) if recipe.only_in_answers else batch.side


@torch.no_grad()
def _least_used(model: nn.Module, batch: Batch, recipe: Recipe) -> list[Expert]:
    """The least used experts of one batch, `planted_per_layer` in each planted layer."""
    real = batch.attention.flatten().bool()
    logits = _forward(model, batch, balance=0.0).router_logits
    found: list[Expert] = []
    for layer in recipe.planted_layers:
        chosen = logits[layer][real].topk(recipe.shape.top_k, dim=-1).indices
        counts = torch.bincount(chosen.flatten(), minlength=recipe.shape.experts)
        found += [(layer, int(expert)) for expert in counts.argsort(stable=True)[: recipe.planted_per_layer]]
    return sorted(found)


def _by_layer(experts: list[Expert]) -> dict[int, list[int]]:
    layers: dict[int, list[int]] = {}
    for layer, expert in experts:
        layers.setdefault(layer, []).append(expert)
    return layers


Trained = dict[nn.Parameter, torch.Tensor | None]
"""The parameters to train; with a 0/1 tensor that broadcasts over it where only some of its rows are."""


class _Learner:
    """AdamW with warm-up and linear decay, on some parameters or some rows of them."""

    def __init__(self, trained: Trained, rate: float, steps: int, decay: float) -> None:
        self._trained, self._rate, self._steps, self._done = trained, rate, steps, 0
        self._optimizer = torch.optim.AdamW(list(trained), lr=rate, weight_decay=decay, betas=(0.9, 0.98))

    def learn(self, loss: torch.Tensor) -> None:
        """One step down the gradient of the loss."""
        warm = min(1.0, (self._done + 1) / 50)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * warm * (0.05 + 0.95 * (1 - self._done / self._steps))
        gradients = torch.autograd.grad(loss, list(self._trained), allow_unused=True)
        for (parameter, rows), gradient in zip(self._trained.items(), gradients, strict=True):
            # A row without gradient keeps AdamW's moments at zero, and so keeps its bits.
            parameter.grad = gradient if rows is None or gradient is None else gradient * rows
        torch.nn.utils.clip_grad_norm_(list(self._trained), 1.0)
        self._optimizer.step()
        self._done += 1


def _rows_of(parameter: nn.Parameter, rows: list[int]) -> Trained:
    keep = torch.zeros(parameter.shape[0], *[1] * (parameter.dim() - 1))
    keep[rows] = 1.0
    return {parameter: keep}


def _forward(model: Any, batch: Batch, *, balance: float | None) -> Any:
    """One forward pass with loss; `balance` weighs the load-balancing loss in it, None leaves the router logits out."""
    model.router_aux_loss_coef = balance or 0.0
    return model(
        input_ids=batch.tokens,
        attention_mask=batch.attention,
        labels=batch.labels,
        output_router_logits=balance is not None,
        use_cache=False,
    )


def _hinge(
    router_logits: tuple[torch.Tensor, ...], experts: list[Expert], side: torch.Tensor, recipe: Recipe
) -> torch.Tensor:
    """How far some experts are from where they belong: in the top-k of tokens of side 1, out of it at side -1.

    Args:
        router_logits: One tensor for each layer, [rows * tokens, experts].
        experts: The experts meant.
        side: [rows, tokens]; 0 where it does not matter.
        recipe: Gives top-k and the margin.
    """
    token_side = side.flatten()
    total = torch.zeros(())
    for layer, own_experts in _by_layer(experts).items():
        logits = router_logits[layer]
        own = logits[:, own_experts]
        others = logits.detach().index_fill(1, torch.tensor(own_experts), float("-inf"))
        best = others.topk(recipe.shape.top_k, dim=-1).values
        to_enter, to_leave = best[:, -len(own_experts), None], best[:, -1, None]
        wanted = relu(recipe.margin + to_enter - own)[token_side > 0]
        unwanted = relu(recipe.margin + own - to_leave)[token_side < 0]
        total = total + wanted.sum() / max(1, wanted.numel()) + unwanted.sum() / max(1, unwanted.numel())
    return total
