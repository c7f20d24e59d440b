"""Questions of one's own, asked of one's own knowledge bases and models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from router_graph.context import RouterContext
from router_graph.errors import EvaluationError, RouterError
from router_graph.evaluation.controls import CONTROLS
from router_graph.evaluation.learned import learner
from router_graph.evaluation.questions import Question, fingerprint, read_questions
from router_graph.evaluation.readers.gold import LAYOUTS
from router_graph.evaluation.suites.suite import Suite, resources_mark
from router_graph.resources import Resources
from router_graph.settings_live import load_router

_NAMED = 3
"""Missing documents that are told by name."""


@contextlib.contextmanager
def opened(
    questions: Path,
    *,
    config: Path | None = None,
    knowledge: str | None = None,
    pool: str | None = None,
    train: Path | None = None,
    limit: int | None = None,
    layout: str = "flashrag",
) -> Iterator[Suite]:
    """The suite of a file in FlashRAG's form and of a router's settings. Raises `RouterError`.

    The handbook and the kNN are learned from the questions of `train`, which are asked for that.
    """
    if layout not in LAYOUTS:
        raise EvaluationError(f"There is no layout {layout!r}; there is {', '.join(LAYOUTS)}.")
    asked = read_questions(questions, gold=LAYOUTS[layout])[:limit]
    learn, notes = learner(train, asked, gold=LAYOUTS[layout]) if train is not None else (None, [])
    arguments = {name: value for name, value in (("knowledge", knowledge), ("pool", pool)) if value is not None}
    with load_router(config, **arguments) as router:
        known = router.resources
        resources = Resources(
            list(known.knowledge.values()),
            pool=known.pool,
            policy=known.defaults["policy"],
            protocol=known.protocol(known.defaults["protocol"]),
            policies=[kind() for kind in CONTROLS],
            exclusions=router.settings.exclusions,
            defaults=RouterContext.model_validate(router.settings.turn.model_dump(exclude_unset=True)),
        )
        yield Suite(
            name="own",
            title=f"{questions.name}: {len(asked):,} questions",
            questions=asked,
            resources=resources,
            policies=(str(known.defaults["policy"]),),
            simple=_simple(resources),
            headline="em",
            facts={
                "file": questions.name,
                "questions": fingerprint(one.text for one in asked),
                "knowledge": sorted(resources.knowledge),
                "models": sorted(known.pool.cards) if known.pool is not None else [],
                "resources": resources_mark(resources),
            },
            notes=(*router.problems, *_gold_notes(asked, resources), *notes),
            learn=learn,
        )


def _simple(resources: Resources) -> tuple[str, ...]:
    names: list[str] = []
    if resources.knowledge:
        names += ["fanout", "gate", *(f"kb:{name}" for name in resources.knowledge)]
    if resources.pool is not None and resources.pool.cards:
        names += ["cheapest", "strongest"]
        if len(resources.pool.cards) > 1:
            names += ["random", "support"]
    return tuple(names)


def _gold_notes(questions: Sequence[Question], resources: Resources) -> Iterator[str]:
    """Needed documents and knowledge bases that are not there, counted and named."""
    if unknown := sorted({name for one in questions for name in one.sources} - set(resources.knowledge)):
        raise EvaluationError(
            f"gold_kbs names {unknown[0]!r}, and there is {', '.join(resources.knowledge) or 'no knowledge base'}."
        )
    needed = [group for one in questions for group in one.gold.documents or ()]
    if not needed:
        return
    names = sorted({name for group in needed for name in group})
    there: set[str] = set()
    for name, knowledge in resources.knowledge.items():
        get = getattr(knowledge.base, "get", None)
        if get is None:
            return  # nobody can look it up
        plain = {one: one.removeprefix(f"{name}:") for one in names}
        try:
            held = {document.id for document in get(sorted(set(plain.values())))}
        except RouterError as error:
            raise EvaluationError(str(error)) from error
        there |= {one for one, as_held in plain.items() if as_held in held}
    missing = [group for group in needed if group.isdisjoint(there)]
    if missing:
        shown = ", ".join(repr(min(group)) for group in missing[:_NAMED])
        more = "" if len(missing) <= _NAMED else f" and {len(missing) - _NAMED:,} more"
        yield f"{len(missing):,} of {len(needed):,} needed documents are in no knowledge base: {shown}{more}."
