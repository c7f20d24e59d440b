"""What went well and what went wrong in a run, step by step, in words that a model can learn from."""

from __future__ import annotations

from collections.abc import Iterator

from router_graph.actions import Route, RouteToKB
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import contains
from router_graph.state import Observation
from router_training.reflect.texts import ADVICE
from router_training.reflect.trial import Trial
from router_training.rewards.facts import answer_of, taken

_LONGEST = 300


def record_of(trial: Trial, component: str) -> dict[str, str]:
    """A run as GEPA shows it to the model that writes a component's text."""
    return {
        "Question": trial.task.question,
        "What the router did": "\n".join(_story(trial)),
        "Feedback": " ".join(_verdict(trial, component)),
    }


def concerns(trial: Trial, component: str) -> bool:
    """Whether a run says something of a component: it was asked, or it might have been where the run went wrong."""
    return component == ADVICE or component in _asked(trial) or trial.score < 1


def _story(trial: Trial) -> Iterator[str]:
    if trial.run is None:
        yield trial.problem
        return
    for one in trial.run.steps:
        for route, came in taken(one.step):
            yield f"Step {one.number}: asked {route.target} {route.query[:_LONGEST]!r}. {_came_of(route, came, trial)}"
        if (answer := answer_of(one.step)) is not None:
            yield f"Step {one.number}: answered {bare(answer)[:_LONGEST]!r}."


def _came_of(route: Route, came: Observation, trial: Trial) -> str:
    if came["status"] != "ok":
        return f"It came to nothing ({came['status']})."
    if not isinstance(route, RouteToKB):
        return f"It said {came['text'][:_LONGEST]!r}: {_right(trial.task.gold, came['text'])}."
    told = " ".join(f"{hit['title']} {hit['text']}" for hit in came["hits"])
    first = came["hits"][0]["text"][:_LONGEST] if came["hits"] else ""
    needed = len(trial.task.gold.met(came["hits"]))
    documents = f", {needed} of the needed ones among them" if trial.task.gold.documents else ""
    return f"It found {len(came['hits'])} documents{documents}, first {first!r}: {_right(trial.task.gold, told)}."


def _right(gold: Gold, text: str) -> str:
    return "the right answer is in it" if contains(text, gold.answers) else "the right answer is not in it"


def _verdict(trial: Trial, component: str) -> Iterator[str]:
    right = " or ".join(repr(one) for one in trial.task.gold.answers) or "not known"
    yield f"The right answer is {right}; the run scored {trial.score:.2f}."
    if trial.run is not None:
        yield f"It cost ${trial.run.usd:.4g} in {len(trial.run.steps)} steps."
    if component == ADVICE:
        return
    helped = [_helped(route, came, trial.task.gold) for route, came in _routes(trial) if route.target == component]
    if not helped:
        yield f"{component} was not asked."
    elif any(helped):
        yield f"Asking {component} was right: it had the answer."
    else:
        yield f"Asking {component} was of no use: it did not have the answer."


def _helped(route: Route, came: Observation, gold: Gold) -> bool:
    told = " ".join([came["text"], *(f"{hit['title']} {hit['text']}" for hit in came["hits"])])
    return bool(gold.met(came["hits"])) or contains(told, gold.answers)


def _routes(trial: Trial) -> Iterator[tuple[Route, Observation]]:
    for one in trial.run.steps if trial.run else ():
        yield from taken(one.step)


def _asked(trial: Trial) -> set[str]:
    return {route.target for route, _ in _routes(trial)}
