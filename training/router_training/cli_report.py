"""`polyroute train report`: is a trained policy better than those without weights, at equal cost?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_training.cli_options import AsJSON, Limit, PoolFile, Protocol, QuestionsFile, Runs, Scores, Seed, Worth
from router_training.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from router_graph.policies.learned import Handbook, Knn
    from router_graph.policies.policy import Policy
    from router_training.running import Asked, Comparison


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(report)


def report(
    policy: Annotated[
        Path, typer.Argument(metavar="POLICY", help="The folder that a trainer wrote.", show_default=False)
    ],
    runs: Runs,
    scores: Scores = None,
    questions: QuestionsFile = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Compare with this; repeat for more. A handbook and kNN of RUNS if left out.",
            show_default=False,
        ),
    ] = None,
    router: Annotated[
        Path | None,
        typer.Option(
            "--router",
            metavar="FILE",
            help="A router.yaml: run all of them on the held-out --questions too. That costs what the graph costs.",
            show_default=False,
        ),
    ] = None,
    protocol: Protocol = "tags",
    pool: PoolFile = None,
    limit: Limit = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="A picture as well.", show_default=False)
    ] = None,
    worth: Worth = None,
    seed: Seed = 0,
    as_json: AsJSON = False,
) -> None:
    """Say `promote` only if the policy beats those without weights at equal cost, else `keep the handbook`.

    polyroute train report policy runs

    Questions that it was trained on are left out. What is found is kept in POLICY/report.json.
    """
    from kb_tools import terminal
    from router_training import cli_log, cli_ope_print, cli_print
    from router_training.estimating import estimated, opened_pool, policies_of
    from router_training.verdict import save_report, verdict

    candidate = f"local:{policy}"
    asked = None if router is None else _asked(router, questions, policy, limit)
    found = cli_log.scores_of(cli_log.scores_path(runs, scores))
    log = list(cli_log.Log(runs))
    seen, fresh = cli_log.sides(log, policy)
    known = fresh if limit is None else fresh[:limit]
    policies = policies_of([candidate, *(against or ())], known, pool=opened_pool(pool))
    if not seen and not against:
        terminal.note("The handbook and the kNN are learned from the runs that they are judged on, which favours them.")
    files = {} if against else _fitted(seen or log, questions, policy, policies)
    with cli_print.progress("decisions") as tick:
        told = estimated(known, found, candidate, policies, protocol=protocol, seed=seed, worth=worth, tick=tick)
    if not as_json:
        cli_ope_print.show(told, as_json=False, gate=False)
    ran = None
    if router is not None and asked is not None:
        ran = _run(router, asked, candidate, [*policies], files, seed, worth)
        if not as_json:
            cli_ope_print.print_comparison(ran)
    final = verdict(told, ran)
    plain = {"verdict": final.word, "reason": final.reason, "estimated": cli_ope_print.plain(told), "ran": ran}
    save_report(policy, plain)
    if png is not None:
        cli_ope_print.picture(told, png)
    if as_json:
        terminal.print_json(plain)
    else:
        terminal.console().print(terminal.one_line(f"\n{final}.").replace("\\n", "\n"), soft_wrap=True)


def _fitted(runs: list[Any], questions: Path | None, folder: Path, policies: dict[str, Policy]) -> dict[str, Path]:
    """A handbook and a kNN of the runs that the policy too was trained on, beside it; put among the policies."""
    from kb_tools import terminal
    from router_graph.errors import RouterError
    from router_graph.policies.learned import fit_handbook, fit_knn, save
    from router_training.cli_log import questions_of
    from router_training.quality import qualities

    worth = qualities(runs, questions_of(questions))
    fits: dict[str, Callable[[], Handbook | Knn]] = {
        "handbook": lambda: fit_handbook(runs, worth),
        "knn": lambda: fit_knn(runs, worth),
    }
    files: dict[str, Path] = {}
    for name, fit in fits.items():
        try:
            made = fit()
        except RouterError as error:
            terminal.note(f"There is no {name} to compare with: {error}")
            continue
        files[name] = folder / f"{name}.json"
        save(made, files[name])
        policies[name] = made
    return files


def _asked(router: Path, questions: Path | None, folder: Path, limit: int | None) -> list[Asked]:
    """What the policies are run on. What is wrong with either file is told before anything is estimated."""
    from router_graph.settings import read_settings
    from router_training.cli_log import seen_questions
    from router_training.running import read_questions, unseen_questions

    if questions is None:
        raise ConfigError("To run the policies, give questions with right answers: --questions FILE.")
    read_settings(router)
    return unseen_questions(read_questions(questions), seen_questions(folder))[:limit]


def _run(
    router: Path,
    asked: list[Asked],
    candidate: str,
    names: list[str],
    files: dict[str, Path],
    seed: int,
    worth: float | None,
) -> Comparison:
    from router_graph.cli_loop import command_loop
    from router_graph.settings_live import load_router
    from router_training import cli_print
    from router_training.running import Ran, compared, ran

    specs = {name: f"{name}:{files[name]}" if name in files else name for name in names}
    results: dict[str, Ran] = {}
    with cli_print.progress("questions") as tick, command_loop() as loop:
        for name in dict.fromkeys((candidate, *names, "heuristic")):
            with load_router(router, policy=specs.get(name, name)) as opened:
                results[name] = loop.run(ran(opened.graph, asked, tick=tick))
    return compared(candidate, results, seed=seed, worth=worth)
