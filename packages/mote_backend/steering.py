"""Apply masks while a model runs, one for each row of the batch: a context manager that leaves no trace."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor, nn

from mote_backend.errors import InputError, UnsupportedModelError
from mote_backend.evaluating import evaluating
from mote_backend.families import Site, find_sites, fingerprint, unmaskable, watch
from mote_backend.fingerprint import Fingerprint
from mote_backend.mask import ExpertMask
from mote_backend.plan import Plan, Tables, checked_rows, compile_tables
from mote_backend.routing import masked

Masks = ExpertMask | Sequence[ExpertMask | None] | None
"""One for all rows, or one for each row of the batch."""

_PLANS: ContextVar[Mapping[object, Plan]] = ContextVar("mote_plans", default=types.MappingProxyType({}))
"""What is applied in this thread or task, by the key of the model."""

_KNOWN_TABLES = 64

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def steer(model: nn.Module, masks: Masks, *, prompt_length: int | None = None) -> Iterator[Steering]:
    """Run `model` in this block with the masks, in this thread or task alone; other threads may use other masks.

    `masks` is one for all rows, or a list with one (or None) for each row of the batch: beams and
    `num_return_sequences` follow their row. `prompt_length` says how many columns are the prompt's, padding included;
    `generate` says it by itself, and else the first forward with an empty cache is the prompt. It matters to masks for
    one phase only. A key-value cache that was filled under one mask belongs to it: don't use it under another.

    UnsupportedModelError if the model cannot be masked; MaskError if a mask does not fit.
    """
    with _attached(model) as steering, steering.apply(masks, prompt_length=prompt_length):
        yield steering


class Steering:
    """A model whose routers listen to masks. Making one attaches it, `detach` ends that; without a mask applied the
    model computes the same bits as ever. A copy of the model (deepcopy) listens to nobody until it is attached too.
    """

    def __init__(self, model: nn.Module, *, check: bool = True) -> None:
        """Attach; with `check`, one forward of one token proves that every router obeys (on models in memory)."""
        self.model = model
        self.sites = find_sites(model)
        self.unmaskable = unmaskable(model)
        """(path, reason) of routed layers that no mask reaches."""
        self._fingerprint: Fingerprint | None = None
        self.key = _Key()
        """Under which its masks are found."""
        self._tables: OrderedDict[tuple[Any, ...], Tables] = OrderedDict()
        self._lock = threading.Lock()
        self._hooks: list[Any] = []
        self._attach()
        if check and model not in _CHECKED:
            try:
                self._check()
            except BaseException:
                self.detach()
                raise
            _CHECKED.add(model)

    @classmethod
    def of(cls, model: nn.Module) -> Steering:
        """The Steering that the model has, even if a block of `steer` made it, which then leaves it in place; else a
        new one. For those who share a model and don't detach."""
        with _LOCK:
            known = _ATTACHED.get(model)
            steering = known() if known else None
            if steering is None:
                return cls(model)
            _USERS.pop(steering.key, None)
            return steering

    @property
    def fingerprint(self) -> Fingerprint:
        """Which model this is, for the masks that are made from it."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.model, self.sites)
        return self._fingerprint

    @contextlib.contextmanager
    def apply(self, masks: Masks, *, prompt_length: int | None = None) -> Iterator[Plan | None]:
        """As `steer`, on a model that is attached; InputError if it was detached."""
        if self.key not in _LIVE:
            raise InputError("This Steering was detached from its model; make a new one.")
        plan = self._plan(checked_rows(masks), prompt_length)
        plans = dict(_PLANS.get())
        if plan is None:
            plans.pop(self.key, None)
        else:
            plans[self.key] = plan
        token = _PLANS.set(plans)
        try:
            yield plan
        finally:
            _PLANS.reset(token)

    @contextlib.contextmanager
    def apply_tokens(
        self, masks: Sequence[ExpertMask | None], rows: Tensor, decode: Tensor | None = None
    ) -> Iterator[None]:
        """For packed batches: `rows` [tokens] says which of the masks each token has, `decode` [tokens] which tokens
        are generated ones (needed by masks for one phase)."""
        with self.apply(masks) as plan:
            if plan is not None:
                plan.tokens_are(rows, decode)
            yield

    def detach(self) -> None:
        """Give the routers their forward back."""
        _forget(self.key, self._hooks)
        _ATTACHED.pop(self.model, None)
        for module in [*(site.module for site in self.sites), self.model]:
            state = module.__dict__.get("_mote")
            if state is None or state.key is not self.key:
                continue
            del module.__dict__["_mote"], module.__dict__[state.method]
            if state.before is not None:
                module.__dict__[state.method] = state.before

    def _plan(self, rows: tuple[ExpertMask | None, ...], prompt_length: int | None) -> Plan | None:
        if not any(rows):
            return None
        if rows.count(rows[0]) == len(rows):
            rows = rows[:1]
        device = next(self.sites[0].module.parameters()).device
        key = (*(None if one is None else (one.id, one.model) for one in rows), str(device))
        with self._lock:
            tables = self._tables.get(key)
            if tables is None:
                for mask in {one for one in rows if one}:
                    mask.check(self.fingerprint)
                    if not mask.fits_weights(self.fingerprint):
                        _LOG.warning(
                            "The mask %s was made for other weights of the same shape, where its numbers mean other "
                            "experts.",
                            mask.title,
                        )
                tables = self._tables[key] = compile_tables(self.sites, rows, device)
                while len(self._tables) > _KNOWN_TABLES:
                    self._tables.popitem(last=False)
            self._tables.move_to_end(key)
        return Plan(tables, prompt_length)

    def _attach(self) -> None:
        taken = [site.name for site in self.sites if _attached_to(site.module)]
        if taken:
            raise InputError(
                f"The model is attached already (see its router {taken[0]}); use that Steering, or detach it first."
            )
        for site in self.sites:
            _shadow(site.module, "forward", _masked_forward, self.key, site)
        if callable(getattr(self.model, "generate", None)):
            _shadow(self.model, "generate", _generate, self.key, None)
        _LIVE.add(self.key)
        weakref.finalize(self, _forget, self.key, self._hooks)
        for module in _entrances(self.model, self.sites):
            self._hooks.append(module.register_forward_pre_hook(_Begin(self.key), with_kwargs=True))
        _ATTACHED[self.model] = weakref.ref(self)

    def _check(self) -> None:
        """Leave each layer just as many experts as a token needs; then these must be what every router selects."""
        if any(one.device.type == "meta" for one in self.model.parameters()):
            return
        off = frozenset((site.layer, expert) for site in self.sites for expert in range(site.experts - site.top_k))
        seen: dict[int, Tensor] = {}
        handles = [watch(site, lambda at, indices, _: seen.__setitem__(at.layer, indices)) for site in self.sites]
        device = next(self.model.parameters()).device
        token = torch.ones(1, 1, dtype=torch.long, device=device)
        try:
            with torch.no_grad(), evaluating(self.model), self.apply(ExpertMask(off=off)):
                self._run(token)
        finally:
            for handle in handles:
                handle.remove()
        for site in self.sites:
            expected = set(range(site.experts - site.top_k, site.experts))
            if site.layer in seen and set(seen[site.layer].flatten().tolist()) - expected:
                raise UnsupportedModelError(
                    f"The router {site.name} ({type(site.module).__name__}) selects experts that are off, so that the "
                    "model cannot be masked; please report its family."
                )

    def _run(self, token: Tensor) -> None:
        """One forward of one token [1, 1], whatever of it the model takes."""
        try:
            self.model(input_ids=token, use_cache=False)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            try:  # a decoder that is fed with embeddings, such as the talker of Qwen3-Omni
                self.model(inputs_embeds=cast(Any, self.model).get_input_embeddings()(token), use_cache=False)
            except Exception:
                raise UnsupportedModelError(
                    f"{type(self.model).__name__} cannot be run on a token, so that nothing proves that masks "
                    f"reach its routers ({type(error).__name__}: {error}); give its language model alone."
                ) from error


def _forget(key: _Key, hooks: list[Any]) -> None:
    """What is left of a Steering ends here: also of one that nobody detached."""
    for hook in hooks:
        hook.remove()
    hooks.clear()
    _LIVE.discard(key)


def _entrances(model: nn.Module, sites: Sequence[Site]) -> list[nn.Module]:
    """The modules that people call with a batch: the model, and the parts of it that hold routers and are models. A
    tower that sees pictures holds none, and its batch is one of pictures."""
    from transformers import PreTrainedModel

    routers = [site.name for site in sites]
    return [
        part
        for path, part in model.named_modules()
        if part is model or (isinstance(part, PreTrainedModel) and any(one.startswith(f"{path}.") for one in routers))
    ]


class _Key:
    """Names an attachment. A deepcopy of a model gets a key of its own, which nobody applies masks under."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Key:
        return _Key()


class _State:
    """What a shadowed method needs; lies in the module's `__dict__`, outside of its parameters and buffers."""

    def __init__(self, key: _Key, method: str, before: Any, site: Site | None) -> None:
        self.key, self.method, self.before, self.site = key, method, before, site

    def __deepcopy__(self, memo: dict[int, Any]) -> _State:
        return _State(copy.deepcopy(self.key, memo), self.method, copy.deepcopy(self.before, memo), None)


def _shadow(module: nn.Module, method: str, by: Any, key: _Key, site: Site | None) -> None:
    before = module.__dict__.get(method)
    if (left := module.__dict__.get("_mote")) is not None:  # of the model that this one was copied from
        before = left.before
    # A bound method, unlike a closure, is bound to the copy when the module is copied.
    module.__dict__["_mote"] = _State(key, method, before, site)
    module.__dict__[method] = types.MethodType(by, module)


def _attached_to(module: nn.Module) -> bool:
    state = module.__dict__.get("_mote")
    return state is not None and state.key in _LIVE


def _unshadowed(module: nn.Module, state: _State) -> Any:
    return state.before if state.before is not None else types.MethodType(getattr(type(module), state.method), module)


def _masked_forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    state: _State = self.__dict__["_mote"]
    forward = _unshadowed(self, state)
    plan = _PLANS.get().get(state.key)
    if plan is None or state.site is None:
        return forward(*args, **kwargs)
    hidden = args[0] if args else next(iter(kwargs.values()))
    switches = plan.switches(state.site, hidden.numel() // hidden.shape[-1])
    if switches is None:
        return forward(*args, **kwargs)
    return masked(state.site, switches, forward, args, kwargs)


def _generate(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Says where the prompt ends, which a forward of a prompt in chunks does not show."""
    state: _State = self.__dict__["_mote"]
    generate = _unshadowed(self, state)
    plan = _PLANS.get().get(state.key)
    if plan is None or not plan.needs_prompt_length:
        return generate(*args, **kwargs)
    given = args[0] if args else kwargs.get("inputs", kwargs.get("input_ids", kwargs.get("inputs_embeds")))
    plan.prompt_is(given.shape[1] if isinstance(given, Tensor) else None)
    try:
        return generate(*args, **kwargs)
    finally:
        plan.prompt_is(None)  # the next one's is another


class _Begin:
    """Tells the plan how large the batch of a forward is, and where in the sequence it stands."""

    def __init__(self, key: _Key) -> None:
        self.key = key

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        plan = _PLANS.get().get(self.key)
        if plan is None or plan.packed:
            return
        given = kwargs.get("input_ids", args[0] if args else None)
        if given is None:
            given = kwargs.get("inputs_embeds")
        if not isinstance(given, Tensor) or given.dim() < 2:
            return
        cache = kwargs.get("past_key_values")
        past = int(cache.get_seq_length()) if plan.phased and cache is not None else 0
        plan.begin(given.shape[0], given.shape[1], past, given.device)


_LIVE: weakref.WeakSet[_Key] = weakref.WeakSet()
_CHECKED: weakref.WeakSet[nn.Module] = weakref.WeakSet()
_ATTACHED: weakref.WeakKeyDictionary[nn.Module, weakref.ref[Steering]] = weakref.WeakKeyDictionary()
_USERS: dict[_Key, int] = {}
"""Blocks of `steer` that run on an attachment that `steer` made."""
_LOCK = threading.Lock()


@contextlib.contextmanager
def _attached(model: nn.Module) -> Iterator[Steering]:
    """A model's Steering: the one that it has, or one for as long as anybody uses it."""
    with _LOCK:
        known = _ATTACHED.get(model)
        steering = known() if known else None
        if steering is None:
            steering = Steering(model)
            _USERS[steering.key] = 0
        if steering.key in _USERS:
            _USERS[steering.key] += 1
    try:
        yield steering
    finally:
        with _LOCK:
            if steering.key in _USERS:
                _USERS[steering.key] -= 1
                if not _USERS[steering.key]:
                    del _USERS[steering.key]
                    steering.detach()
