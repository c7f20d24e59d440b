"""`polyroute train handbook`, `knn` and `gate`: policies without weights, learned from a few dozen runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import AsJSON, QuestionsFile, Runs

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Where the policy goes; NAME.json if left out.", show_default=False
    ),
]
Metric = Annotated[str, typer.Option("--metric", metavar="NAME", help="How an answer is judged: f1 or em.")]
AtLeast = Annotated[
    int,
    typer.Option("--at-least", metavar="N", min=1, help="Choices of an option below which nothing is learned of it."),
]
UsdWeight = Annotated[
    float, typer.Option("--usd-weight", metavar="X", min=0.0, help="The quality that a dollar is worth.")
]
Draws = Annotated[
    bool, typer.Option("--draws", help="Draw by the chance to be the best, so that runs can be learned from.")
]


def register(app: typer.Typer) -> None:
    """Put the commands into the app."""
    for command in (handbook, knn, gate):
        app.command(cls=PlainCommand)(command)


def handbook(
    runs: Runs,
    questions: QuestionsFile = None,
    out: Out = None,
    metric: Metric = "f1",
    at_least: AtLeast = 5,
    kinds: Annotated[int, typer.Option("--kinds", metavar="N", min=1, help="The most kinds of questions.")] = 16,
    usd_weight: UsdWeight = 0.0,
    draws: Draws = False,
    as_json: AsJSON = False,
) -> None:
    """Write down how well each source did for each kind of question: the bar that a trained policy must clear.

    polyroute train handbook runs --draws

    polyroute ask --file examples/questions.jsonl --policy handbook:handbook.json --record drawn --out drawn.jsonl
    """
    from router_graph.policies.learned import fit_handbook, save

    known, worth = _judged(runs, questions, metric)
    made = fit_handbook(known, worth, at_least=at_least, kinds=kinds, usd_weight=usd_weight, draws=draws)
    path = out or Path("handbook.json")
    save(made, path)
    _tell("handbook", path, runs, as_json=as_json)


def knn(
    runs: Runs,
    questions: QuestionsFile = None,
    out: Out = None,
    metric: Metric = "f1",
    at_least: AtLeast = 5,
    neighbours: Annotated[int, typer.Option("--neighbours", metavar="N", min=1, help="Questions that are asked.")] = 10,
    usd_weight: UsdWeight = 0.0,
    draws: Draws = False,
    as_json: AsJSON = False,
) -> None:
    """Keep the logged questions; a new one goes where the most similar of them fared best.

    polyroute train knn runs --questions examples/questions.jsonl --neighbours 20
    """
    from router_graph.policies.learned import fit_knn, save

    known, worth = _judged(runs, questions, metric)
    made = fit_knn(known, worth, at_least=at_least, neighbours=neighbours, usd_weight=usd_weight, draws=draws)
    path = out or Path("knn.json")
    save(made, path)
    _tell("knn", path, runs, as_json=as_json)


def gate(
    runs: Runs,
    questions: QuestionsFile = None,
    out: Out = None,
    metric: Metric = "f1",
    at_least: AtLeast = 5,
    usd_weight: UsdWeight = 0.0,
    as_json: AsJSON = False,
) -> None:
    """Fit when one search is enough, on what came of stopping and of going on.

    polyroute train gate drawn

    The log must know how likely each was, as where a handbook that draws decided.
    """
    from router_graph.policies.learned import fit_gate, save

    known, worth = _judged(runs, questions, metric)
    made, learned = fit_gate(known, worth, at_least=at_least, usd_weight=usd_weight)
    path = out or Path("gate.json")
    save(made, path, learned=learned)
    _tell("gate", path, runs, as_json=as_json)


def _judged(runs: Path, questions: Path | None, metric: str) -> tuple[list[Any], dict[tuple[str, int], float]]:
    from typing import cast

    from router_training.cli_log import Log, questions_of
    from router_training.quality import qualities

    known = list(Log(runs))
    worth = qualities(known, questions_of(questions), cast(Literal["em", "f1"], metric))
    if unknown := sum(run.is_ours and run.status == "ended" for run in known) - len(worth):
        from kb_tools import terminal

        terminal.note(f"{unknown:,} runs teach nothing: nobody knows what is right for their questions.")
    return known, worth


def _tell(name: str, path: Path, runs: Path, *, as_json: bool) -> None:
    from kb_tools import terminal
    from router_graph.policies.learned.saved import learned_of

    learned = learned_of(path)
    if as_json:
        terminal.print_json({"policy": name, "file": str(path), **learned})
        return
    counts = {key: value for key, value in learned.items() if isinstance(value, dict)}
    terminal.print_fields(
        {
            "policy": f"{name}:{path}",
            **{key: value for key, value in learned.items() if isinstance(value, str | int | float)},
            **{
                key: ", ".join(f"{option} {count:,}" for option, count in value.items()) or None
                for key, value in counts.items()
            },
        }
    )
    terminal.note(f"Would it be better? polyroute train ope {runs} --policy {name}:{path}")
    terminal.note(f'Try it: polyroute ask "…" --policy {name}:{path}')
