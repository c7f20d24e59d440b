"""Find out whether a mask's experts are where a behaviour sits: with controls, on prompts it was not chosen by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mote_backend.errors import InputError, PromptError
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.intervals import Estimate
from mote_backend.ftri.prompts import FEWEST
from mote_backend.ftri.random_masks import random_masks, replaced, replacements, switched
from mote_backend.ftri.replies import Generate, Progress
from mote_backend.ftri.selection import Selection
from mote_backend.judging.judges import Judge
from mote_backend.mask import Expert, ExpertMask
from mote_backend.verdict.panels import Panel, PanelRun
from mote_backend.verdict.rules import Evidence, Rules, decide
from mote_backend.verdict.verdict import Goal, Point, Verdict


def judge_mask(
    mask: ExpertMask | Selection,
    generate: Generate,
    model: Fingerprint,
    behaviour: Panel,
    benign: Panel,
    *,
    order: Sequence[Expert] | None = None,
    borderline: Panel | None = None,
    forced: ExpertMask | Selection | None = None,
    others: Sequence[Panel] = (),
    right: Judge | None = None,
    usage: Mapping[Expert, float] | None = None,
    perplexity: Callable[[ExpertMask | None], float | None] | None = None,
    goal: Goal = "less",
    draws: int = 10,
    seed: int = 0,
    rules: Rules | None = None,
    examples: int = 6,
    progress: Progress | None = None,
) -> Verdict:
    """Generate, judge, compare with random masks, and say the word; `mote_backend.verdict.rules` says by what rules.

    Args:
        mask: What is judged. A `Selection` brings the order of its experts, and its prompts are refused here.
        generate: Such as `Replies(model, tokenizer)`; inside a `KeptReplies` with a file, an interrupted run goes on.
        model: The model's fingerprint, for the random masks.
        behaviour: Prompts that show the behaviour without the mask, and its judge.
        benign: Harmless prompts, and a judge of what is right. Its fall is what the mask costs.
        order: The mask's experts, the most important first, for the curve; further experts after them extend it.
        borderline: Prompts that show the behaviour at times, and its judge: there experts are forced on.
        forced: What is forced on there, such as a selection with `switch="on"`; None: the experts that the mask turns
            off. Those without which the behaviour fails need not be those that are enough to bring it about.
        others: Further contrasts, such as near misses; reported, without a say in the word.
        right: Which replies to the behaviour's prompts are right with the mask: that it is gone does not make them so.
        usage: How often each expert is used (rates of a table); random experts are then drawn among those used alike.
        perplexity: Of harmless texts under a mask, such as `reply_perplexity` or a partial of `perplexity`; None if
            there are none.
        goal: Whether the mask is to make the behaviour less, or more.
        draws: Random masks.
        examples: Prompts whose replies are kept, of each panel.

    Raises:
        PromptError: A set has too few prompts, or one that the selection has used.
        MaskError: The mask does not fit the model.
    """
    panels = [behaviour, benign, *others, *([borderline] if borderline else [])]
    for given in (mask, forced):
        if isinstance(given, Selection):
            given.check_unseen(*(panel.prompts for panel in panels))
    mask, order = _mask_and_order(mask, order)
    mask.check(model)
    for panel in (behaviour, benign):
        if len(panel.prompts) < FEWEST:
            raise PromptError(
                f"The set {panel.name!r} has {len(panel.prompts)} different prompts; a verdict needs at least {FEWEST}."
            )
    if draws < 1:
        raise InputError(f"draws is {draws}; it is the number of random masks, 1 or more.")
    rules = rules or Rules()
    sizes = _sizes(len(switched(mask)), len(order))
    longest = _extended(mask, order)
    stand_ins = replacements(order, model, draws, seed=seed, usage=usage) if order else []
    run = PanelRun(generate, seed, goal)

    nested = {size: _first(longest, order[:size]) for size in sizes}
    controls = {size: [replaced(nested[size], one) for one in stand_ins] for size in sizes}
    forced_masks: list[ExpertMask] = []
    if borderline:
        on = _mask_and_order(forced, None)[0] if forced else _forced(mask, order, model)
        on.check(model)
        if mask and not on:
            raise InputError(
                f"There is nothing to force on at {borderline.name!r}: the mask turns no expert off; give `forced`, or "
                "leave the borderline prompts out."
            )
        forced_masks = [on, *random_masks(on, model, draws, seed=seed, usage=usage)] if on else []
    run.generate(
        [(panel.prompts, one) for panel in panels for one in (None, mask)]
        + [(behaviour.prompts, one) for size in sizes for one in (nested[size], *controls[size])]
        + ([(borderline.prompts, one) for one in forced_masks] if borderline else []),
        progress,
    )

    shown, harmless = run.result(behaviour, mask), run.result(benign, mask)
    curve = [
        Point(0, run.mean(behaviour, None)),
        *(
            Point(
                size, run.mean(behaviour, nested[size]), tuple(run.mean(behaviour, one).value for one in controls[size])
            )
            for size in sizes
        ),
    ]
    own = controls.get(len(switched(mask)), [])
    beyond = run.beyond(behaviour, mask, own, goal)
    correct = run.result(Panel(behaviour.prompts, right), mask) if right else None
    bare, masked = (None, None) if perplexity is None else (perplexity(None), perplexity(mask))
    measured = None if bare is None or masked is None else (bare, masked)
    by_force = run.forced(borderline, forced_masks) if borderline and forced_masks else None
    word, checks = decide(
        Evidence(
            before=shown.before if goal == "less" else _complement(shown.before),
            taken=_flipped(shown.change) if goal == "less" else shown.change,
            beyond=beyond,
            random_taken=tuple(run.taken(behaviour, one, goal) for one in own),
            experts=len(switched(mask)),
            experts_in_all=sum(model.experts),
            harm=_flipped(harmless.change),
            perplexity=measured,
            right=None if correct is None else correct.after,
            untold=max(
                one.untold / (2 * len(panel.prompts)) for one, panel in ((shown, behaviour), (harmless, benign))
            ),
        ),
        rules,
    )
    return Verdict(
        word=word,
        checks=checks,
        goal=goal,
        behaviour=shown,
        benign=harmless,
        curve=tuple(curve),
        random_control="same layers, used about as often" if usage is not None else "same layers",
        beyond=beyond,
        others=tuple(run.result(one, mask) for one in others),
        right=correct,
        forced=by_force,
        perplexity=measured,
        examples=tuple(one for panel in panels for one in run.examples(panel, mask, examples)),
        mask=mask.id,
        mask_json=mask.to_json(),
        order=tuple(order),
        draws=len(own),
        seed=seed,
        rules=rules,
        versions=_versions(),
    )


def replies_judged(mask: ExpertMask, shown: int, borderline: int = 0, draws: int = 10) -> int:
    """The most replies that `judge_mask` gives to the behaviour's judge, of so many prompts: what a model as judge
    is asked. Replies that are the same are judged once, so that it is often far less."""
    size = len(switched(mask))
    of_shown = 1 + len(_sizes(size, size)) * (1 + draws)
    return shown * of_shown + borderline * (3 + draws)


def _mask_and_order(given: ExpertMask | Selection, order: Sequence[Expert] | None) -> tuple[ExpertMask, list[Expert]]:
    mask, own = (given.mask, given.order) if isinstance(given, Selection) else (given, ())
    experts = switched(mask)
    order = list(dict.fromkeys(order or own or experts))
    if set(order[: len(experts)]) != set(experts):
        raise InputError("The order does not begin with the mask's experts; list them first, each once.")
    return mask, order


def _sizes(size: int, longest: int) -> list[int]:
    """1, 2, 4, 8 and so on, the mask's own size, and the longest of the order."""
    doubling = [2**power for power in range(longest.bit_length()) if 2**power < longest]
    return sorted({*doubling, size, longest} - {0})


def _extended(mask: ExpertMask, order: Sequence[Expert]) -> ExpertMask:
    """The mask with the further experts of the order, switched as its first ones are."""
    further = [one for one in order if one not in set(switched(mask))]
    if not further or not mask:
        return mask
    if mask.off:
        return replace(mask, off=mask.off | frozenset(further), name=None)
    if mask.on:
        return replace(mask, on=mask.on | frozenset(further), name=None)
    value = sorted(mask.bias)[0][2]
    return replace(mask, bias=mask.bias | frozenset((*one, value) for one in further), name=None)


def _first(mask: ExpertMask, experts: Sequence[Expert]) -> ExpertMask:
    keep = set(experts)
    return mask.where(lambda layer, expert: (layer, expert) in keep)


def _forced(mask: ExpertMask, order: Sequence[Expert], model: Fingerprint) -> ExpertMask:
    """The first experts that are off, forced on: as many of a layer as a token gets."""
    room = list(model.top_k)
    forced = []
    for layer, expert in order:
        if (layer, expert) in mask.off and room[layer] > 0:
            room[layer] -= 1
            forced.append((layer, expert))
    return ExpertMask(on=frozenset(forced), phase=mask.phase, model=mask.model)


def _flipped(one: Estimate) -> Estimate:
    return Estimate(-one.value, -one.high, -one.low, one.n)


def _complement(one: Estimate) -> Estimate:
    return Estimate(1 - one.value, 1 - one.high, 1 - one.low, one.n)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("polyroute", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
