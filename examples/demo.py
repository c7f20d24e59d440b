"""Five knowledge bases from what is on this machine, and a router that decides step by step which of them to ask.

python examples/demo.py [FOLDER]    # the knowledge bases go to FOLDER, .demo/kb if left out; the runs go beside it
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from demo_knowledge import FOLDER, build
from rich.console import Console
from rich.rule import Rule

from kb_tools import Catalog, KBError
from router_graph import RouterError, create_router
from router_graph.cli_ask_print import print_answer, print_bill
from router_graph.cli_ask_story import Story
from router_graph.trajectories.recorder import Recorder

QUESTIONS = {
    "Which spacecraft first orbited the planet with the lowest density?": (
        "No article says how dense the planets are, and the table of planets has no spacecraft: it takes both."
    ),
    "Who discovered the moon with an orbit of 15.95 days?": "The table of moons, read along one row.",
    "What does claude-haiku-4-5 cost per million input tokens?": "LiteLLM's own prices, in USD.",
    "Which exception does a failed assert statement raise?": "Python's language reference.",
    "Who won the football world cup in 1998?": "None of the five knows: an honest router says so.",
}
"""With what is special about each."""

KNOWN = {
    "Which spacecraft first orbited the planet with the lowest density?": "Cassini",
    "Who discovered the moon with an orbit of 15.95 days?": "Christiaan Huygens",
    "Which exception does a failed assert statement raise?": "AssertionError",
}
"""What is right, where it stays so: recorded with the run, and seen by no policy."""

HONESTLY = (
    "No language model was asked. The policy heuristic follows words, links and rows of tables, and cuts its answer "
    "out of what it finds; what takes understanding, it gets wrong. With --policy a model decides instead."
)

console = Console(highlight=False)


def main(folder: Path) -> None:
    """Build, ask, and say what to do next."""
    with Catalog(folder) as catalog:
        router = create_router(build(catalog, console))
        ledger: dict[str, Any] = {}
        with Recorder(runs_beside(folder)) as recorder:
            for question, special in QUESTIONS.items():
                console.print("", Rule(style="dim"), f"[bold]{question}[/]", f"[dim]{special}[/]\n", sep="\n")
                ledger |= ask(router, question, recorder)["ledger"]
    console.print("", Rule("The bill of all questions", style="dim", align="left"), sep="\n")
    print_bill(ledger)
    print_next(folder)


def runs_beside(folder: Path) -> Path:
    """Where the runs go."""
    return folder.with_name("runs")


def ask(router: Any, question: str, recorder: Recorder) -> dict[str, Any]:
    """One turn of the graph, shown as `polyroute ask` shows it, and recorded; the state after it."""
    result: dict[str, Any] = {}
    about = {"gold": [KNOWN[question]]} if question in KNOWN else {}
    config: Any = {"callbacks": [recorder], "metadata": about}
    with Story() as story:
        for mode, part in router.stream({"question": question}, config, stream_mode=["custom", "values"]):
            if mode == "custom":
                story.tell(part)
            else:
                result = part
    console.print()
    print_answer(result)
    return result


def print_next(folder: Path) -> None:
    """Commands to paste."""
    polyroute = shlex.quote(near(Path(sys.executable).with_name("polyroute")))
    where, runs = shlex.quote(near(folder)), shlex.quote(near(runs_beside(folder)))
    console.print(f"\n{HONESTLY}\n", Rule("Paste next", style="dim", align="left"), sep="\n")
    for line in (
        f"{polyroute} runs view --runs {runs} --kb {where}",
        f'{polyroute} ask --kb {where} --why "Which storm is on the planet with the largest mass?"',
        f'{polyroute} ask --kb {where} --policy openai/gpt-4o-mini "Which planet would float on water?"',
        f'{polyroute} kb search --folder {where} articles "an ocean under the ice"',
        f'{polyroute} kb sql --folder {where} tables "SELECT kind, COUNT(*) FROM missions GROUP BY 1"',
        f"{polyroute} kb add --folder {where} mine PATH/TO/YOUR/FILES",
        "make dev",
    ):
        console.print(line, style="green", soft_wrap=True)
    console.print("\nThe first shows these runs in the browser, and asks more there. More to run: examples/README.md")


def near(path: str | Path) -> str:
    """A path as it can be typed here: relative where it lies below the working directory."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    given = sys.argv[1:]
    if len(given) > 1 or any(argument.startswith("-") for argument in given):
        asked_for = given in (["-h"], ["--help"])
        print(__doc__.strip(), file=sys.stdout if asked_for else sys.stderr)
        sys.exit(0 if asked_for else 2)
    sys.stdout.reconfigure(line_buffering=True)  # the steps go to stderr, and stay in their place in one file
    try:
        main(Path(given[0]) if given else FOLDER)
    except (KBError, RouterError) as error:
        sys.exit(str(error))
