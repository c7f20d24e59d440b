"""The options that the commands of `polyroute train` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[
    Path,
    typer.Argument(
        metavar="RUNS",
        help="The folder that runs were recorded in or compacted to, or one shard.",
        show_default=False,
    ),
]
QuestionsFile = Annotated[
    Path | None,
    typer.Option(
        "--questions",
        "-q",
        metavar="FILE",
        help="Right answers: JSON lines of id, question, golden_answers, metadata. Not needed where runs have them.",
        show_default=False,
    ),
]
Scores = Annotated[
    Path | None,
    typer.Option(
        "--scores",
        metavar="FILE",
        help="What `polyroute train reward` wrote; the one in RUNS/rewards if left out.",
        show_default=False,
    ),
]
LabelsFolder = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        help="Learn from what people said of steps in the viewer, as in RUNS/labels; with --scores, from both.",
        show_default=False,
    ),
]
ModelFolder = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="FOLDER", help="The model to train, with its tokenizer.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Where the policy goes.", show_default=False),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The recipe, in YAML.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="What the recipe does not say, or otherwise: data.most_tokens=512 trl.learning_rate=1e-4",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show three samples, what of them is trained, and what would be; train nothing."),
]
Retokenize = Annotated[
    bool,
    typer.Option(
        "--retokenize", help="The log was made with another tokenizer: take its text, and not its recorded tokens."
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SamplesOut = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write the samples there: .jsonl or .parquet.", show_default=False
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the last checkpoint of --out (save.every), to the same bits.")
]
Protocol = Annotated[
    str, typer.Option("--protocol", metavar="NAME", help="How policies are spoken to that speak any protocol.")
]
PoolFile = Annotated[
    Path | None,
    typer.Option("--pool", "-p", metavar="FILE", help="The models of policies that name one.", show_default=False),
]
By = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="KEY", help="Subgroups by this key of the runs' metadata; repeat for more."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many runs.", show_default=False)
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of all that is drawn.")]
Worth = Annotated[
    float | None,
    typer.Option(
        "--worth",
        metavar="USD",
        help="What a reward of 1 is worth to you: policies of other cost are then compared by gain less cost.",
        show_default=False,
    ),
]
