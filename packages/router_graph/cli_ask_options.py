"""The options that the commands of the graph share, and the router that they come to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from router_graph.settings_live import Router


def _above_zero(context: Any, parameter: Any, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"it is {value:g}; a budget is more than 0.", ctx=context, param=parameter)
    return value


_BUDGET: dict[str, Any] = {"callback": _above_zero, "show_default": False}
_LEFT_OUT: dict[str, Any] = {"show_default": False}

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings; router.yaml if there is one. POLYROUTE_CONFIG too."),
]
Location = Annotated[
    str | None,
    typer.Option(
        "--kb", "-C", metavar="LOCATION", help="A folder of knowledge bases, or http://host:port. POLYROUTE_KB too."
    ),
]
Pool = Annotated[
    str | None, typer.Option("--pool", "-p", metavar="FILE", help="The pool file of models. POLYROUTE_POOL too.")
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="Who decides: heuristic, gate, fanout, a model of the pool, a LiteLLM id. POLYROUTE_POLICY too.",
        **_LEFT_OUT,
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="How it is spoken to: tags, router_r1, r1_router, tool_calls. POLYROUTE_PROTOCOL too.",
        **_LEFT_OUT,
    ),
]
BudgetUsd = Annotated[
    float | None,
    typer.Option(
        "--budget-usd", metavar="USD", help="The most that a question may cost. POLYROUTE_USD too.", **_BUDGET
    ),
]
BudgetTokens = Annotated[
    int | None,
    typer.Option("--budget-tokens", metavar="N", help="The most tokens, in and out. POLYROUTE_TOKENS too.", **_BUDGET),
]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", metavar="S", help="The most time for a question. POLYROUTE_SECONDS too.", **_BUDGET),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        "--max-steps",
        metavar="N",
        min=1,
        max=1000,
        help="How often it may ask before it must answer. POLYROUTE_MAX_STEPS too.",
        **_LEFT_OUT,
    ),
]
K = Annotated[
    int | None,
    typer.Option("-k", metavar="N", min=1, max=100, help="Documents of a search. POLYROUTE_K too.", **_LEFT_OUT),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KEY", help="Ask only this, as in kb:handbook or llm:fast; repeat for more."),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="KEY", help="Do not ask this; repeat for more.")
]
Pin = Annotated[str | None, typer.Option("--pin", metavar="KEY", help="Ask nobody but this one.", **_LEFT_OUT)]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="For policies that choose at random.", **_LEFT_OUT)
]
Record = Annotated[
    str | None,
    typer.Option("--record", metavar="FOLDER", help="Record the run there, to learn from. POLYROUTE_RUNS too."),
]
Explore = Annotated[
    float | None,
    typer.Option(
        "--explore",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="How often a route is drawn at random instead, as 0.1. POLYROUTE_EXPLORE too.",
        **_LEFT_OUT,
    ),
]
Images = Annotated[
    list[Path] | None, typer.Option("--image", metavar="PATH", help="A picture of the question; repeat for more.")
]
Why = Annotated[
    bool, typer.Option("--why", help="Show each step's options: chance, price, and why one could not be chosen.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


_SETTINGS = {
    "knowledge": "knowledge",
    "pool": "pool",
    "policy": "policy",
    "protocol": "protocol",
    "budget_usd": "usd",
    "budget_tokens": "tokens",
    "seconds": "seconds",
    "max_steps": "max_steps",
    "k": "k",
    "only": "only",
    "exclude": "exclude",
    "pin": "route",
    "seed": "seed",
    "record": "runs",
    "explore": "explore",
}
"""What the parameters of a command are called in the settings."""


def opened(given: Mapping[str, Any]) -> Router:
    """The router of a command's parameters, the environment and the file.

    What could not be opened of it is told on stderr. Raises `RouterError`.
    """
    from kb_tools import terminal
    from kb_tools.cli_add import announce_embedding
    from router_graph.settings_live import load_router

    # An option that may be repeated is empty where it was left out.
    arguments = {name: given[option] for option, name in _SETTINGS.items() if given.get(option) not in (None, [], ())}
    router = load_router(given.get("config"), **arguments)
    for problem in router.problems:
        terminal.note(problem)
    if router.resources.knowledge:
        announce_embedding()
    return router
